/* SPDX-License-Identifier: MIT */
/*
 * test_transport.c - the seam below connections: another transport, under which every byte is two
 * hexadecimal digits on the wire, and the whole server above it as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/http/http_syntax.h"
#include "tests/unit/dispatcher/stage_run.h"
#include "tests/unit/shm/ring_memory.h"

#define WIRE_BYTES (2u * OUT_IOVEC_COUNT_MAX * OUT_BLOCK_BYTES)

struct hex {
    char wire[WIRE_BYTES]; /* what the last message became */
    size_t wire_bytes, wire_sent;
    struct iovec vector;
    struct msghdr message;
    char text[STAGE_RECEIVE_BYTES]; /* what the last receive meant */
    int odd;                        /* a first digit whose second one has not come; -1: none */
};

static unsigned open_count, shut_count;
static bool cannot_open;

static int hex_open(void **state)
{
    struct hex *hex = cannot_open ? NULL : calloc(1, sizeof *hex);
    if (!hex)
        return -ENOMEM;
    hex->odd = -1;
    open_count++;
    *state = hex;
    return 0;
}

static void hex_close(void *state)
{
    open_count--;
    free(state);
}

static void hex_recv(struct uring *uring, int fd, struct uring_ref ref, bool is_single, void *state)
{
    assert_non_null(state);
    uring_recv(uring, fd, ref, is_single);
}

static int hex_received(const char **data, size_t *bytes, void *state)
{
    struct hex *hex = state;
    size_t count = 0;
    for (size_t i = 0; i < *bytes; i++) {
        int digit = http_hex_value((*data)[i]);
        if (digit < 0)
            return -EPROTO;
        if (hex->odd < 0) {
            hex->odd = digit;
            continue;
        }
        hex->text[count++] = (char)(hex->odd * 16 + digit);
        hex->odd = -1;
    }
    *data = hex->text;
    *bytes = count;
    return 0;
}

static void hex_encode(struct hex *hex, const struct msghdr *message)
{
    hex->wire_bytes = hex->wire_sent = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const unsigned char *text = message->msg_iov[i].iov_base;
        for (size_t k = 0; k < message->msg_iov[i].iov_len; k++) {
            hex->wire[hex->wire_bytes++] = "0123456789abcdef"[text[k] >> 4];
            hex->wire[hex->wire_bytes++] = "0123456789abcdef"[text[k] & 15];
        }
    }
}

static void hex_send(struct uring *uring, int fd, const struct msghdr *message,
                     struct uring_ref ref, void *state)
{
    struct hex *hex = state;
    if (hex->wire_sent == hex->wire_bytes)
        hex_encode(hex, message);
    hex->vector = (struct iovec){hex->wire + hex->wire_sent, hex->wire_bytes - hex->wire_sent};
    hex->message = (struct msghdr){.msg_iov = &hex->vector, .msg_iovlen = 1};
    uring_send(uring, fd, &hex->message, ref);
}

static size_t hex_sent(size_t bytes, void *state)
{
    struct hex *hex = state;
    hex->wire_sent += bytes;
    return hex->wire_sent == hex->wire_bytes ? hex->wire_bytes / 2 : 0;
}

static void hex_shut(int fd, int how, void *state)
{
    (void)state;
    shut_count++;
    shutdown(fd, how);
}

static const struct transport hex_transport = {.open = hex_open,
                                               .close = hex_close,
                                               .recv = hex_recv,
                                               .received = hex_received,
                                               .send = hex_send,
                                               .sent = hex_sent,
                                               .shut = hex_shut};

static int scene_open(void **state)
{
    (void)state;
    open_count = shut_count = 0;
    cannot_open = false;
    stage_open(&(struct stage_options){.concurrency = 2});
    return 0;
}

static int hex_scene_close(void **state)
{
    scene_close(state);
    assert_int_equal(open_count, 0);
    return 0;
}

/* The digits of this text, `part` of them at a time. */
static void say_hex(uint32_t client, const char *text, size_t part)
{
    char wire[STAGE_RECEIVE_BYTES];
    size_t bytes = 0;
    for (; *text; text++)
        bytes += (size_t)snprintf(wire + bytes, sizeof wire - bytes, "%02x", (unsigned char)*text);
    for (size_t at = 0; at < bytes; at += part)
        stage_say_bytes(client, wire + at, bytes - at < part ? bytes - at : part);
}

/* What the client has read means this and something behind it. */
static void expect_text(uint32_t client, const char *text)
{
    const struct stage_client *it = &stage.clients[client];
    assert_true(it->count >= 2 * strlen(text));
    for (size_t i = 0; text[i]; i++)
        assert_int_equal(
            http_hex_value(it->bytes[2 * i]) * 16 + http_hex_value(it->bytes[2 * i + 1]), text[i]);
}

#define LIVEZ "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"

static void requests_and_answers_are_what_they_mean_and_not_what_is_on_the_wire(void **state)
{
    (void)state;
    uint32_t client = stage_connect_by(&hex_transport);
    say_hex(client, LIVEZ, 2 * strlen(LIVEZ));
    stage_settle();
    expect_text(client, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(stage.server->front.counts.sent_byte_count, stage.clients[client].count);
    size_t first = stage.clients[client].count;
    say_hex(client, LIVEZ, 5); /* cut within bytes */
    stage_settle();
    assert_int_equal(stage.clients[client].count, 2 * first);
}

static void what_the_kernel_takes_in_parts_has_left_when_all_of_it_has(void **state)
{
    (void)state;
    uint32_t client = stage_connect_by(&hex_transport);
    struct conn *conn = &stage.server->front.conns[client];
    say_hex(client, LIVEZ, 2 * strlen(LIVEZ));
    size_t wire = stage_sending_bytes(client);
    assert_int_equal(wire, 2 * conn->out.bytes);
    for (size_t sent = 0; sent + 7 < wire; sent += 7) {
        assert_int_equal(stage_sending_bytes(client), wire - sent);
        stage_sent(client, 7);
        stage_pass();
        assert_int_equal(conn->out.bytes, wire / 2);
    }
    stage_settle();
    assert_int_equal(conn->out.bytes, 0);
    assert_int_equal(stage.clients[client].count, wire);
    expect_text(client, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(conn->state, CONN_IDLE);
}

static void a_run_streams_through_it(void **state)
{
    (void)state;
    char text[1024];
    uint32_t client = stage_connect_by(&hex_transport);
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             STREAM_PATH, strlen(RUN_BODY), RUN_BODY);
    say_hex(client, text, 100);
    struct stage_run run = {.client = client};
    assert_true(stage_run_take(&run));
    for (int i = 0; i < 3; i++)
        stage_run_number(&run);
    stage_run_end(&run);
    stage_settle();
    expect_text(client, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(stage.server->front.conns[client].state, CONN_IDLE);
    assert_null(stage.server->front.conns[client].pending);
}

static void what_means_nothing_ends_the_connection(void **state)
{
    (void)state;
    uint32_t client = stage_connect_by(&hex_transport);
    stage_say_bytes(client, "47zz", 4);
    stage_settle();
    assert_true(stage_is_closed(client));
    assert_int_equal(shut_count, 1);
    assert_int_equal(open_count, 0);
}

static void a_listener_gives_its_transport_to_whom_it_accepts(void **state)
{
    (void)state;
    struct front *front = &stage.server->front;
    front->listeners[0] = (struct listener){.fd = -1, .transport = &hex_transport};
    const struct conn *conn = front->free;
    listener_on_accept(front, &(struct uring_event){.ref = {URING_ACCEPT, 0, 0},
                                                    .result = open("/dev/null", O_RDWR),
                                                    .more = true});
    assert_int_equal(conn->state, CONN_IDLE);
    assert_ptr_equal(conn->transport, &hex_transport);
    assert_int_equal(open_count, 1);
}

static void without_memory_for_its_state_it_is_turned_away(void **state)
{
    (void)state;
    struct front *front = &stage.server->front;
    cannot_open = true;
    stage_connect_by(&hex_transport);
    assert_int_equal(front->conn_count, 0);
    assert_int_equal(front->counts.refusals[REQUEST_REFUSAL_MEMORY], 1);
    front_check(front);
}

#define TRANSPORT_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, hex_scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TRANSPORT_TEST(requests_and_answers_are_what_they_mean_and_not_what_is_on_the_wire),
        TRANSPORT_TEST(what_the_kernel_takes_in_parts_has_left_when_all_of_it_has),
        TRANSPORT_TEST(a_run_streams_through_it),
        TRANSPORT_TEST(what_means_nothing_ends_the_connection),
        TRANSPORT_TEST(a_listener_gives_its_transport_to_whom_it_accepts),
        TRANSPORT_TEST(without_memory_for_its_state_it_is_turned_away),
    };
    return cmocka_run_group_tests_name("transport", tests, descriptors_note, descriptors_compare);
}
