/* SPDX-License-Identifier: MIT */
/*
 * dispatcher.c - the dispatcher at work on a stage without a kernel, to count its instructions.
 *
 *     dispatcher flood N       N chunks of one stream, 256 in each pass of the loop
 *     dispatcher paced N       N chunks of one stream, each in a pass of its own
 *     dispatcher requests N    N requests on one kept connection, answered by one line each
 *
 * Meant to run under callgrind with --toggle-collect=server_pass: then only the loop is counted,
 * and not what plays client and worker here. Two runs of different N give the cost of one.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/dispatcher/stage_run.h"

#define CHUNKS_PER_PASS 256u
#define TEXT_BYTES 64u
#define PASS_NS 20000
#define BODY                                                                                       \
    "{\"inputs\":[{\"type\":\"integer\",\"value\":1},{\"type\":\"integer\",\"value\":64},"         \
    "{\"type\":\"integer\",\"value\":0}]}"

/* The worker of a pipeline with three numbers as inputs and one stream. */
static void say_hello(void)
{
    static const char *const titles[] = {"N", "BYTES", "MS"};
    struct hello hello;
    hello_init(&hello);
    hello_begin(&hello, "lines");
    hello_list(&hello, "inputs", ARRAY_COUNT(titles));
    for (size_t i = 0; i < ARRAY_COUNT(titles); i++) {
        msgpack_pack_map(&hello.packer, 2);
        hello_word(&hello, "type", "integer");
        hello_word(&hello, "title", titles[i]);
    }
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 1);
    hello_word(&hello, "type", "stream");
    stage_message(0, MESSAGE_HELLO, hello.buffer.data, hello.buffer.size);
    hello_finish(&hello);
    stage_message(0, MESSAGE_READY, NULL, 0);
    stage_pass();
}

/* What tests/bench/pipelines/lines.c yields. */
static void put_chunk(struct stage_run *run, uint64_t number)
{
    static char text[TEXT_BYTES];
    char bytes[256];
    msgpack_packer packer;
    msgpack_sbuffer buffer = {.data = bytes, .alloc = sizeof(bytes)};
    memset(text, 'x', sizeof(text));
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, 3);
    msgpack_pack_str_with_body(&packer, "i", 1);
    msgpack_pack_uint64(&packer, number);
    msgpack_pack_str_with_body(&packer, "t_ns", 4);
    msgpack_pack_uint64(&packer, UINT64_C(12345678901234) + number);
    msgpack_pack_str_with_body(&packer, "chunk", 5);
    msgpack_pack_str_with_body(&packer, text, sizeof(text));
    mr_assert(buffer.data == bytes); /* it did not have to grow */
    stage_run_put(run, RECORD_CHUNK, 0, bytes, buffer.size);
}

/* Passes until nothing moves; every send is taken in full, and what was sent forgotten. */
static void settle(uint32_t client)
{
    stage_settle();
    stage.clients[client].count = 0;
    stage.now_ns += PASS_NS; /* chunks of two passes come one after the other */
}

static void stream(uint64_t count, uint64_t chunks_per_pass)
{
    struct stage_run run = stage_run_begin(STREAM_PATH, BODY, 1);
    for (uint64_t i = 0; i < count; i++) {
        put_chunk(&run, i);
        if (i % chunks_per_pass == chunks_per_pass - 1)
            settle(run.client);
    }
    stage_run_end(&run);
    settle(run.client);
}

static void requests(uint64_t count)
{
    struct stage_run run = {.client = stage_connect()};
    for (uint64_t i = 0; i < count; i++) {
        stage_say(run.client, STREAM_PATH, BODY, 1);
        mr_assert(stage_run_take(&run));
        put_chunk(&run, 0);
        stage_run_end(&run);
        settle(run.client);
    }
}

int main(int argc, char **argv)
{
    mr_assert(argc == 3);
    uint64_t count = strtoull(argv[2], NULL, 10);
    stage_open(&(struct stage_options){.no_hello = true, .reply_ring_bytes = 1u << 20});
    stage.server->reactor.log.level = LEVEL_INFO;
    stage.is_measured = true;
    say_hello();
    if (strcmp(argv[1], "flood") == 0)
        stream(count, CHUNKS_PER_PASS);
    else if (strcmp(argv[1], "paced") == 0)
        stream(count, 1);
    else if (strcmp(argv[1], "requests") == 0)
        requests(count);
    else
        mr_unreachable("flood, paced or requests");
    stage_close();
    return 0;
}
