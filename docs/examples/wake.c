/* SPDX-License-Identifier: MIT */
/*
 * wake.c - streams that wait for something else than a time: a thread, and a descriptor.
 *
 *     cc -shared -fPIC wake.c -o wake.so $(pkg-config --cflags millrace) -pthread
 *     millrace serve wake.so:primes wake.so:ticks --concurrency 16
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"pipeline":"local/primes:v1","inputs":[{"type":"integer","value":5}]}'
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"pipeline":"local/ticks:v1","inputs":[{"type":"integer","value":3}]}'
 *
 * primes: a thread looks for them, one for each run, and wakes the run for each that it finds. With
 * a GPU the thread is the driver's: what it calls when its work is done wakes the run.
 *
 * ticks: the kernel counts on a timerfd, one every 50 ms. A socket is waited for in the same way.
 *
 * While they wait the worker does what there is to do for its other runs.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <millrace/pipeline.h>

#define PRIME_COUNT_MAX 1000000
#define TICK_MS 50

/* ---- primes -------------------------------------------------------------------------------- */

struct primes {
    struct mr_waker *waker;
    pthread_t thread;
    _Atomic bool is_stopping;
    _Atomic size_t found_count; /* what the thread has written to `found` */
    size_t sent_count;
    size_t count;
    int64_t found[];
};

static bool is_prime(int64_t number)
{
    for (int64_t divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return false;
    return true;
}

/* Another thread: of millrace's functions it calls mr_wake() alone. */
static void *search(void *argument)
{
    struct primes *primes = argument;
    size_t count = 0;
    for (int64_t number = 2; count < primes->count && !primes->is_stopping; number++) {
        if (!is_prime(number))
            continue;
        primes->found[count++] = number;
        primes->found_count = count; /* first what there is, then the wake */
        mr_wake(primes->waker);
    }
    return NULL;
}

static int primes_next(void *state, struct mr_value *out)
{
    struct primes *primes = state;
    if (primes->sent_count == primes->count)
        return MR_END;
    if (primes->sent_count == primes->found_count)
        return mr_later(out);
    return mr_value_integer(out, primes->found[primes->sent_count++]);
}

static void primes_close(void *state)
{
    struct primes *primes = state;
    primes->is_stopping = true;
    pthread_join(primes->thread, NULL); /* the memory it works in is the run's */
    mr_waker_release(primes->waker);
}

static int start_primes(struct mr_call *call)
{
    int64_t count = mr_arg_integer(call, 0);
    if (count < 0 || count > PRIME_COUNT_MAX)
        return mr_fail(call, MR_ERROR_INPUT, "from 0 to %d primes", PRIME_COUNT_MAX);
    struct primes *primes =
        mr_alloc(call, sizeof *primes + (size_t)count * sizeof primes->found[0]);
    if (!primes)
        return -1;
    primes->count = (size_t)count;
    primes->waker = mr_waker_get(call);
    if (!primes->waker)
        return -1;
    if (pthread_create(&primes->thread, NULL, search, primes) != 0) {
        mr_waker_release(primes->waker);
        return mr_fail(call, MR_ERROR_PIPELINE, "no thread can be had");
    }
    return mr_return_stream(call, &(struct mr_iterator){primes, primes_next, primes_close});
}

MR_PIPELINE(primes)
{
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count", .ge = "0");
    mr_output(builder, mr_pipe(builder, start_primes, MR_STREAM, count));
}

/* ---- ticks --------------------------------------------------------------------------------- */

struct ticks {
    int timer;
    int64_t sent_count;
    int64_t count;
};

static int ticks_next(void *state, struct mr_value *out)
{
    struct ticks *ticks = state;
    uint64_t elapsed;
    if (ticks->sent_count == ticks->count)
        return MR_END;
    if (read(ticks->timer, &elapsed, sizeof elapsed) == -1)
        return mr_later_poll(out, ticks->timer, POLLIN, 10 * TICK_MS);
    return mr_value_integer(out, ++ticks->sent_count);
}

static void ticks_close(void *state)
{
    struct ticks *ticks = state;
    close(ticks->timer);
}

static int start_ticks(struct mr_call *call)
{
    const struct timespec pace = {.tv_nsec = TICK_MS * 1000000};
    const struct itimerspec timer = {.it_interval = pace, .it_value = pace};
    struct ticks *ticks = mr_alloc(call, sizeof *ticks);
    if (!ticks)
        return -1;
    ticks->count = mr_arg_integer(call, 0);
    ticks->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (ticks->timer == -1)
        return mr_fail(call, MR_ERROR_PIPELINE, "no timer can be had");
    timerfd_settime(ticks->timer, 0, &timer, NULL);
    return mr_return_stream(call, &(struct mr_iterator){ticks, ticks_next, ticks_close});
}

MR_PIPELINE(ticks)
{
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count", .ge = "0");
    mr_output(builder, mr_pipe(builder, start_ticks, MR_STREAM, count));
}
