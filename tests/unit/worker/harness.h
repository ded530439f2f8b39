/* SPDX-License-Identifier: MIT */
/*
 * harness.h - plays the dispatcher for one real millrace-worker: segment, bells, socket, pipes.
 *
 * Every wait has a limit; a test that waits in vain fails and says what it waited for.
 */
#ifndef TESTS_WORKER_HARNESS_H
#define TESTS_WORKER_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <msgpack.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/doorbell.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "tests/unit/shm/slot_view.h"

#define HARNESS_WAIT_MS 20000
#define HARNESS_LOG_COUNT_MAX 4096u

extern char **environ;

struct harness_log {
    uint32_t slot;
    uint32_t generation;
    uint32_t level;
    char text[LOG_TEXT_BYTES_MAX + 1];
};

/* One record of a run, with a private copy of its payload. */
struct harness_record {
    struct record meta;
    uint8_t *payload; /* owned */
};

/* What a worker is started with. Zero means the default. */
struct harness_options {
    const char *source; /* a name among the examples, or a path */
    const char *name;
    uint32_t slot_count;
    uint32_t window_bytes;
    uint32_t reply_ring_bytes;
    bool is_check;
    uint32_t other_layout; /* the dispatcher's version is so much higher */
    uint32_t other_build;  /* likewise */
};

struct harness {
    struct segment segment;
    struct ring_tx request;
    struct ring_rx reply;
    struct doorbell bell;        /* ours */
    struct doorbell worker_bell; /* theirs */
    int socket;                  /* our end */
    int output;                  /* read end of the pipe that is the worker's 1 and 2 */
    pid_t pid;                   /* 0 when it was waited for */
    uint32_t generations[64];
    uint64_t charged[64];
    bool holds_window;        /* nothing is delivered */
    struct harness_log *logs; /* owned; HARNESS_LOG_COUNT_MAX */
    uint32_t log_count;
    char text[16384]; /* what came through the pipe */
    size_t text_bytes;
};

static inline uint64_t harness_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline const char *harness_folder(const char *variable, const char *usual)
{
    const char *folder = getenv(variable);
    return folder ? folder : usual;
}

/* ---- starting ------------------------------------------------------------------------------ */

static inline void harness_source(const char *source, char *path, size_t bytes)
{
    if (strchr(source, '/'))
        snprintf(path, bytes, "%s", source);
    else
        snprintf(path, bytes, "%s/%s", harness_folder("EXAMPLES", "build/examples"), source);
}

/* Inherited descriptors lie above 100 here, so that no dup2 onto 0..6 overwrites a source. */
static inline int harness_lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    assert_true(lifted >= 100);
    close(fd);
    return lifted;
}

static inline void harness_exec(struct harness *h, const struct harness_options *options,
                                const int fds[6])
{
    char program[PATH_MAX];
    char source[PATH_MAX];
    char parent[16];
    snprintf(program, sizeof program, "%s/millrace-worker",
             harness_folder("BUILD", "build/release"));
    harness_source(options->source, source, sizeof source);
    snprintf(parent, sizeof parent, "%d", (int)getpid());

    char option_texts[][16] = {"millrace-worker", "--source", "--pointer", "test/test:v1",
                               "--parent",        "--name",   "--check"};
    char name[64];
    char *arguments[12] = {option_texts[0], option_texts[1], source, option_texts[2],
                           option_texts[3], option_texts[4], parent};
    size_t count = 7;
    if (options->name) {
        snprintf(name, sizeof name, "%s", options->name);
        arguments[count++] = option_texts[5];
        arguments[count++] = name;
    }
    if (options->is_check)
        arguments[count++] = option_texts[6];

    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 6; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], i + 1);
    int rc = posix_spawn(&h->pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        fail_msg("cannot start %s: %s", program, strerror(rc));
}

static inline void harness_start(struct harness *h, const struct harness_options *options)
{
    const struct segment_options sizes = {
        .slot_count = options->slot_count ? options->slot_count : 1,
        .request_ring_bytes = REQUEST_RING_BYTES,
        .reply_ring_bytes =
            options->reply_ring_bytes ? options->reply_ring_bytes : REPLY_RING_BYTES,
        .window_bytes = options->window_bytes ? options->window_bytes : RUN_WINDOW_BYTES,
    };
    memset(h, 0, sizeof *h);
    assert_int_equal(segment_create(&h->segment, &sizes), 0);
    ring_tx_init(&h->request, h->segment.request_ring, sizes.request_ring_bytes);
    ring_rx_init(&h->reply, h->segment.reply_ring, sizes.reply_ring_bytes);
    h->segment.header->layout_version += options->other_layout;
    h->segment.header->build_id += options->other_build;
    h->logs = calloc(HARNESS_LOG_COUNT_MAX, sizeof *h->logs);

    int bells[2] = {harness_lift(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
                    harness_lift(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))};
    h->worker_bell = (struct doorbell){&h->segment.header->worker_bell, bells[0]};
    h->bell = (struct doorbell){&h->segment.header->dispatcher_bell, bells[1]};
    int sockets[2];
    int pipes[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    h->socket = harness_lift(sockets[0]);
    h->output = harness_lift(pipes[0]);
    int theirs = harness_lift(sockets[1]);
    int writer = harness_lift(pipes[1]);
    int segment = fcntl(h->segment.fd, F_DUPFD_CLOEXEC, 100);
    harness_exec(h, options, (const int[6]){writer, writer, segment, bells[0], bells[1], theirs});
    close(theirs);
    close(writer);
    close(segment);
}

/* ---- messages ------------------------------------------------------------------------------ */

/* The next message of the worker. Returns its kind, 0 at the end of the socket. */
static inline uint16_t harness_message(struct harness *h, uint8_t *body, size_t room, size_t *bytes)
{
    struct pollfd socket = {.fd = h->socket, .events = POLLIN};
    if (poll(&socket, 1, HARNESS_WAIT_MS) != 1)
        fail_msg("no message came");
    struct message header;
    struct iovec parts[2] = {{&header, sizeof header}, {body, room}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t received = recvmsg(h->socket, &packet, 0);
    *bytes = 0;
    if (received == 0)
        return 0;
    assert_true(received >= (ssize_t)sizeof header);
    assert_int_equal(header.magic, MESSAGE_MAGIC);
    assert_int_equal(header.version, PROTOCOL_VERSION);
    assert_int_equal(header.bytes, received - (ssize_t)sizeof header);
    *bytes = header.bytes;
    return header.kind;
}

static inline void harness_expect_ready(struct harness *h)
{
    uint8_t body[4096];
    size_t bytes;
    uint16_t kind = harness_message(h, body, sizeof body, &bytes);
    if (kind == MESSAGE_FAILED)
        fail_msg("FAILED: %.*s", (int)bytes, (char *)body);
    assert_int_equal(kind, MESSAGE_HELLO);
    assert_int_equal(harness_message(h, body, sizeof body, &bytes), MESSAGE_READY);
    assert_int_equal(bytes, 0);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Starts [run id, inputs]; call msgpack_pack_* for each of the `input_count` inputs afterwards. */
static inline void harness_request(msgpack_sbuffer *request, msgpack_packer *packer,
                                   size_t input_count)
{
    msgpack_sbuffer_init(request);
    msgpack_packer_init(packer, request, msgpack_sbuffer_write);
    msgpack_pack_array(packer, 2);
    msgpack_pack_str_with_body(packer, "run_0123456789abcdef0123456789abcdef", 36);
    msgpack_pack_array(packer, input_count);
}

static inline void harness_commit_start(struct harness *h, uint32_t slot, uint8_t flags,
                                        const void *bytes, size_t count)
{
    void *payload;
    assert_int_equal(ring_claim(&h->request, (uint32_t)count, &payload), 0);
    if (count > 0)
        memcpy(payload, bytes, count);
    const struct record meta = {
        .bytes = (uint32_t)count,
        .slot = (uint16_t)slot,
        .kind = RECORD_START,
        .flags = flags,
        .generation = h->generations[slot],
    };
    ring_commit(&h->request, &meta);
    doorbell_ring(&h->worker_bell, DOORBELL_WORK);
}

/* Offers the slot and sends the request, which is freed. */
static inline void harness_run(struct harness *h, uint32_t slot, msgpack_sbuffer *request)
{
    h->charged[slot] = 0;
    slot_offer(&h->segment.slots[slot], ++h->generations[slot]);
    harness_commit_start(h, slot, 0, request->data, request->size);
    msgpack_sbuffer_destroy(request);
}

/* A run of a pipeline with one string input. */
static inline void harness_run_text(struct harness *h, uint32_t slot, const char *text)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 1);
    msgpack_pack_str_with_body(&packer, text, strlen(text));
    harness_run(h, slot, &request);
}

/* A run of numbers.c. */
static inline void harness_run_numbers(struct harness *h, uint32_t slot, int64_t count,
                                       const char *text, int64_t ms)
{
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_request(&request, &packer, 3);
    msgpack_pack_int64(&packer, count);
    msgpack_pack_str_with_body(&packer, text, strlen(text));
    msgpack_pack_int64(&packer, ms);
    harness_run(h, slot, &request);
}

static inline void harness_cancel(struct harness *h, uint32_t slot, uint32_t reason)
{
    slot_cancel(&h->segment.slots[slot], &h->segment.header->cancel_count, h->generations[slot],
                reason);
    doorbell_ring(&h->worker_bell, DOORBELL_WORK);
}

static inline void harness_deliver(struct harness *h, uint32_t slot)
{
    slot_deliver(&h->segment.slots[slot], h->charged[slot]);
    doorbell_ring(&h->worker_bell, DOORBELL_WINDOW);
}

static inline bool harness_is_armed(const struct harness *h)
{
    return atomic_load_explicit(&h->worker_bell.shared->asleep, memory_order_acquire) != 0;
}

/* The state letter of /proc/PID/stat, behind the name in parentheses. */
static inline char harness_process_state(const struct harness *h)
{
    char path[64];
    char text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)h->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd != -1);
    ssize_t bytes = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(bytes > 0);
    text[bytes] = '\0';
    const char *end = strrchr(text, ')');
    assert_non_null(end);
    return end[2];
}

/* Waits until the worker has done all it can and sleeps: armed, asleep, and still armed, since it
 * also arms just before it looks again and finds something. */
static inline void harness_wait_asleep(struct harness *h)
{
    uint64_t end_ns = harness_now_ns() + (uint64_t)HARNESS_WAIT_MS * 1000000u;
    while (!harness_is_armed(h) || harness_process_state(h) != 'S' || !harness_is_armed(h)) {
        if (harness_now_ns() > end_ns)
            fail_msg("the worker does not sleep");
        poll(NULL, 0, 1);
    }
}

/* ---- records ------------------------------------------------------------------------------- */

static inline void harness_take_log(struct harness *h, const struct record *meta,
                                    const uint8_t *payload)
{
    assert_true(h->log_count < HARNESS_LOG_COUNT_MAX);
    struct harness_log *log = &h->logs[h->log_count++];
    assert_int_equal(meta->sequence, 0);
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)payload, meta->bytes, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(unpacked.data.via.array.size, 2);
    const msgpack_object *items = unpacked.data.via.array.ptr;
    assert_int_equal(items[0].type, MSGPACK_OBJECT_POSITIVE_INTEGER);
    assert_int_equal(items[1].type, MSGPACK_OBJECT_STR);
    assert_true(items[1].via.str.size <= LOG_TEXT_BYTES_MAX);
    log->slot = meta->slot;
    log->generation = meta->generation;
    log->level = (uint32_t)items[0].via.u64;
    memcpy(log->text, items[1].via.str.ptr, items[1].via.str.size);
    log->text[items[1].via.str.size] = '\0';
    msgpack_unpacked_destroy(&unpacked);
}

/* Takes one record off the ring if there is one. Log lines are put aside. */
static inline bool harness_take(struct harness *h, struct harness_record *out)
{
    struct record meta;
    const void *payload;
    int rc = ring_peek(&h->reply, &meta, &payload);
    assert_true(rc >= 0);
    if (rc == 0)
        return false;
    out->meta = meta;
    out->payload = malloc(meta.bytes + 1u);
    memcpy(out->payload, payload, meta.bytes);
    out->payload[meta.bytes] = '\0';
    ring_release(&h->reply);
    uint32_t news = DOORBELL_SPACE;
    if (meta.kind == RECORD_CHUNK) {
        h->charged[meta.slot] +=
            meta.bytes + (meta.flags & RECORD_MORE ? 0 : (uint64_t)CHUNK_CHARGE_BYTES);
        if (!h->holds_window) {
            slot_deliver(&h->segment.slots[meta.slot], h->charged[meta.slot]);
            news |= DOORBELL_WINDOW;
        }
    }
    doorbell_ring(&h->worker_bell, news);
    return true;
}

/* The next record that is no log line; a record of kind PAD after `ms` without one. Free it. */
static inline struct harness_record harness_next_within(struct harness *h, int ms)
{
    uint64_t end_ns = harness_now_ns() + (uint64_t)ms * 1000000u;
    struct harness_record record;
    for (;;) {
        while (harness_take(h, &record)) {
            if (record.meta.kind != RECORD_LOG)
                return record;
            harness_take_log(h, &record.meta, record.payload);
            free(record.payload);
        }
        uint64_t now_ns = harness_now_ns();
        if (now_ns >= end_ns)
            return (struct harness_record){.payload = calloc(1, 1)};
        doorbell_arm(&h->bell, DOORBELL_ANY);
        struct pollfd bell = {.fd = h->bell.fd, .events = POLLIN};
        int timeout_ms = (int)((end_ns - now_ns) / 1000000u) + 1;
        if (ring_is_empty(&h->reply))
            poll(&bell, 1, timeout_ms < 100 ? timeout_ms : 100);
        doorbell_disarm(&h->bell);
        uint64_t count;
        ssize_t cleared = read(h->bell.fd, &count, sizeof count);
        (void)cleared;
    }
}

static inline struct harness_record harness_next(struct harness *h)
{
    struct harness_record record = harness_next_within(h, HARNESS_WAIT_MS);
    if (record.meta.kind == RECORD_PAD)
        fail_msg("no record came");
    return record;
}

/* Text of one msgpack value, much like JSON, for comparing. */
static inline void harness_print(const uint8_t *bytes, size_t count, char *out, size_t room)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, count, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, count);
    FILE *stream = fmemopen(out, room, "w");
    msgpack_object_print(stream, unpacked.data);
    fclose(stream);
    msgpack_unpacked_destroy(&unpacked);
}

/* The next record is a CHUNK of this run whose value prints as `text`. */
static inline void harness_expect_chunk(struct harness *h, uint32_t slot, uint32_t sequence,
                                        const char *text)
{
    struct harness_record record = harness_next(h);
    assert_int_equal(record.meta.kind, RECORD_CHUNK);
    assert_int_equal(record.meta.slot, slot);
    assert_int_equal(record.meta.generation, h->generations[slot]);
    assert_int_equal(record.meta.sequence, sequence);
    assert_int_equal(record.meta.flags, 0);
    char printed[4096];
    harness_print(record.payload, record.meta.bytes, printed, sizeof printed);
    assert_string_equal(printed, text);
    free(record.payload);
}

static inline void harness_expect_end(struct harness *h, uint32_t slot, uint32_t sequence)
{
    struct harness_record record = harness_next(h);
    if (record.meta.kind == RECORD_ERROR)
        fail_msg("ERROR: %.*s", (int)record.meta.bytes, (char *)record.payload);
    assert_int_equal(record.meta.kind, RECORD_END);
    assert_int_equal(record.meta.slot, slot);
    assert_int_equal(record.meta.generation, h->generations[slot]);
    assert_int_equal(record.meta.sequence, sequence);
    assert_int_equal(record.meta.bytes, 0);
    assert_int_equal(slot_load(&h->segment.slots[slot]).state, SLOT_ENDED);
    slot_free(&h->segment.slots[slot], h->generations[slot]);
    free(record.payload);
}

/* The next record is an ERROR of this type whose message has `part` in it. */
static inline void harness_expect_error(struct harness *h, uint32_t slot, enum error_type type,
                                        const char *part)
{
    struct harness_record record = harness_next(h);
    assert_int_equal(record.meta.kind, RECORD_ERROR);
    assert_int_equal(record.meta.slot, slot);
    assert_int_equal(record.meta.generation, h->generations[slot]);
    char printed[8192];
    char start[16];
    harness_print(record.payload, record.meta.bytes, printed, sizeof printed);
    snprintf(start, sizeof start, "[%d, \"", (int)type);
    if (strncmp(printed, start, strlen(start)) != 0 || !strstr(printed, part))
        fail_msg("expected %s...%s, got %s", start, part, printed);
    assert_int_equal(slot_load(&h->segment.slots[slot]).state, SLOT_ENDED);
    slot_free(&h->segment.slots[slot], h->generations[slot]);
    free(record.payload);
}

/* ---- ending -------------------------------------------------------------------------------- */

static inline void harness_read_output(struct harness *h)
{
    fcntl(h->output, F_SETFL, O_NONBLOCK);
    ssize_t count;
    while ((count = read(h->output, h->text + h->text_bytes, sizeof h->text - 1 - h->text_bytes)) >
           0)
        h->text_bytes += (size_t)count;
    h->text[h->text_bytes] = '\0';
}

/* Waits for the worker's end, draining what it still sends. Returns its wait status. */
static inline int harness_wait(struct harness *h)
{
    uint64_t end_ns = harness_now_ns() + (uint64_t)HARNESS_WAIT_MS * 1000000u;
    int status;
    while (waitpid(h->pid, &status, WNOHANG) == 0) {
        if (harness_now_ns() > end_ns) {
            kill(h->pid, SIGKILL);
            waitpid(h->pid, &status, 0);
            h->pid = 0;
            fail_msg("the worker did not end");
        }
        poll(NULL, 0, 1);
    }
    h->pid = 0;
    harness_read_output(h);
    return status;
}

static inline void harness_expect_exit(struct harness *h, int code)
{
    int status = harness_wait(h);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("expected exit code %d, got status 0x%x: %s", code, (unsigned)status, h->text);
}

static inline void harness_finish(struct harness *h)
{
    if (h->pid != 0) {
        kill(h->pid, SIGKILL);
        harness_wait(h);
    }
    close(h->socket);
    close(h->output);
    close(h->bell.fd);
    close(h->worker_bell.fd);
    segment_detach(&h->segment);
    free(h->logs);
}

/* Asks the worker to stop and expects that it does so in an orderly way. */
static inline void harness_stop(struct harness *h)
{
    void *payload;
    assert_int_equal(ring_claim(&h->request, 0, &payload), 0);
    const struct record meta = {.kind = RECORD_STOP};
    ring_commit(&h->request, &meta);
    doorbell_ring(&h->worker_bell, DOORBELL_WORK);
    harness_expect_exit(h, WORKER_EXIT_OK);
    harness_finish(h);
}

#endif
