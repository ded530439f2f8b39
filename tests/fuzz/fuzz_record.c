/* SPDX-License-Identifier: MIT */
/*
 * fuzz_record.c - a worker that writes anything, anywhere, at any time.
 *
 * The stage (tests/unit/dispatcher/stage.h) has two workers. One is hostile: the input says which
 * records, fragments, messages and random bytes it writes into its segment, and when it dies; and
 * what clients, kernel and time do meanwhile. The other is honest. However it goes:
 *
 *   - the dispatcher neither crashes nor gives up an assertion;
 *   - every answer is HTTP, and every line of it JSON;
 *   - every run ends exactly once;
 *   - memory is bounded, and all of it is free in the end;
 *   - unless the input disturbs it too, the honest worker's stream arrives whole.
 *
 * Input: one byte of options, then operations of one byte each and their arguments.
 */
#include <stdint.h>

#include "tests/unit/dispatcher/stage_answer.h"

#define INPUT_BYTES_MAX 4096u
#define OPERATION_COUNT_MAX 256u
#define HOSTILE 0u
#define HONEST 1u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Each input makes a whole server: memory that comes back soon doubles the speed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8:malloc_context_size=5:allocator_release_to_os_interval_ms=-1";
}

static struct {
    const uint8_t *at, *end;
    bool disturbed; /* what the honest stream needs was taken from it */
    struct out_block *stolen;
    uint64_t stolen_count;
} play;

/* The honest worker's stream. */
static struct {
    uint32_t client;
    uint64_t conn_generation;
    struct record next;
    uint32_t chunk_count;
    bool ended;
} honest;

static struct client_answer answer;

/* ---- the input ---- */

static uint8_t take_byte(void)
{
    return play.at < play.end ? *play.at++ : 0;
}

static uint32_t take_number(size_t bytes)
{
    uint32_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | take_byte();
    return number;
}

/* Up to `count` bytes of the input; what is missing is zero. */
static void take_bytes(uint8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = take_byte();
}

/* ---- clients ---- */

/* All answers of one client, as far as they have come. */
static void client_check(uint32_t index)
{
    const struct stage_client *client = &stage.clients[index];
    for (size_t at = 0; at < client->count;) {
        answer_read(&answer, client->bytes + at, client->count - at, stage_is_closed(index));
        bool complete = answer.complete;
        at += answer.bytes;
        answer_finish(&answer);
        if (!complete)
            return;
    }
}

static bool client_connect(uint32_t *index)
{
    if (!stage.server->front.free)
        return false;
    client_check(stage.server->front.free->index);
    *index = stage_connect();
    return true;
}

static void client_say(uint32_t index, const char *path, int minor)
{
    if (stage.clients[index].recv.op == URING_RECV)
        stage_say(index, path, "{\"inputs\":[],\"stream_options\":{\"final_line\":true}}", minor);
}

static void operate_request(void)
{
    uint8_t what = take_byte();
    uint32_t index;
    if (!client_connect(&index))
        return;
    if (what & 4) /* server-sent events */
        stage_say_bytes(index,
                        "POST /v4/runs/stream HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n"
                        "Content-Length: 13\r\n\r\n{\"inputs\":[]}",
                        sizeof("POST /v4/runs/stream HTTP/1.1\r\nHost: a\r\n"
                               "Accept: text/event-stream\r\n"
                               "Content-Length: 13\r\n\r\n{\"inputs\":[]}") -
                            1);
    else
        client_say(index, what & 1 ? "/v4/runs" : "/v4/runs/stream", what & 2 ? 0 : 1);
}

/* Another request on a connection, perhaps before the first was answered. */
static void operate_again(void)
{
    uint32_t index = take_byte() % STAGE_CLIENT_COUNT_MAX;
    if (index != honest.client)
        client_say(index, "/v4/runs/stream", 1);
}

static void operate_cancel(void)
{
    uint32_t run = take_byte() % stage.server->runs.count_max, index;
    char text[128];
    const struct run *one = runs_at(&stage.server->runs, run);
    if (one->state == RUN_FREE || !client_connect(&index))
        return;
    play.disturbed |= one->sink && answer_of(one->sink)->conn &&
                      answer_of(one->sink)->conn->index == honest.client;
    int count =
        snprintf(text, sizeof(text), "DELETE /v4/runs/%s HTTP/1.1\r\nHost: a\r\n\r\n", one->id);
    stage_say_bytes(index, text, (size_t)count);
}

static void operate_sent(void)
{
    static const int errors[] = {EPIPE, ECONNRESET, EAGAIN, EINTR};
    uint32_t index = take_byte() % STAGE_CLIENT_COUNT_MAX;
    uint32_t amount = take_number(2);
    size_t bytes = stage_sending_bytes(index);
    if (bytes == 0)
        return;
    if (amount >= 0xfff0) {
        play.disturbed |= index == honest.client;
        stage_sent(index, -errors[amount % ARRAY_COUNT(errors)]);
    } else {
        stage_sent(index, (ssize_t)(1 + amount % bytes));
    }
}

static void operate_hang_up(void)
{
    uint32_t index = take_byte() % STAGE_CLIENT_COUNT_MAX;
    play.disturbed |= index == honest.client;
    stage_hang_up(index);
}

/* ---- the honest worker ---- */

static void honest_begin(void)
{
    uint32_t others[2];
    struct record start;
    mr_assert(client_connect(&others[0]));
    client_say(others[0], "/v4/runs/stream", 1);
    mr_assert(client_connect(&honest.client));
    client_say(honest.client, "/v4/runs/stream", 1);
    mr_assert(stage_request(HONEST, &start)); /* the least loaded of the two by now */
    mr_assert(slot_move(&stage.workers[HONEST].segment.slots[start.slot], start.generation,
                        SLOT_OFFERED, SLOT_RUNNING));
    honest.conn_generation = stage.server->front.conns[honest.client].generation;
    honest.next = (struct record){.slot = start.slot, .generation = start.generation};
    honest.chunk_count = 0;
    honest.ended = false;
}

static void honest_put(enum record_kind kind)
{
    const uint8_t chunk[] = {0x91, 0xcd, (uint8_t)(honest.chunk_count >> 8),
                             (uint8_t)honest.chunk_count};
    honest.next.kind = (uint8_t)kind;
    honest.next.bytes = kind == RECORD_CHUNK ? sizeof(chunk) : 0;
    if (honest.ended || !stage_put(HONEST, honest.next, chunk))
        return;
    honest.next.sequence++;
    honest.chunk_count += kind == RECORD_CHUNK;
    honest.ended = kind == RECORD_END;
}

/* Its window is 1000 bytes: three chunks of charge at most are on their way. */
static void operate_honest(void)
{
    const struct slot_shared *slot = &stage.workers[HONEST].segment.slots[honest.next.slot];
    uint64_t delivered = atomic_load(&slot->delivered);
    if (stage.workers[HONEST].lives && honest.chunk_count * (4ul + 320) - delivered < 500)
        honest_put(RECORD_CHUNK);
}

static void honest_check(void)
{
    if (play.disturbed)
        return;
    mr_assert(stage.workers[HONEST].kill_count == 0);
    mr_assert(stage.server->front.conns[honest.client].generation == honest.conn_generation);
    client_answer_of(&answer, honest.client);
    mr_assert(answer.complete);
    mr_assert(answer.line_count == honest.chunk_count + 1); /* and the status line */
    for (uint32_t i = 0; i < honest.chunk_count; i++) {
        char value[32];
        snprintf(value, sizeof(value), "\"value\":%u,", i);
        mr_assert(strstr(answer.lines[i], value) != NULL);
    }
    mr_assert(strstr(answer.lines[honest.chunk_count], "\"completed\"") != NULL);
    answer_finish(&answer);
}

/* ---- the hostile worker ---- */

/* The header its next honest record would have; false: the slot holds no run. */
static bool proper_header(uint32_t slot, struct record *out)
{
    const struct worker_slot *own = &stage.server->fleet.workers[HOSTILE]->slots[slot];
    if (!own->run)
        return false;
    *out = (struct record){
        .slot = (uint16_t)slot, .generation = own->generation, .sequence = own->sequence};
    return true;
}

static size_t make_payload(uint8_t *out)
{
    uint8_t kind = take_byte();
    size_t count = 1 + take_byte() % 64u;
    out[0] = 0x91;
    switch (kind % 8) {
    case 0:
        return 0;
    case 1: /* a number */
        out[1] = kind & 0x7f;
        return 2;
    case 2: /* a text */
        out[1] = 0xd9;
        out[2] = (uint8_t)count;
        memset(out + 3, kind & 0x80 ? 0xc3 : 'a', count);
        return 3 + count;
    case 3: /* a list in a list in ... */
        memset(out, 0x91, count);
        out[count] = 0xc0;
        return count + 1;
    case 4: /* a long text */
        out[1] = 0xda;
        out[2] = 3;
        out[3] = 0;
        memset(out + 4, '\n', 0x300);
        return 4 + 0x300;
    case 5: /* an error */
        out[0] = 0x93;
        out[1] = kind >> 4;
        out[2] = 0xd9;
        out[3] = (uint8_t)count;
        memset(out + 4, kind & 8 ? 0xff : '"', count);
        out[4 + count] = 0xc0;
        return 5 + count;
    default:
        take_bytes(out, count);
        return count;
    }
}

/* As a worker writes, but for what the input makes of it. */
static void operate_record(void)
{
    uint8_t payload[1024];
    struct record record;
    uint8_t what = take_byte();
    if (!stage.workers[HOSTILE].lives ||
        !proper_header(what / 16 % stage.config.options.concurrency, &record))
        return;
    static const uint8_t kinds[] = {RECORD_CHUNK, RECORD_CHUNK, RECORD_END, RECORD_ERROR};
    record.kind = kinds[what % 4];
    record.flags = what & 4 ? RECORD_MORE : 0;
    record.bytes = record.kind != RECORD_END ? (uint32_t)make_payload(payload)
                   : what & 8                ? sizeof(struct end_plain)
                                             : 0;
    if (record.kind == RECORD_END)
        take_bytes(payload, record.bytes);
    if (record.kind == RECORD_CHUNK && what & 8) {
        record.kind = RECORD_LOG;
        record.flags = 0;
        record.sequence = 0;
        payload[0] = 0x92; /* of a level, and ... */
    }
    stage_put(HOSTILE, record, payload);
    /* Once drained, the next proper header is right again. */
    if (what & 0x80)
        stage_pass();
}

static void operate_raw_record(void)
{
    uint8_t payload[64];
    struct record record;
    if (!stage.workers[HOSTILE].lives)
        return;
    take_bytes((uint8_t *)&record, sizeof(record));
    if (record.kind == RECORD_PAD)
        record.kind = RECORD_KIND_COUNT;
    record.bytes %= sizeof(payload);
    take_bytes(payload, record.bytes);
    stage_put(HOSTILE, record, payload);
}

/* Anything, anywhere in its segment. */
static void operate_scribble(void)
{
    struct stage_worker *worker = &stage.workers[HOSTILE];
    uint8_t bytes[32];
    if (!worker->lives)
        return;
    size_t count = 1 + take_byte() % sizeof(bytes);
    size_t offset = take_number(2) % (worker->segment.total_bytes - sizeof(bytes));
    take_bytes(bytes, count);
    memcpy((uint8_t *)worker->segment.header + offset, bytes, count);
}

static void operate_position(void)
{
    struct stage_worker *worker = &stage.workers[HOSTILE];
    uint8_t what = take_byte();
    uint64_t value = take_number(4);
    if (!worker->lives)
        return;
    _Atomic uint64_t *words[] = {
        &worker->segment.reply_ring->tail, &worker->segment.reply_ring->head,
        &worker->segment.request_ring->tail, &worker->segment.request_ring->head};
    if (what & 4)
        value = atomic_load(words[what % 4]) + (value & 0xfff0);
    atomic_store(words[what % 4], what & 8 ? value << 32 : value);
}

static void operate_message(void)
{
    uint8_t body[1024];
    uint16_t kind = (uint16_t)(take_byte() % (MESSAGE_KIND_COUNT + 1));
    size_t count = make_payload(body);
    if (stage.workers[HOSTILE].lives)
        stage_message(HOSTILE, kind, body, count);
    stage_pass();
}

static void operate_exit(void)
{
    uint8_t what = take_byte();
    if (!stage.workers[HOSTILE].lives)
        return;
    if (what & 1)
        stage_exit(HOSTILE, CLD_EXITED, what >> 1);
    else
        stage_exit(HOSTILE, CLD_KILLED, 1 + (what >> 1) % 31);
    stage_pass();
}

/* ---- kernel and time ---- */

/* Output memory becomes scarce, or plenty again. */
static void operate_memory(void)
{
    struct out_pool *pool = &stage.server->front.out;
    uint8_t keep = take_byte();
    play.disturbed = true;
    while (play.stolen) {
        struct out_block *block = play.stolen;
        play.stolen = block->next;
        block->next = pool->free;
        pool->free = block;
        pool->free_count++;
        play.stolen_count--;
    }
    out_pool_has_room(pool, OUT_BLOCK_BYTES);
    while (keep < 16 && pool->free_count > keep) {
        struct out_block *block = pool->free;
        pool->free = block->next;
        pool->free_count--;
        block->next = play.stolen;
        play.stolen = block;
        play.stolen_count++;
    }
}

static void operate_later(void)
{
    uint32_t ms = take_number(2);
    play.disturbed |= ms >= 1000;
    stage_later(ms);
}

static void operate_stop(void)
{
    if (stage.server->state != SERVER_STOPPED && take_byte() == 0) {
        play.disturbed = true;
        server_stop(stage.server);
        stage_pass();
    }
}

static void (*const operations[])(void) = {
    operate_record,   operate_record,  operate_record,  operate_record,     stage_pass,
    stage_settle,     operate_request, operate_request, operate_raw_record, operate_scribble,
    operate_position, operate_message, operate_exit,    operate_cancel,     operate_sent,
    operate_hang_up,  operate_memory,  operate_later,   operate_stop,       operate_honest,
    operate_again,
};

/* ---- the whole ---- */

/* New processes say hello by themselves, and take what they are given. */
static void workers_go_on(void)
{
    struct record ignored;
    const void *payload;
    for (uint32_t i = 0; i < stage.server->fleet.worker_count; i++) {
        struct stage_worker *worker = &stage.workers[i];
        if (worker->lives && stage.server->fleet.workers[i]->state == WORKER_STARTING) {
            stage_hello(i);
            stage_pass();
        }
        while (worker->lives && ring_peek(&worker->requests, &ignored, &payload) == 1)
            ring_release(&worker->requests);
    }
}

static void bounds_check(void)
{
    const struct server *server = stage.server;
    const struct tally *tally = server->runs.pipelines[0]->tally;
    mr_assert(server->front.out.block_count <= server->front.out.block_count_max);
    mr_assert(fleet_unfinished_bytes(&server->fleet) <=
              server->fleet.pools[0]->unfinished.bytes_max);
    mr_assert(server->api.collected_bytes == server->runs.pipelines[0]->collected_bytes);
    mr_assert(server->input.bytes <= server->config->input_bytes_max);
    if (server->runs.count == 0 && server->front.conn_count == 0)
        mr_assert(server->input.bytes == 0);
    mr_assert(server->runs.count <= server->config->run_count_max);
    uint64_t ended = 0;
    for (unsigned i = 0; i < RUN_END_COUNT; i++)
        ended += tally->ends[i];
    for (unsigned i = 0; i < CANCEL_REASON_COUNT; i++)
        ended += tally->cancels[i];
    mr_assert(tally->accepted_count ==
              ended + server->runs.pipelines[0]->queue_count + tally->active_count);
    /* Runs that are being cancelled were counted and still are there. */
    mr_assert(tally->active_count + server->runs.pipelines[0]->queue_count <= server->runs.count);
}

/* Everyone goes home. */
static void end(void)
{
    stage_settle();
    honest_put(RECORD_END);
    stage_settle();
    honest_check();
    play.at = (const uint8_t[]){255};
    play.end = play.at + 1;
    operate_memory(); /* all memory is back */
    for (uint32_t i = 0; i < STAGE_CLIENT_COUNT_MAX; i++) {
        stage_settle();
        stage_hang_up(i);
    }
    stage_settle();
    for (uint32_t i = 0; i < stage.server->fleet.worker_count; i++)
        if (stage.workers[i].lives)
            stage_exit(i, CLD_KILLED, SIGKILL);
    stage_settle();
    stage_later(4000000); /* whoever waits in a queue has waited too long */
    stage_settle();
    bounds_check();
    mr_assert(stage.server->runs.count == 0);
    mr_assert(stage.server->front.conn_count == 0);
    mr_assert(fleet_unfinished_bytes(&stage.server->fleet) == 0);
    mr_assert(stage.server->api.answer_count == 0);
    mr_assert(stage.server->api.collected_bytes == 0);
    mr_assert(stage.server->front.out.free_count == stage.server->front.out.block_count);
    for (uint32_t i = 0; i < STAGE_CLIENT_COUNT_MAX; i++)
        client_check(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > INPUT_BYTES_MAX)
        return 0;
    memset(&play, 0, sizeof(play));
    play.at = data;
    play.end = data + bytes;
    uint8_t options = take_byte();
    stage_open(&(struct stage_options){.worker_count = 2,
                                       .concurrency = 1 + options % 4u,
                                       .queue_count_max = 1 + options / 4u % 4u,
                                       .window_bytes = 1000,
                                       .output_bytes_max = 1u << 20});
    honest_begin();
    for (uint32_t i = 0; i < OPERATION_COUNT_MAX && play.at < play.end; i++) {
        operations[take_byte() % ARRAY_COUNT(operations)]();
        workers_go_on();
        bounds_check();
    }
    end();
    stage_close();
    return 0;
}
