/* SPDX-License-Identifier: MIT */
/*
 * stress_doorbell.c - lock-step: each side sends one record and waits for the answer, so a single
 * lost wake-up stops both for ever.
 *
 * Before it arms, a side looks a random number of times. Thus its going to sleep falls, again and
 * again, into the very moment in which the other side publishes and looks whether it sleeps. A
 * sleep that outlasts its bound while a record waits is a wake-up that was lost.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shm/doorbell.h"
#include "shm/ring.h"

#include <cmocka.h>

#include "tests/stress/drivers.h"
#include "tests/unit/shm/ring_memory.h"

#define ROUND_COUNT 400000u
#define LOOK_COUNT_LONG 20000u
#define LOOK_COUNT_SHORT 48u
#define TIME_BOUND_S 5
#define SLEEP_BOUND_MS 1000
#define LAST UINT32_MAX /* the number of the last record */
#define WATCHDOG_S 100u

#define CAPACITY RING_BYTES_MIN

/* Side s sends on rings[s], sleeps on bells[s] and eventfds[s], and rings the other's. */
struct link {
    struct ring_shared *rings[2];
    struct doorbell_shared *bells;
    int eventfds[2];
    uint32_t rounds;
    uint32_t looks_long; /* 1 on a machine with one processor, where looking only delays the peer */
};

struct side {
    struct ring_tx tx;
    struct ring_rx rx;
    struct doorbell own;
    struct doorbell peer;
    uint64_t seed;
    uint32_t looks_long;
    uint32_t sleeps;
    uint32_t rings;
};

static struct side side_of(const struct link *link, int number)
{
    struct side side = {
        .own = {.shared = &link->bells[number], .fd = link->eventfds[number]},
        .peer = {.shared = &link->bells[1 - number], .fd = link->eventfds[1 - number]},
        .seed = (uint64_t)number + 1,
        .looks_long = link->looks_long,
    };
    ring_tx_init(&side.tx, link->rings[number], CAPACITY);
    ring_rx_init(&side.rx, link->rings[1 - number], CAPACITY);
    return side;
}

static void send_record(struct side *side, uint32_t sequence)
{
    void *payload;
    mr_assert(ring_claim(&side->tx, sizeof sequence, &payload) == 0);
    memcpy(payload, &sequence, sizeof sequence);
    ring_commit(&side->tx, &(struct record){.bytes = sizeof sequence, .kind = RECORD_CHUNK});
    side->rings += doorbell_ring(&side->peer, DOORBELL_ANY);
}

static bool take_record(struct side *side, uint32_t *sequence)
{
    struct record meta;
    const void *payload;
    int rc = ring_peek(&side->rx, &meta, &payload);
    mr_assert(rc >= 0);
    if (rc == 0)
        return false;
    memcpy(sequence, payload, sizeof *sequence);
    ring_release(&side->rx);
    return true;
}

/* Sleeps until the eventfd is written. */
static void sleep_on_bell(struct side *side, uint32_t sequence)
{
    struct pollfd poll_fd = {.fd = side->own.fd, .events = POLLIN};
    side->sleeps++;
    /* A peer that is merely slow gets a second bound between its publishing and its ringing. */
    if (poll(&poll_fd, 1, SLEEP_BOUND_MS) == 0 && !ring_is_empty(&side->rx) &&
        poll(&poll_fd, 1, SLEEP_BOUND_MS) == 0) {
        fprintf(stderr, "wake-up lost: record %u waits, its reader sleeps\n", sequence);
        abort();
    }
    uint64_t count;
    mr_assert(read(side->own.fd, &count, sizeof count) > 0 || errno == EAGAIN);
}

/* The sleeper's loop of doorbell.h. Returns the number that came: the expected one, or LAST. */
static uint32_t receive_record(struct side *side, uint32_t expected)
{
    uint32_t sequence;
    for (;;) {
        uint32_t looks = random_below(&side->seed, 4) != 0
                             ? side->looks_long
                             : 1 + random_below(&side->seed, LOOK_COUNT_SHORT);
        for (uint32_t i = 0; i < looks; i++) {
            if (take_record(side, &sequence)) {
                mr_assert(sequence == expected || sequence == LAST);
                return sequence;
            }
        }
        doorbell_arm(&side->own, DOORBELL_ANY);
        if (ring_is_empty(&side->rx))
            sleep_on_bell(side, expected);
        doorbell_disarm(&side->own);
    }
}

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

static void ask(void *argument)
{
    const struct link *link = argument;
    struct side side = side_of(link, 0);
    const time_t until_s = now_s() + TIME_BOUND_S;
    uint32_t i = 0;
    while (i < link->rounds && (link->rounds > ROUND_COUNT || now_s() < until_s)) {
        send_record(&side, i);
        receive_record(&side, i);
        i++;
    }
    send_record(&side, LAST);
    print_message("%u rounds, %u sleeps, %u rings\n", i, side.sleeps, side.rings);
    mr_assert(side.sleeps > i / 1000);
}

static void answer(void *argument)
{
    struct side side = side_of(argument, 1);
    for (uint32_t i = 0; receive_record(&side, i) != LAST; i++)
        send_record(&side, i);
}

static int link_new(void **state)
{
    struct link *link = calloc(1, sizeof *link);
    cpu_set_t processors;
    assert_int_equal(sched_getaffinity(0, sizeof processors, &processors), 0);
    link->looks_long = CPU_COUNT(&processors) > 1 ? LOOK_COUNT_LONG : 1;
    link->rounds = (uint32_t)environment_number("N", ROUND_COUNT);
    for (int i = 0; i < 2; i++) {
        link->rings[i] = ring_memory_map(CAPACITY, 0);
        link->eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    link->bells = guarded_map(2 * sizeof *link->bells);
    *state = link;
    return 0;
}

static int link_drop(void **state)
{
    struct link *link = *state;
    for (int i = 0; i < 2; i++) {
        ring_memory_unmap(link->rings[i], CAPACITY);
        close(link->eventfds[i]);
    }
    guarded_unmap(link->bells, 2 * sizeof *link->bells);
    free(link);
    return 0;
}

static void no_wake_up_is_lost_between_threads(void **state)
{
    struct sides sides = {.near = ask, .far = answer, .argument = *state};
    sides_run_as_threads(&sides);
}

static void no_wake_up_is_lost_between_processes(void **state)
{
    struct sides sides = {.near = ask, .far = answer, .argument = *state};
    sides_run_as_processes(&sides, WATCHDOG_S);
}

int main(void)
{
    if (environment_number("N", ROUND_COUNT) <= ROUND_COUNT)
        alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_wake_up_is_lost_between_threads, link_new, link_drop),
        cmocka_unit_test_setup_teardown(no_wake_up_is_lost_between_processes, link_new, link_drop),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
