/* SPDX-License-Identifier: MIT */
/*
 * stage_reading.h - clients with large bodies on the stage, and an honest reader for them.
 */
#ifndef TESTS_DISPATCHER_STAGE_READING_H
#define TESTS_DISPATCHER_STAGE_READING_H

#include "dispatcher/reactor/body.h"
#include "tests/unit/dispatcher/stage_run.h"

#define PIECE_BYTES 4000u
#define MANY_BYTES (2u * READ_INLINE_VALUE_COUNT_MAX + 2)

/* What the reader was asked last. */
static struct read_request asked;

static inline int scene_open(void **state)
{
    (void)state;
    stage_open(&(struct stage_options){.concurrency = 2, .queue_count_max = 8});
    return 0;
}

static inline struct reading *reading(void)
{
    return &stage.server->reading;
}

/* ---- the clients ---- */

/* The head of a request with a body of `count` bytes, and `sent` of those, all of them `byte`. What
 * is in them is the reader's to say. */
static inline uint32_t upload_bytes(const char *path, const char *fields, size_t count, size_t sent,
                                    char byte)
{
    char text[PIECE_BYTES];
    uint32_t client = stage_connect();
    int head =
        snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n",
                 path, count, fields);
    assert_true(head > 0);
    stage_say_bytes(client, text, (size_t)head);
    memset(text, byte, sizeof(text));
    for (size_t part; sent > 0; sent -= part) {
        part = sent < sizeof(text) ? sent : sizeof(text);
        stage_say_bytes(client, text, part);
    }
    return client;
}

static inline uint32_t upload(const char *path, const char *fields, size_t count, char byte)
{
    return upload_bytes(path, fields, count, count, byte);
}

static inline uint32_t upload_part(size_t count, size_t sent)
{
    return upload_bytes(STREAM_PATH, "", count, sent, ' ');
}

static inline uint32_t upload_many(void)
{
    return upload(STREAM_PATH, "", MANY_BYTES, ',');
}

static inline void expect_answer(uint32_t client, int status, const char *words)
{
    answer_to(client);
    assert_true(answer.complete);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer.lines[0], words));
}

static inline void expect_nothing_held(void)
{
    stage_settle();
    assert_int_equal(stage.server->input.bytes, 0);
    assert_int_equal(stage.server->input.file_count, 0);
    assert_int_equal(reading()->waiting_count, 0);
    assert_int_equal(reading()->pack_fd, -1);
    assert_null(reading()->job);
}

/* ---- the reader ---- */

static inline int expect_asked(enum read_kind kind)
{
    int fd;
    asked = stage_reader_asked(&fd);
    assert_int_equal(asked.kind, kind);
    assert_true((fd >= 0) == (kind != READ_DROP));
    return fd;
}

static inline void expect_body(uint64_t bytes)
{
    int fd = expect_asked(READ_BODY);
    struct stat file;
    assert_int_equal(asked.bytes, bytes);
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(file.st_size, bytes);
    close(fd);
}

static inline struct read_answer answer_of_kind(enum read_kind kind)
{
    return (struct read_answer){
        .magic = READ_MAGIC, .kind = kind, .number = asked.number, .bytes = kind == READ_PACK};
}

static inline void say(struct read_answer said)
{
    stage_reader_says(&said, sizeof(said));
}

static inline void pack(int fd, size_t bytes)
{
    uint8_t piece[PIECE_BYTES] = {0};
    for (size_t left = bytes, part; left > 0; left -= part) {
        part = left < sizeof(piece) ? left : sizeof(piece);
        assert_int_equal(write(fd, piece, part), part);
    }
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
}

/* Both steps, honestly, for the body that it has been asked about. */
static inline void serve(size_t payload_bytes)
{
    say(answer_of_kind(READ_BODY));
    int fd = expect_asked(READ_PACK);
    pack(fd, payload_bytes);
    close(fd);
    struct read_answer packed = answer_of_kind(READ_PACK);
    packed.bytes = payload_bytes;
    say(packed);
}

#endif
