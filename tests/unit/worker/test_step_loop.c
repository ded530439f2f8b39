/* SPDX-License-Identifier: MIT */
/*
 * test_step_loop.c - engines: when they are asked, stepped and told, and what a mistake comes to.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "millrace/check.h"
#include "shm/calls.h"
#include "tests/unit/worker/stepped.h"

/* What the engine does, and what was asked of it. */
static struct script {
    int admit_result, step_result;
    int admit_count, step_count, evict_count;
    int value_count; /* emitted to each run in each step */
    const char *failure;
    struct mr_run *runs[SLOT_COUNT];
    int count;
    uint32_t slots[SLOT_COUNT]; /* in the order in which they were asked for */
    void (*mistake)(struct mr_run *run);
} s;

static int admit(struct mr_run *run)
{
    s.slots[s.admit_count++ % (int)SLOT_COUNT] = run->job->reply.slot;
    if (s.admit_result == 0)
        s.runs[s.count++] = run;
    return s.admit_result;
}

static int step(void *nothing)
{
    (void)nothing;
    s.step_count++;
    for (int i = 0; i < s.count; i++)
        for (int n = 0; n < s.value_count && !step_run_is_full(s.runs[i]); n++)
            value_integer(step_run_emit(s.runs[i]), n);
    if (s.mistake)
        s.mistake(s.runs[0]);
    return s.failure ? engine_fail("%s", s.failure) : s.step_result;
}

static void evict(struct mr_run *run)
{
    s.evict_count++;
    for (int i = 0; i < s.count; i++)
        if (s.runs[i] == run)
            s.runs[i--] = s.runs[--s.count];
}

static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};

static void begin(struct fixture *f)
{
    s = (struct script){.step_result = MR_LATER};
    start(f, &engine);
}

/* What was sent since, of each kind; the text of the last error. */
struct sent {
    int chunks, ends, errors;
    char text[512];
};

static struct sent sent_by(struct fixture *f)
{
    struct sent sent = {0};
    char payload[512];
    uint32_t slot;
    int kind;
    while ((kind = both_ends_take(&f->ends, &slot, payload, sizeof payload)) != -1) {
        sent.chunks += kind == RECORD_CHUNK;
        sent.ends += kind == RECORD_END;
        sent.errors += kind == RECORD_ERROR;
        if (kind == RECORD_ERROR)
            memcpy(sent.text, payload + 2, sizeof sent.text - 2);
    }
    return sent;
}

static void an_engine_that_has_nothing_to_do_is_stepped_when_something_came(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    settle(&f);
    assert_int_equal(s.step_count, 0);
    offer(&f, 0);
    settle(&f);
    assert_int_equal(s.step_count, 1);
    settle(&f);
    assert_int_equal(s.step_count, 1);
    struct mr_waker *waker = step_loop_waker();
    waker_wake(waker);
    settle(&f);
    assert_int_equal(s.step_count, 2);
    offer(&f, 1);
    settle(&f);
    assert_int_equal(s.step_count, 3);
    both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    settle(&f);
    assert_int_equal(s.step_count, 4);
    assert_int_equal(s.evict_count, 1);
    waker_release(waker);
    finish(&f);
}

static void each_step_is_counted_with_what_it_emitted(void **state)
{
    (void)state;
    struct fixture f;
    struct calls seen = {0}, total = {0};
    begin(&f);
    const struct calls_shared *steps = &f.context.attachment.segment.header->steps;
    s.value_count = 2;
    offer(&f, 0);
    offer(&f, 1);
    settle(&f);
    calls_collect(steps, &seen, &total);
    assert_int_equal(calls_count(&total), 1);
    assert_int_equal(total.item_count, 4);
    assert_true(total.time_ns > 0);
    /* What fits a window, and one that is kept beyond it. */
    s.value_count = 100;
    offer(&f, 2);
    settle(&f);
    calls_collect(steps, &seen, &total);
    assert_int_equal(calls_count(&total), 2);
    assert_int_equal(total.item_count, 3 * (WINDOW_CHUNK_COUNT + 1));
    finish(&f);
}

static void between_two_steps_nothing_is_asked_of_the_kernel_and_nobody_rings(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t due_ns;
    begin(&f);
    s.step_result = 0;
    offer(&f, 0);
    while (s.step_count == 0)
        assert_true(step_loop_round(&f.loop, &due_ns));
    uint64_t look_count = f.context.attachment.look_count;
    for (int i = 0; i < 10; i++) {
        assert_true(step_loop_round(&f.loop, &due_ns));
        assert_int_equal(due_ns, 0);
        assert_false(doorbell_ring(&f.context.attachment.bell, DOORBELL_ANY));
    }
    /* What comes meanwhile is seen all the same, before the next step. */
    offer(&f, 1);
    both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    assert_true(step_loop_round(&f.loop, &due_ns));
    assert_int_equal(s.evict_count, 1);
    assert_int_equal(s.admit_count, 2);
    assert_int_equal(f.context.attachment.look_count, look_count);
    finish(&f);
}

static int capacity(void *result)
{
    return *(const int *)result;
}

static void an_engine_says_how_many_runs_it_takes(void **state)
{
    (void)state;
    static const int results[] = {7, 1, 0, -1, INT_MIN, INT_MAX};
    static const uint64_t said[] = {7, 1, 0, 0, 0, INT_MAX};
    const struct mr_engine limited = {
        .admit = admit, .step = step, .evict = evict, .capacity = capacity};
    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        struct fixture f;
        int result = results[i];
        start(&f, &limited);
        graph_state(&f.graph, &result, NULL);
        step_loop_say_capacity(&f.loop);
        assert_int_equal(atomic_load(&f.context.attachment.segment.header->capacity), said[i]);
        finish(&f);
    }
}

/* Whoever compiled the pipeline knew no more of it. */
static void an_engine_of_an_older_header_has_no_capacity(void **state)
{
    (void)state;
    const struct mr_engine limited = {
        .admit = admit, .step = step, .evict = evict, .capacity = capacity};
    const int words[] = {MR_STREAM};
    struct mr_builder graph = {0};
    graph_engine(&graph, &limited, offsetof(struct mr_engine, capacity), words, 1);
    assert_null(graph_check(&graph));
    assert_null(graph.engine.capacity);
    assert_ptr_equal(graph.engine.evict, evict);
}

static void *wake_elsewhere(void *waker)
{
    waker_wake(waker);
    waker_release(waker);
    return NULL;
}

static void another_thread_ends_the_sleep_of_an_engine(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct mr_waker *waker = step_loop_waker();
    offer(&f, 0);
    settle(&f);
    struct pollfd epoll = {.fd = f.context.attachment.epoll, .events = POLLIN};
    assert_int_equal(poll(&epoll, 1, 0), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_elsewhere, waker), 0);
    assert_int_equal(poll(&epoll, 1, 20000), 1);
    settle(&f);
    assert_int_equal(pthread_join(thread, NULL), 0);
    settle(&f);
    assert_int_equal(s.step_count, 2);
    finish(&f);
}

static void a_full_run_costs_its_window_and_says_when_it_is_open(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    s.value_count = 100;
    offer(&f, 0);
    settle(&f);
    assert_int_equal(s.step_count, 1);
    assert_int_equal(sent_by(&f).chunks, WINDOW_CHUNK_COUNT);
    offer(&f, 1); /* which goes on beside it */
    settle(&f);
    assert_int_equal(sent_by(&f).chunks, WINDOW_CHUNK_COUNT);
    assert_int_equal(s.step_count, 2);
    both_ends_deliver(&f.ends, 0);
    settle(&f);
    assert_int_equal(s.step_count, 3);
    assert_int_equal(sent_by(&f).chunks, WINDOW_CHUNK_COUNT);
    finish(&f);
}

static void runs_that_wait_are_asked_for_in_their_order_when_one_is_over(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    offer(&f, 5);
    settle(&f);
    s.admit_result = MR_LATER;
    offer(&f, 3);
    offer(&f, 1);
    settle(&f);
    settle(&f);
    assert_int_equal(s.admit_count, 2);
    both_ends_cancel(&f.ends, 5, CANCEL_REQUESTED);
    settle(&f);
    assert_int_equal(s.admit_count, 3);
    s.admit_result = 0;
    waker_wake(step_loop_waker());
    settle(&f);
    assert_int_equal(s.admit_count, 5);
    const uint32_t expected[] = {5, 3, 3, 3, 1};
    assert_memory_equal(s.slots, expected, sizeof expected);
    waker_release(f.loop.waker);
    finish(&f);
}

static void a_run_that_is_cancelled_while_it_waits_ends_without_the_engine(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    s.admit_result = MR_LATER;
    offer(&f, 2);
    settle(&f);
    both_ends_cancel(&f.ends, 2, CANCEL_REQUESTED);
    settle(&f);
    struct sent sent = sent_by(&f);
    assert_int_equal(sent.errors, 1);
    assert_non_null(strstr(sent.text, "cancelled: on request"));
    assert_int_equal(s.evict_count, 0);
    finish(&f);
}

static void a_step_that_fails_ends_all_runs_with_its_words(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    s.failure = "device lost";
    offer(&f, 0);
    offer(&f, 1);
    settle(&f);
    struct sent sent = sent_by(&f);
    assert_int_equal(sent.errors, 2);
    assert_non_null(strstr(sent.text, "device lost"));
    assert_int_equal(s.evict_count, 2);
    s.failure = NULL;
    s.step_result = -5;
    offer(&f, 0);
    settle(&f);
    assert_non_null(strstr(sent_by(&f).text, "the engine's step() returned -5 (Input/output"));
    finish(&f);
}

static void a_stop_lets_runs_end_and_is_the_end(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t due_ns;
    begin(&f);
    offer(&f, 0);
    both_ends_stop(&f.ends);
    settle(&f);
    assert_int_equal(s.count, 1);
    both_ends_cancel(&f.ends, 0, CANCEL_REQUESTED);
    while (step_loop_round(&f.loop, &due_ns))
        continue;
    assert_int_equal(sent_by(&f).errors, 1);
    finish(&f);
}

static uint64_t stamp_of(struct fixture *f, uint32_t slot)
{
    return slot_last_progress(both_ends_slot(&f->ends, slot));
}

static void a_step_is_a_sign_of_life_of_all_runs_and_waiting_for_clients_is_none(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    s.value_count = 100;
    offer(&f, 0);
    settle(&f);
    s.admit_result = MR_LATER;
    offer(&f, 1);
    settle(&f);
    assert_int_equal(sent_by(&f).chunks, WINDOW_CHUNK_COUNT);
    slot_progress(both_ends_slot(&f.ends, 0), 1);
    slot_progress(both_ends_slot(&f.ends, 1), 1);
    f.loop.runs.stamp_ns = 0;
    both_ends_deliver(&f.ends, 0);
    settle(&f);
    assert_true(stamp_of(&f, 0) > 1 && stamp_of(&f, 1) > 1);
    step_runs_expect_clients(&f.loop.runs); /* run 0 is full again */
    assert_true(stamp_of(&f, 1) > clock_now_ns() + CLOCK_NS_PER_S);
    finish(&f);
}

/* ---- mistakes ------------------------------------------------------------------------------ */

static void use_after_finish(struct mr_run *run)
{
    step_run_finish(run);
    step_run_emit(run);
}

static void use_nonsense(struct mr_run *run)
{
    step_run_finish(run + 1000);
}

static void ends_the_process(void (*mistake)(struct mr_run *run))
{
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        struct fixture f;
        sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        begin(&f);
        s.mistake = mistake;
        offer(&f, 0);
        settle(&f);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void to_use_a_run_that_is_gone_ends_the_worker(void **state)
{
    (void)state;
    ends_the_process(use_after_finish);
    ends_the_process(use_nonsense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_has_nothing_to_do_is_stepped_when_something_came),
        cmocka_unit_test(each_step_is_counted_with_what_it_emitted),
        cmocka_unit_test(between_two_steps_nothing_is_asked_of_the_kernel_and_nobody_rings),
        cmocka_unit_test(an_engine_says_how_many_runs_it_takes),
        cmocka_unit_test(an_engine_of_an_older_header_has_no_capacity),
        cmocka_unit_test(another_thread_ends_the_sleep_of_an_engine),
        cmocka_unit_test(a_full_run_costs_its_window_and_says_when_it_is_open),
        cmocka_unit_test(runs_that_wait_are_asked_for_in_their_order_when_one_is_over),
        cmocka_unit_test(a_run_that_is_cancelled_while_it_waits_ends_without_the_engine),
        cmocka_unit_test(a_step_that_fails_ends_all_runs_with_its_words),
        cmocka_unit_test(a_stop_lets_runs_end_and_is_the_end),
        cmocka_unit_test(a_step_is_a_sign_of_life_of_all_runs_and_waiting_for_clients_is_none),
        cmocka_unit_test(to_use_a_run_that_is_gone_ends_the_worker),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
