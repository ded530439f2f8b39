/* SPDX-License-Identifier: MIT */
/*
 * explore_worker.c - where a worker sleeps, no wake-up is lost: its own loop and its own waiting
 * for room, as they are, in all runs of the explorer.
 *
 * The worker's objects are those of the program; only shm/ is compiled for the explorer. The clock
 * stands still, and where the worker would sleep it sleeps on a bell of the explorer's. A
 * dispatcher is played.
 */
#include "worker/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/limits.h"
#include "millrace/protocol.h"
#include "shm/clock.h"
#include "shm/slot.h"
#include "tests/explore/explorer.h"

#define CAPACITY RING_BYTES_MIN
#define RECORDS_IN_FULL_RING 4u
#define GENERATION 5u
#define WINDOW_BYTES (2 * (CHUNK_CHARGE_BYTES + 2)) /* two chunks of one number */
#define WATCHDOG_S 60u

struct world {
    struct segment_header header;
    struct slot_shared slot;
    _Alignas(128) uint8_t requests[sizeof(struct ring_shared) + CAPACITY];
    _Alignas(128) uint8_t replies[sizeof(struct ring_shared) + CAPACITY];
};

#define REQUESTS(word) (offsetof(struct world, requests) + offsetof(struct ring_shared, word))
#define REPLIES(word) (offsetof(struct world, replies) + offsetof(struct ring_shared, word))

static const struct explorer_name names[] = {
    {offsetof(struct world, header.worker_bell.asleep), "asleep (worker)"},
    {offsetof(struct world, header.dispatcher_bell.asleep), "asleep (dispatcher)"},
    {offsetof(struct world, header.cancel_count), "cancel count"},
    {offsetof(struct world, slot.word), "slot"},
    {offsetof(struct world, slot.cancel), "cancel"},
    {offsetof(struct world, slot.delivered), "delivered"},
    {offsetof(struct world, slot.progress), "progress"},
    {REQUESTS(tail), "tail of requests"},
    {REQUESTS(head), "head of requests"},
    {REPLIES(tail), "tail of replies"},
    {REPLIES(head), "head of replies"},
};

/* ---- what is not the worker's own ------------------------------------------------------------ */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    *out = (struct timespec){.tv_sec = 1};
    return 0;
}

int __wrap_attachment_sleep(struct attachment *attachment, uint64_t due_ns);
int __wrap_attachment_sleep(struct attachment *attachment, uint64_t due_ns)
{
    explorer_expect(due_ns == CLOCK_NEVER);
    explorer_sleep(attachment->bell.fd);
    return 0;
}

int __wrap_attachment_poll(struct attachment *attachment);
int __wrap_attachment_poll(struct attachment *attachment)
{
    explorer_poll(attachment->bell.fd);
    return 0;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static struct {
    struct host host; /* first */
    struct context context;
    struct engine engine;
    struct job *job;
    uint32_t cancel_count;
    uint32_t resume_count;
} side;

static int host_start(struct host *host, struct job *job)
{
    (void)host;
    side.job = job;
    return HOST_DRIVEN;
}

static void host_finish(struct host *host, struct job *job)
{
    (void)host;
    (void)job;
}

static void host_cancel(struct host *host, struct job *job)
{
    (void)host;
    (void)job;
    side.cancel_count++;
}

static void host_resume(struct host *host, struct job *job)
{
    (void)host;
    (void)job;
    side.resume_count++;
}

/* Attached to the world; what the run before left goes. */
static void worker_begin(void *argument)
{
    struct world *world = argument;
    if (side.engine.context)
        engine_finish(&side.engine);
    memset(&side, 0, sizeof side);
    side.host = (struct host){
        .start = host_start, .finish = host_finish, .cancel = host_cancel, .resume = host_resume};
    struct attachment *attachment = &side.context.attachment;
    attachment->segment = (struct segment){
        .fd = -1,
        .options = {.slot_count = 1,
                    .request_ring_bytes = CAPACITY,
                    .reply_ring_bytes = CAPACITY,
                    .window_bytes = WINDOW_BYTES},
        .header = &world->header,
        .slots = &world->slot,
        .request_ring = (void *)world->requests,
        .reply_ring = (void *)world->replies,
    };
    ring_format(attachment->segment.request_ring, CAPACITY);
    ring_format(attachment->segment.reply_ring, CAPACITY);
    ring_rx_init(&attachment->request, attachment->segment.request_ring, CAPACITY);
    ring_tx_init(&attachment->reply, attachment->segment.reply_ring, CAPACITY);
    attachment->bell = (struct doorbell){&world->header.worker_bell, explorer_bell(0)};
    attachment->dispatcher_bell =
        (struct doorbell){&world->header.dispatcher_bell, explorer_bell(1)};
    reply_init(&side.context.reply, attachment, &side.context.error);
    mr_assert(engine_init(&side.engine, &side.context, &side.host) == 0);
}

/* ---- the dispatcher -------------------------------------------------------------------------- */

static void commit(struct ring_tx *tx, enum record_kind kind, const char *payload, uint32_t bytes)
{
    void *room;
    explorer_expect(ring_claim(tx, bytes, &room) == 0);
    memcpy(room, payload, bytes);
    ring_commit(tx, &(struct record){
                        .bytes = bytes,
                        .kind = (uint8_t)kind,
                        .generation = kind == RECORD_START ? GENERATION : 0,
                    });
}

static void send_request(struct world *world, enum record_kind kind, const char *payload,
                         uint32_t bytes)
{
    struct ring_tx tx;
    ring_tx_init(&tx, (void *)world->requests, CAPACITY);
    commit(&tx, kind, payload, bytes);
}

static void ring_worker(struct world *world, uint32_t news)
{
    struct doorbell bell = {&world->header.worker_bell, explorer_bell(0)};
    doorbell_ring(&bell, news);
}

static struct explorer_result result;

static void explore(void (*begin)(void *), void (*worker)(void *), void (*dispatcher)(void *))
{
    static struct world world;
    const struct explorer_side sides[] = {{"worker", worker}, {"dispatcher", dispatcher}};
    explorer_explore(
        &(struct explorer_world){
            .memory = &world,
            .bytes = sizeof world,
            .begin = begin,
            .sides = sides,
            .side_count = ARRAY_COUNT(sides),
            .names = names,
            .name_count = ARRAY_COUNT(names),
        },
        &result);
    explorer_print(&result);
    assert_int_equal(result.finding, EXPLORER_NOTHING);
    assert_true(result.whole_count > 1);
}

/* ---- requests: engine_run() ------------------------------------------------------------------ */

static void worker_runs(void *argument)
{
    (void)argument;
    engine_run(&side.engine);
}

static void dispatcher_stops_it(void *argument)
{
    send_request(argument, RECORD_STOP, "", 0);
    ring_worker(argument, DOORBELL_WORK);
}

static void a_request_wakes_a_worker_without_runs(void **state)
{
    (void)state;
    explore(worker_begin, worker_runs, dispatcher_stops_it);
}

/* ---- room: reply_end() ----------------------------------------------------------------------- */

static void full_begin(void *argument)
{
    worker_begin(argument);
    static const char zeros[CAPACITY];
    struct ring_tx *tx = &side.context.attachment.reply;
    for (uint32_t i = 0; i < RECORDS_IN_FULL_RING; i++)
        commit(tx, RECORD_CHUNK, zeros, ring_payload_max(CAPACITY));
}

static void worker_ends_a_run(void *argument)
{
    (void)argument;
    struct reply_job job = {.generation = GENERATION};
    reply_end(&side.context.reply, &job, 0);
}

/* Takes one record after the other, and sleeps when there is none, as the dispatcher does. */
static void dispatcher_reads_until_the_end(void *argument)
{
    struct world *world = argument;
    struct doorbell own = {&world->header.dispatcher_bell, explorer_bell(1)};
    struct record meta = {.kind = RECORD_CHUNK};
    const void *payload;
    struct ring_rx rx;
    ring_rx_init(&rx, (void *)world->replies, CAPACITY);
    for (;;) {
        while (ring_peek(&rx, &meta, &payload) == 1)
            continue;
        if (ring_release(&rx))
            ring_worker(world, DOORBELL_SPACE);
        if (meta.kind == RECORD_END)
            break;
        doorbell_arm(&own, DOORBELL_WORK);
        if (ring_is_empty(&rx))
            explorer_sleep(own.fd);
        doorbell_disarm(&own);
    }
}

static void room_wakes_a_worker_whose_ring_is_full(void **state)
{
    (void)state;
    explore(full_begin, worker_ends_a_run, dispatcher_reads_until_the_end);
}

/* ---- a run that waits: engine_turn() --------------------------------------------------------- */

/* It has begun, and its host drives it. */
static void run_begin(void *argument)
{
    struct world *world = argument;
    worker_begin(world);
    slot_offer(&world->slot, GENERATION);
    send_request(world, RECORD_START, "\x92\xa1r\x90", 4);
    engine_run(&side.engine);
    mr_assert(side.job && side.job->state == JOB_DRIVEN);
}

/* The third line does not fit into its window. */
static void window_begin(void *argument)
{
    run_begin(argument);
    for (int64_t i = 0; i < 3; i++) {
        struct mr_value *value = engine_open_line(&side.engine, side.job);
        mr_assert(value_outputs(value, 1) == 0);
        value_expect(value);
        mr_assert(value_integer(value, i) == MR_ITEM);
        mr_assert(engine_send_line(&side.engine, side.job) == (i < 2));
    }
}

/* As a host does whose own loop it is: a turn, and then it sleeps. */
static void worker_takes_turns(void *argument)
{
    (void)argument;
    for (;;) {
        uint64_t due_ns;
        explorer_expect(engine_turn(&side.engine, &due_ns));
        if (side.cancel_count + side.resume_count > 0)
            break;
        if (due_ns == CLOCK_NEVER)
            explorer_sleep(explorer_bell(0));
    }
}

static void dispatcher_cancels(void *argument)
{
    struct world *world = argument;
    slot_cancel(&world->slot, &world->header.cancel_count, GENERATION, CANCEL_REQUESTED);
    ring_worker(world, DOORBELL_WORK);
}

/* The first count is not enough. */
static void dispatcher_delivers(void *argument)
{
    struct world *world = argument;
    slot_deliver(&world->slot, 1);
    ring_worker(world, DOORBELL_WINDOW);
    slot_deliver(&world->slot, WINDOW_BYTES);
    ring_worker(world, DOORBELL_WINDOW);
}

static void a_cancel_wakes_a_worker_whose_run_waits(void **state)
{
    (void)state;
    explore(run_begin, worker_takes_turns, dispatcher_cancels);
}

static void a_delivered_count_wakes_a_worker_whose_run_has_used_up_its_window(void **state)
{
    (void)state;
    explore(window_begin, worker_takes_turns, dispatcher_delivers);
}

int main(void)
{
    alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_wakes_a_worker_without_runs),
        cmocka_unit_test(room_wakes_a_worker_whose_ring_is_full),
        cmocka_unit_test(a_cancel_wakes_a_worker_whose_run_waits),
        cmocka_unit_test(a_delivered_count_wakes_a_worker_whose_run_has_used_up_its_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
