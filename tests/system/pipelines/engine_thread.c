/* SPDX-License-Identifier: MIT */
/*
 * engine_thread.c - an engine whose work is done in another thread, for system tests: the squares
 * of the numbers below COUNT, one run after the other, and last how many steps that took.
 */
#include <pthread.h>
#include <stdlib.h>

#include <millrace/pipeline.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER;
static struct mr_waker *waker;
/* What the thread is to square, and what it has; -1: nothing. */
static int64_t task = -1, result = -1;

static struct mr_run *run;
static int64_t count, number, step_count;
static bool is_asked; /* the thread is at work, or has a result */

static void *work(void *nothing)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        while (task == -1)
            pthread_cond_wait(&has_work, &lock);
        result = task * task;
        task = -1;
        mr_wake(waker);
    }
    return nothing;
}

static int start(struct mr_call *call)
{
    pthread_t thread;
    waker = mr_engine_waker();
    if (!waker || pthread_create(&thread, NULL, work, NULL) != 0)
        return mr_fail(call, MR_ERROR_STARTUP, "no thread");
    return 0;
}

/* What the thread has, once; -1: nothing yet. */
static int64_t take(void)
{
    pthread_mutex_lock(&lock);
    int64_t taken = result;
    result = -1;
    pthread_mutex_unlock(&lock);
    return taken;
}

static void ask(void)
{
    pthread_mutex_lock(&lock);
    task = number;
    pthread_cond_signal(&has_work);
    pthread_mutex_unlock(&lock);
    is_asked = true;
}

/* What was asked for the run before has to come first. */
static int admit(struct mr_run *admitted)
{
    if (!run && is_asked && take() != -1)
        is_asked = false;
    if (run || is_asked)
        return MR_LATER;
    run = admitted;
    count = mr_run_arg_integer(run, 0);
    number = step_count = 0;
    return 0;
}

static void evict(struct mr_run *evicted)
{
    (void)evicted;
    run = NULL;
}

static int step(void *nothing)
{
    (void)nothing;
    step_count++;
    if (mr_run_is_full(run))
        return MR_LATER;
    int64_t taken = is_asked ? take() : -1;
    if (taken != -1) {
        mr_value_integer(mr_emit(run), taken);
        is_asked = false;
        number++;
    }
    if (!is_asked && number == count && !mr_run_is_full(run)) {
        mr_value_integer(mr_emit(run), step_count);
        mr_run_finish(run);
        run = NULL;
    } else if (!is_asked && number < count) {
        ask();
    }
    return MR_LATER;
}

MR_PIPELINE(engine_thread)
{
    static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
    mr_on_startup(builder, start);
    mr_variable input = mr_input(builder, MR_INTEGER, .title = "COUNT");
    mr_engine(builder, &engine, input);
}
