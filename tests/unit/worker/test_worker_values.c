/* SPDX-License-Identifier: MIT */
/*
 * test_worker_values.c - values of every type there and back, large ones in fragments and blobs.
 */
#include "tests/unit/worker/harness.h"

#include <math.h>

#define MEGABYTE ((size_t)1024 * 1024)

/* Sends a dictionary whose values are those of `pack`, and expects each back, byte for byte. */
static void expect_echo(struct harness *h, size_t count,
                        void (*pack)(msgpack_packer *packer, size_t index))
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 1);
    msgpack_pack_map(&packer, count);
    for (size_t i = 0; i < count; i++) {
        msgpack_pack_str_with_body(&packer, "k", 1);
        pack(&packer, i);
    }
    harness_run(h, 0, &request);
    for (size_t i = 0; i < count; i++) {
        msgpack_sbuffer expected;
        msgpack_packer again;
        msgpack_sbuffer_init(&expected);
        msgpack_packer_init(&again, &expected, msgpack_sbuffer_write);
        msgpack_pack_array(&again, 1);
        pack(&again, i);
        struct harness_record record = harness_next(h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(record.meta.bytes, expected.size);
        assert_memory_equal(record.payload, expected.data, expected.size);
        free(record.payload);
        msgpack_sbuffer_destroy(&expected);
    }
    harness_expect_end(h, 0, (uint32_t)count);
}

static const int64_t integers[] = {
    0,
    1,
    31,
    32,
    127,
    128,
    255,
    256,
    65535,
    65536,
    INT32_MAX,
    1LL << 31,
    1LL << 32,
    INT64_MAX,
    -1,
    -32,
    -33,
    -128,
    -129,
    -32768,
    -32769,
    INT32_MIN,
    -(1LL << 31) - 1,
    INT64_MIN,
};

static void pack_integer(msgpack_packer *packer, size_t index)
{
    if (index == ARRAY_COUNT(integers))
        msgpack_pack_uint64(packer, UINT64_MAX);
    else
        msgpack_pack_int64(packer, integers[index]);
}

static const double doubles[] = {0.0, -0.0, 0.1, 1.0, -1e308, 5e-324, 1e16, 3.141592653589793};

static void pack_double(msgpack_packer *packer, size_t index)
{
    msgpack_pack_double(packer, doubles[index]);
}

static const struct {
    const char *bytes;
    size_t count;
} texts[] = {
    {"", 0},
    {"a", 1},
    {"with\0nul\0", 9},
    {"\"quotes\" \\ \n\t\x01", 13},
    {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8c\x8a \xf4\x8f\xbf\xbf", 15},
    {"0123456789012345678901234567890", 31},
    {"01234567890123456789012345678901", 32},
};

static void pack_text(msgpack_packer *packer, size_t index)
{
    msgpack_pack_str_with_body(packer, texts[index].bytes, texts[index].count);
}

/* Lengths around every width of a length. */
static const size_t lengths[] = {255, 256, 65535, 65536, 200000};

static void pack_long_text(msgpack_packer *packer, size_t index)
{
    char *text = malloc(lengths[index]);
    memset(text, 'x', lengths[index]);
    msgpack_pack_str_with_body(packer, text, lengths[index]);
    free(text);
}

static void pack_other(msgpack_packer *packer, size_t index)
{
    switch (index) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        msgpack_pack_true(packer);
        break;
    case 2:
        msgpack_pack_false(packer);
        break;
    case 3:
        msgpack_pack_array(packer, 0);
        break;
    case 4:
        msgpack_pack_map(packer, 0);
        break;
    case 5:
        msgpack_pack_array(packer, 1000);
        for (int i = 0; i < 1000; i++)
            msgpack_pack_int(packer, i);
        break;
    case 6:
        msgpack_pack_map(packer, 20);
        for (int i = 0; i < 20; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            msgpack_pack_str_with_body(packer, key, strlen(key));
            msgpack_pack_array(packer, 2);
            msgpack_pack_map(packer, 0);
            msgpack_pack_array(packer, 1);
            msgpack_pack_nil(packer);
        }
        break;
    default: /* with the dictionary around it, as deep as inputs go */
        for (int i = 0; i < 29; i++)
            msgpack_pack_array(packer, 1);
        msgpack_pack_str_with_body(packer, "deep", 4);
        break;
    }
}

static void values_of_every_type_come_back_as_they_went(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so"});
    harness_expect_ready(&h);
    expect_echo(&h, ARRAY_COUNT(integers) + 1, pack_integer);
    expect_echo(&h, ARRAY_COUNT(doubles), pack_double);
    expect_echo(&h, ARRAY_COUNT(texts), pack_text);
    expect_echo(&h, 8, pack_other);
    harness_stop(&h);
}

static void an_input_that_is_nested_too_deep_is_an_input_error(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so"});
    harness_expect_ready(&h);
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 1);
    for (int i = 0; i < 40; i++)
        msgpack_pack_array(&packer, 1);
    msgpack_pack_nil(&packer);
    harness_run(&h, 0, &request);
    harness_expect_error(&h, 0, ERROR_INPUT, "nested deeper than 30");
    harness_stop(&h);
}

static void inputs_that_do_not_fit_the_graph_are_input_errors(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "numbers.so"});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "alone");
    harness_expect_error(&h, 0, ERROR_INPUT, "1 inputs came, the pipeline has 3");
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_true(&packer); /* a boolean does for an integer */
    msgpack_pack_nil(&packer);
    msgpack_pack_int(&packer, 0);
    harness_run(&h, 0, &request);
    harness_expect_error(&h, 0, ERROR_INPUT, "input 2 is none, it should be a string");
    harness_stop(&h);
}

/* Sends the request in a memfd, with BLOB before START. */
static void run_blob(struct harness *h, uint32_t slot, msgpack_sbuffer *request, uint64_t said)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd != -1);
    assert_int_equal(write(fd, request->data, request->size), request->size);
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    struct message header = {
        .magic = MESSAGE_MAGIC,
        .version = PROTOCOL_VERSION,
        .kind = MESSAGE_BLOB,
        .bytes = sizeof said,
        .slot = slot,
        .generation = h->generations[slot],
    };
    struct iovec parts[2] = {{&header, sizeof header}, {&said, sizeof said}};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr packet = {
        .msg_iov = parts,
        .msg_iovlen = 2,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *item = CMSG_FIRSTHDR(&packet);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(item), &fd, sizeof fd);
    assert_true(sendmsg(h->socket, &packet, 0) > 0);
    close(fd);
    msgpack_sbuffer_destroy(request);
}

static void pack_echo_text(msgpack_sbuffer *request, size_t bytes)
{
    msgpack_packer packer;
    harness_request(request, &packer, 1);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "k", 1);
    char *text = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)('a' + i % 26);
    msgpack_pack_str_with_body(&packer, text, bytes);
    free(text);
}

/* Gathers the fragments of one value; each but the last says MORE. */
static uint8_t *gather(struct harness *h, uint32_t slot, uint32_t *sequence, size_t *bytes)
{
    uint8_t *value = NULL;
    *bytes = 0;
    for (;;) {
        struct harness_record record = harness_next(h);
        assert_int_equal(record.meta.kind, RECORD_CHUNK);
        assert_int_equal(record.meta.slot, slot);
        assert_int_equal(record.meta.sequence, (*sequence)++);
        value = realloc(value, *bytes + record.meta.bytes);
        memcpy(value + *bytes, record.payload, record.meta.bytes);
        *bytes += record.meta.bytes;
        free(record.payload);
        if (!(record.meta.flags & RECORD_MORE))
            return value;
        assert_int_equal(record.meta.bytes, ring_payload_max(h->reply.capacity));
    }
}

static void expect_alphabet(const uint8_t *value, size_t bytes, size_t text_bytes)
{
    assert_int_equal(bytes, text_bytes + 6); /* array head, text head of four bytes' length */
    for (size_t i = 0; i < text_bytes; i++)
        if (value[6 + i] != (uint8_t)('a' + i % 26))
            fail_msg("byte %zu is %u", i, value[6 + i]);
}

static void ten_megabytes_go_there_as_a_blob_and_back_in_fragments(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so", .slot_count = 2});
    harness_expect_ready(&h);
    for (uint32_t slot = 0; slot < 2; slot++) {
        msgpack_sbuffer request;
        pack_echo_text(&request, 10 * MEGABYTE);
        uint64_t said = request.size;
        slot_offer(&h.segment.slots[slot], ++h.generations[slot]);
        h.charged[slot] = 0;
        run_blob(&h, slot, &request, said);
        harness_commit_start(&h, slot, RECORD_BLOB, NULL, 0);
        uint32_t sequence = 0;
        size_t bytes;
        uint8_t *value = gather(&h, slot, &sequence, &bytes);
        expect_alphabet(value, bytes, 10 * MEGABYTE);
        free(value);
        harness_expect_end(&h, slot, sequence);
    }
    harness_stop(&h);
}

static void a_blob_that_is_shorter_than_it_says_fails_its_run_alone(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so"});
    harness_expect_ready(&h);
    msgpack_sbuffer request;
    pack_echo_text(&request, 100);
    uint64_t said = request.size + 1;
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    run_blob(&h, 0, &request, said);
    harness_commit_start(&h, 0, RECORD_BLOB, NULL, 0);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "cannot be read");
    expect_echo(&h, ARRAY_COUNT(doubles), pack_double);
    harness_stop(&h);
}

static void blobs_of_runs_that_never_came_are_skipped(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so"});
    harness_expect_ready(&h);
    msgpack_sbuffer request;
    h.generations[0] = 1;
    pack_echo_text(&request, 10);
    run_blob(&h, 0, &request, request.size);
    pack_echo_text(&request, 26);
    uint64_t said = request.size;
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    run_blob(&h, 0, &request, said);
    harness_commit_start(&h, 0, RECORD_BLOB, NULL, 0);
    harness_expect_chunk(&h, 0, 0, "[\"abcdefghijklmnopqrstuvwxyz\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_blob_that_did_not_come_ends_the_worker(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "echo.so"});
    harness_expect_ready(&h);
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    harness_commit_start(&h, 0, RECORD_BLOB, NULL, 0);
    harness_expect_exit(&h, WORKER_EXIT_PROTOCOL);
    assert_non_null(strstr(h.text, "blob"));
    harness_finish(&h);
}

static void values_around_every_length_pass_through_small_rings(void **state)
{
    (void)state;
    struct harness h;
    harness_start(
        &h, &(struct harness_options){.source = "echo.so", .reply_ring_bytes = RING_BYTES_MIN});
    harness_expect_ready(&h);
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        msgpack_sbuffer request;
        msgpack_packer packer;
        harness_request(&request, &packer, 1);
        msgpack_pack_map(&packer, 1);
        msgpack_pack_str_with_body(&packer, "k", 1);
        pack_long_text(&packer, i);
        uint64_t said = request.size;
        slot_offer(&h.segment.slots[0], ++h.generations[0]);
        h.charged[0] = 0;
        run_blob(&h, 0, &request, said);
        harness_commit_start(&h, 0, RECORD_BLOB, NULL, 0);
        uint32_t sequence = 0;
        size_t bytes;
        uint8_t *value = gather(&h, 0, &sequence, &bytes);
        assert_true(bytes >= lengths[i] + 3);
        for (size_t k = bytes - lengths[i]; k < bytes; k++)
            assert_int_equal(value[k], 'x');
        free(value);
        harness_expect_end(&h, 0, sequence);
        slot_free(&h.segment.slots[0], h.generations[0]);
    }
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_come_back_as_they_went),
        cmocka_unit_test(an_input_that_is_nested_too_deep_is_an_input_error),
        cmocka_unit_test(inputs_that_do_not_fit_the_graph_are_input_errors),
        cmocka_unit_test(ten_megabytes_go_there_as_a_blob_and_back_in_fragments),
        cmocka_unit_test(a_blob_that_is_shorter_than_it_says_fails_its_run_alone),
        cmocka_unit_test(blobs_of_runs_that_never_came_are_skipped),
        cmocka_unit_test(a_blob_that_did_not_come_ends_the_worker),
        cmocka_unit_test(values_around_every_length_pass_through_small_rings),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
