/* SPDX-License-Identifier: MIT */
/*
 * test_step_storm.c - whatever an engine, its clients and other threads do, each run ends once,
 * with all of its values in order, and the engine hears of it.
 *
 *     N=1000000 SEED=7 build/release/tests/unit/worker/test_step_storm
 *
 * Random admissions, refusals, values, ends, failures, cancellations, full windows and wakes; what
 * comes of them is foretold from the decisions alone. N is the number of steps, SEED (printed)
 * brings a failure back.
 */
#include <time.h>

#include "shm/calls.h"
#include "tests/unit/shm/ring_memory.h"
#include "tests/unit/worker/stepped.h"

#define STEP_COUNT 100000u
/* More than these the engine does not admit. */
#define CAPACITY 5u
#define NUMBER_COUNT 100u

enum fate { FATE_OPEN = 0, FATE_FINISHED, FATE_FAILED, FATE_REFUSED, FATE_BROKEN, FATE_ALL_FAILED };

static const char *const fate_texts[] = {
    [FATE_OPEN] = "nothing",        [FATE_FINISHED] = "nothing",
    [FATE_FAILED] = "failed alone", [FATE_REFUSED] = "the engine's admit() returned -5",
    [FATE_BROKEN] = "no value",     [FATE_ALL_FAILED] = "all failed",
};

/* The run in a slot. */
struct life {
    bool exists;
    bool is_in;
    bool is_cancelled;
    bool has_stash; /* the last value waits for the window */
    enum fate fate;
    uint64_t order;
    struct mr_run *run;
    uint64_t emitted, sent, received, delivered; /* values */
};

static struct world {
    struct fixture f;
    struct life lives[SLOT_COUNT];
    uint64_t seed;
    uint64_t order;
    uint64_t step_count, end_count, cancel_count, evict_count, full_count, refusal_count;
    uint64_t stepped_value_count; /* emitted in step(), as the worker counts them */
    bool is_stepping;
    bool is_idle;    /* step() said so, and nothing has come since */
    bool is_refused; /* admit() said so, likewise */
    bool is_ending;  /* the engine finishes what it has */
} w;

static uint32_t below(uint32_t count)
{
    return random_below(&w.seed, count);
}

static bool is_waiting(const struct life *life)
{
    return life->exists && !life->is_in && life->fate == FATE_OPEN && !life->is_cancelled;
}

static uint32_t in_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        count += w.lives[i].is_in;
    return count;
}

/* One that broke within admit() is evicted before a step. */
static bool has_one_to_step(void)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (w.lives[i].is_in && w.lives[i].fate == FATE_OPEN)
            return true;
    return false;
}

static void leave_engine(struct life *life, enum fate fate)
{
    life->is_in = false;
    life->fate = fate;
    w.is_refused = false;
}

/* ---- the pipeline's engine ----------------------------------------------------------------- */

static void emit(struct life *life)
{
    struct mr_value *value = step_run_emit(life->run);
    if (life->has_stash) {
        assert_null(value);
        w.full_count++;
        return;
    }
    assert_non_null(value);
    if (!w.is_ending && below(50) == 0) {
        life->fate = FATE_BROKEN; /* nothing is written */
        return;
    }
    assert_int_equal(value_integer(value, (int64_t)(life->emitted++ % NUMBER_COUNT)), MR_ITEM);
    w.stepped_value_count += w.is_stepping;
    if (life->sent - life->delivered < WINDOW_CHUNK_COUNT)
        life->sent++;
    else
        life->has_stash = true;
}

static int admit(struct mr_run *run)
{
    struct life *life = &w.lives[run->job->reply.slot];
    assert_true(is_waiting(life));
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_true(!is_waiting(&w.lives[i]) || w.lives[i].order >= life->order);
    life->run = run;
    step_run_set(run, life);
    uint32_t what = w.is_ending ? 99 : below(100);
    if (in_count() >= CAPACITY || what < 20) {
        w.is_refused = true;
        w.refusal_count++;
        return MR_LATER;
    }
    life->is_in = true;
    if (what < 25) {
        leave_engine(life, FATE_FAILED);
        return run_fail(run, "failed %s", "alone");
    }
    if (what < 30) {
        leave_engine(life, FATE_REFUSED);
        return -5;
    }
    if (what < 40)
        emit(life);
    if (what < 35 && life->fate == FATE_OPEN) {
        step_run_finish(run);
        leave_engine(life, FATE_FINISHED);
        return 0;
    }
    w.is_idle = false;
    return 0;
}

static void evict(struct mr_run *run)
{
    struct life *life = step_run_get(run);
    assert_true(life->is_in);
    assert_ptr_equal(life->run, run);
    assert_true(life->is_cancelled || life->fate == FATE_BROKEN || life->fate == FATE_ALL_FAILED);
    assert_true(step_run_is_cancelled(run));
    leave_engine(life, life->fate);
    w.is_idle = false;
    w.evict_count++;
}

static void step_one(struct life *life)
{
    /* One that broke takes nothing more until it is evicted. */
    if (below(2) == 0)
        assert_int_equal(step_run_is_full(life->run), life->has_stash || life->fate != FATE_OPEN);
    for (uint32_t count = below(4); count > 0 && life->fate == FATE_OPEN; count--)
        emit(life);
    uint32_t what = w.is_ending ? 0 : below(60);
    if (life->fate != FATE_OPEN || what > 4)
        return;
    if (what < 3) {
        step_run_finish(life->run);
        leave_engine(life, FATE_FINISHED);
    } else {
        assert_true(run_fail(life->run, "failed %s", "alone") < 0);
        leave_engine(life, FATE_FAILED);
    }
}

static int step(void *nothing)
{
    assert_null(nothing);
    w.step_count++;
    assert_false(w.is_idle);
    assert_true(in_count() > 0);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        assert_false(w.lives[i].is_in && w.lives[i].is_cancelled);
        assert_false(is_waiting(&w.lives[i]) && !w.is_refused);
    }
    w.is_stepping = true;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (w.lives[i].is_in)
            step_one(&w.lives[i]);
    w.is_stepping = false;
    if (!w.is_ending && below(200) == 0) {
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            if (w.lives[i].is_in && w.lives[i].fate == FATE_OPEN)
                w.lives[i].fate = FATE_ALL_FAILED;
        return engine_fail("all %s", "failed");
    }
    w.is_idle = below(3) == 0;
    return w.is_idle ? MR_LATER : 0;
}

/* ---- its clients --------------------------------------------------------------------------- */

static void take_end(struct life *life, int kind, const char *text)
{
    assert_true(life->exists);
    assert_false(life->is_in);
    if (life->is_cancelled) {
        assert_int_equal(kind, RECORD_ERROR);
        assert_non_null(strstr(text, "cancelled: on request"));
        assert_true(life->received <= life->emitted);
    } else if (life->fate == FATE_FINISHED) {
        assert_int_equal(kind, RECORD_END);
        assert_int_equal(life->received, life->emitted);
    } else {
        assert_int_equal(kind, RECORD_ERROR);
        assert_int_not_equal(life->fate, FATE_OPEN);
        assert_non_null(strstr(text, fate_texts[life->fate]));
        assert_int_equal(life->received, life->emitted);
    }
    life->exists = false;
    w.end_count++;
}

static void take_all(void)
{
    uint32_t slot;
    char payload[512];
    int kind;
    while ((kind = both_ends_take(&w.f.ends, &slot, payload, sizeof payload)) != -1) {
        struct life *life = &w.lives[slot];
        if (kind == RECORD_CHUNK)
            assert_int_equal(payload[1], life->received++ % NUMBER_COUNT);
        else
            take_end(life, kind, payload + 2);
    }
}

/* One of the things that clients and threads do. */
static void meddle(void)
{
    uint16_t slot = (uint16_t)below(SLOT_COUNT);
    struct life *life = &w.lives[slot];
    uint32_t what = below(20);
    if (!life->exists && !w.is_ending && what < 12) {
        *life = (struct life){.exists = true, .order = w.order++};
        offer(&w.f, slot);
    } else if (life->exists && !life->is_cancelled && what == 12) {
        life->is_cancelled = true;
        life->has_stash = false;
        w.cancel_count++;
        both_ends_cancel(&w.f.ends, slot, CANCEL_REQUESTED);
    } else if (life->exists && (what > 14 || w.is_ending)) {
        both_ends_deliver(&w.f.ends, slot);
        life->delivered = life->received;
        if (life->has_stash && life->sent - life->delivered < WINDOW_CHUNK_COUNT) {
            life->has_stash = false;
            life->sent++;
            w.is_idle = w.is_idle && !life->is_in;
        }
    } else if (what == 13) {
        struct mr_waker *waker = step_loop_waker();
        waker_wake(waker);
        waker_release(waker);
        w.is_idle = w.is_refused = false;
    }
}

static void go_on(void)
{
    uint64_t due_ns;
    for (uint32_t count = below(6) + w.is_ending * SLOT_COUNT; count > 0; count--)
        meddle();
    uint64_t steps = w.step_count;
    assert_true(step_loop_round(&w.f.loop, &due_ns));
    assert_true(w.step_count != steps || w.is_idle || !has_one_to_step());
    assert_true(w.step_count == steps || due_ns == 0);
    take_all();
}

static void expect_counted(void)
{
    struct calls seen = {0}, total = {0};
    calls_collect(&w.f.context.attachment.segment.header->steps, &seen, &total);
    assert_int_equal(calls_count(&total), w.step_count);
    assert_int_equal(total.item_count, w.stepped_value_count);
}

static void each_run_ends_once_and_whole_and_the_engine_hears_of_it(void **state)
{
    (void)state;
    static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
    w.seed = environment_number("SEED", (uint64_t)time(NULL) << 16 | 1);
    print_message("SEED=%llu\n", (unsigned long long)w.seed);
    start(&w.f, &engine);
    const uint64_t count = environment_number("N", STEP_COUNT);
    while (w.step_count < count)
        go_on();
    w.is_ending = true;
    w.is_idle = w.is_refused = false;
    waker_wake(step_loop_waker());
    while (w.end_count < w.order)
        go_on();
    uint64_t due_ns;
    both_ends_stop(&w.f.ends);
    assert_false(step_loop_round(&w.f.loop, &due_ns));
    print_message("%llu runs, %llu cancelled, %llu evicted, %llu times full, %llu refused\n",
                  (unsigned long long)w.end_count, (unsigned long long)w.cancel_count,
                  (unsigned long long)w.evict_count, (unsigned long long)w.full_count,
                  (unsigned long long)w.refusal_count);
    assert_true(w.cancel_count > 0 && w.evict_count > 0 && w.full_count > 0);
    expect_counted();
    waker_release(w.f.loop.waker);
    finish(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_run_ends_once_and_whole_and_the_engine_hears_of_it),
    };
    if (environment_number("N", STEP_COUNT) <= STEP_COUNT)
        alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
