/* SPDX-License-Identifier: MIT */
/*
 * test_batch_storm.c - whatever batched pipes and clients do, each run ends once, with what is its
 * own.
 *
 *     N=1000000 SEED=7 build/release/tests/unit/worker/test_batch_storm
 *
 * Runs go through a plain pipe, a batched one, another plain one, a second batched one and a
 * stream. Random arrivals, cancellations before and within calls, bad items, failing calls, full
 * windows and waits; what comes of a run is foretold from the decisions alone. N is the number of
 * steps: each does one thing, or is a round of the loop. SEED (printed) brings a failure back.
 */
#include <errno.h>
#include <time.h>

#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/worker/batched.h"

#define STEP_COUNT 200000u
#define COUNT_MAX 5u
/* A stream has fewer items. */
#define ITEM_COUNT 8u

enum fate {
    FATE_OPEN = 0,
    FATE_COMPLETE,
    FATE_REFUSED,    /* by the first pipe */
    FATE_FAILED,     /* alone, in a batch */
    FATE_UNANSWERED, /* there was nothing for it in a batch */
    FATE_ALL_FAILED,
    FATE_COUNT
};

static const char *const fate_texts[FATE_COUNT] = {
    [FATE_REFUSED] = "pipe plain: refused",
    [FATE_FAILED] = "pipe batched: failed alone",
    [FATE_UNANSWERED] = "pipe batched: no value was written",
    [FATE_ALL_FAILED] = "pipe batched: all failed",
};

/* The run in a slot. Its number is its own among those that live. */
struct life {
    bool exists;
    bool is_cancelled;
    enum fate fate;
    uint8_t number;
    uint32_t pass_count; /* of batched pipes */
    bool is_streaming;
    uint32_t left, given, received; /* items */
    uint32_t closed_count;
};

static struct world {
    struct fixture f;
    struct life lives[SLOT_COUNT];
    uint64_t seed;
    uint64_t run_count, end_count, cancel_count, within_count, call_count, full_count, wait_count;
    uint64_t item_count;
    bool is_ending;
} w;

static uint32_t below(uint32_t count)
{
    return random_below(&w.seed, count);
}

static struct life *life_of(const struct mr_call *call)
{
    struct life *life = &w.lives[call->job->reply.slot];
    assert_true(life->exists && life->fate == FATE_OPEN);
    return life;
}

/* ---- the pipeline ---------------------------------------------------------------------------- */

/* Refuses some; to others gives what it was given. */
static int plain(struct mr_call *call)
{
    struct life *life = life_of(call);
    assert_int_equal(number_of_call(call), life->number + life->pass_count);
    if (below(30) == 0) {
        life->fate = FATE_REFUSED;
        return call_fail(call, "refused");
    }
    return value_integer(&call->value, life->number + life->pass_count);
}

/* What becomes of one call in a batch. */
static void answer(struct mr_call *call, struct life *life, bool all_fail)
{
    uint32_t what = below(40);
    if (what == 0) {
        life->fate = FATE_FAILED;
        call_fail(call, "failed alone");
    } else if (what == 1 || (all_fail && what < 20)) {
        life->fate = all_fail ? FATE_ALL_FAILED : FATE_UNANSWERED;
    } else {
        life->pass_count++;
        value_integer(&call->value, number_of_call(call) + 1);
    }
}

/* A client of one of those in the call, or of another, leaves while it is made. */
static void cancel_within(void)
{
    uint16_t slot = (uint16_t)below(SLOT_COUNT);
    struct life *life = &w.lives[slot];
    if (!life->exists || life->is_cancelled)
        return;
    life->is_cancelled = true;
    w.cancel_count++;
    w.within_count++;
    both_ends_cancel(&w.f.ends, slot, CANCEL_REQUESTED);
}

static int batched(struct mr_call *const *calls, size_t count)
{
    assert_in_range(count, 1, COUNT_MAX);
    bool all_fail = below(20) == 0;
    uint32_t order[COUNT_MAX];
    w.call_count++;
    w.item_count += count;
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
        struct life *life = life_of(calls[i]);
        assert_false(life->is_cancelled);
        assert_int_equal(number_of_call(calls[i]), life->number + life->pass_count);
    }
    for (uint32_t i = (uint32_t)count; i > 1; i--) {
        uint32_t other = below(i), last = order[i - 1];
        order[i - 1] = order[other];
        order[other] = last;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (below(20) == 0)
            cancel_within();
        answer(calls[order[i]], life_of(calls[order[i]]), all_fail);
    }
    return all_fail ? batch_fail("all %s", "failed") : (int)below(2);
}

static int next(void *state, struct mr_value *out)
{
    struct life *life = state;
    assert_true(life->is_streaming && life->closed_count == 0);
    if (life->left == 0) {
        life->fate = FATE_COMPLETE;
        return MR_END;
    }
    life->left--;
    life->given++;
    return value_integer(out, life->number);
}

static void close_stream(void *state)
{
    struct life *life = state;
    assert_true(life->is_streaming);
    life->closed_count++;
}

static int stream(struct mr_call *call)
{
    struct life *life = life_of(call);
    life->is_streaming = true;
    life->left = below(ITEM_COUNT);
    return call_return_stream(
        call, &(struct mr_iterator){.state = life, .next = next, .close = close_stream});
}

/* ---- its clients ----------------------------------------------------------------------------- */

static void take_end(struct life *life, int kind, const char *text)
{
    assert_true(life->exists);
    assert_int_equal(life->closed_count, life->is_streaming);
    if (life->fate == FATE_COMPLETE && kind == RECORD_END) {
        assert_int_equal(life->left, 0);
        assert_int_equal(life->received, life->given);
    } else {
        assert_int_equal(kind, RECORD_ERROR);
        bool is_own = fate_texts[life->fate] && strstr(text, fate_texts[life->fate]);
        bool was_cancelled = life->is_cancelled && strstr(text, "cancelled: on request");
        if (!is_own && !was_cancelled)
            fail_msg("fate %d, and the error is %s", life->fate, text);
    }
    life->exists = false;
    w.end_count++;
}

static void take_all(void)
{
    uint32_t slot;
    int number;
    char text[512];
    int kind;
    while ((kind = take(&w.f, &slot, &number, text, sizeof text)) != -1) {
        struct life *life = &w.lives[slot];
        if (kind == RECORD_CHUNK) {
            assert_true(life->exists && life->is_streaming);
            assert_int_equal(number, life->number);
            life->received++;
        } else {
            take_end(life, kind, text + 2);
        }
    }
}

static uint8_t fresh_number(void)
{
    for (;;) {
        uint8_t number = (uint8_t)(100 + below(100));
        bool is_taken = false;
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            is_taken |= w.lives[i].exists && w.lives[i].number == number;
        if (!is_taken)
            return number;
    }
}

static void meddle(void)
{
    uint16_t slot = (uint16_t)below(SLOT_COUNT);
    struct life *life = &w.lives[slot];
    uint32_t what = below(20);
    if (!life->exists && !w.is_ending && what < 14) {
        *life = (struct life){.exists = true, .number = fresh_number()};
        w.run_count++;
        offer(&w.f, slot, life->number);
    } else if (life->exists && !life->is_cancelled && what == 14) {
        life->is_cancelled = true;
        w.cancel_count++;
        both_ends_cancel(&w.f.ends, slot, CANCEL_REQUESTED);
    } else if (life->exists && (what > 15 || w.is_ending)) {
        w.full_count += life->received >= WINDOW_CHUNK_COUNT;
        both_ends_deliver(&w.f.ends, slot);
    }
}

/* As if a call of two had just taken long: then it is worth waiting for others. */
static void seem_slow(void)
{
    struct batch_model *model = &w.f.loop.pipes[below(2)].model;
    uint64_t now_ns = clock_now_ns();
    batch_model_begin(model, now_ns - CLOCK_NS_PER_MS, 2);
    batch_model_end(model, now_ns);
}

static void step(void)
{
    uint64_t due_ns;
    if (below(20) == 0)
        seem_slow();
    if (below(4) > 0) {
        meddle();
        return;
    }
    uint64_t calls = w.call_count;
    assert_true(batch_loop_round(&w.f.loop, &due_ns));
    if (w.call_count == calls && due_ns > 0 && due_ns != CLOCK_NEVER)
        w.wait_count++;
    take_all();
}

static void start_storm(void)
{
    mr_variable variable = batched_graph(&w.f);
    variable = plain_pipe(&w.f, plain, MR_INTEGER, variable);
    variable = batched_pipe(&w.f, batched, MR_INTEGER, variable);
    variable = plain_pipe(&w.f, plain, MR_INTEGER, variable);
    variable = batched_pipe(&w.f, batched, MR_INTEGER, variable);
    graph_output(&w.f.graph, plain_pipe(&w.f, stream, MR_STREAM, variable));
    batched_start(&w.f, &(struct batch_limits){.count_max = COUNT_MAX, .wait_ns = 20000});
}

static void each_run_ends_once_with_what_is_its_own(void **state)
{
    (void)state;
    w.seed = environment_number("SEED", (uint64_t)time(NULL) << 16 | 1);
    print_message("SEED=%llu\n", (unsigned long long)w.seed);
    start_storm();
    const uint64_t count = environment_number("N", STEP_COUNT);
    for (uint64_t i = 0; i < count; i++)
        step();
    w.is_ending = true;
    while (w.end_count < w.run_count)
        step();
    uint64_t due_ns;
    both_ends_stop(&w.f.ends);
    assert_false(batch_loop_round(&w.f.loop, &due_ns));
    print_message("%llu runs, %llu cancelled, %llu of them within a call, %llu calls of %.2f runs, "
                  "%llu rounds that wait, %llu windows opened\n",
                  (unsigned long long)w.end_count, (unsigned long long)w.cancel_count,
                  (unsigned long long)w.within_count, (unsigned long long)w.call_count,
                  (double)w.item_count / (double)w.call_count, (unsigned long long)w.wait_count,
                  (unsigned long long)w.full_count);
    assert_true(w.cancel_count > 0 && w.within_count > 0 && w.full_count > 0 && w.wait_count > 0);
    finish(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_run_ends_once_with_what_is_its_own),
    };
    if (environment_number("N", STEP_COUNT) <= STEP_COUNT)
        alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
