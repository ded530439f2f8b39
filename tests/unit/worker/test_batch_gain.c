/* SPDX-License-Identifier: MIT */
/*
 * test_batch_gain.c - what waiting gains, and costs: a worker and its clients in simulated time.
 *
 * A call takes FIXED + n * ITEM, give or take a twentieth. Clients are closed, each with one run
 * at once, which comes 0.2 to 1.5 ms behind the result of the one before; or open, at random.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/clock.h"
#include "worker/engine/batch_rule.h"

#define MS CLOCK_NS_PER_MS
#define FIXED_NS (10 * MS)
#define ITEM_NS (MS / 10)
#define CLIENT_COUNT_MAX 64u
#define PLACE_COUNT 64u /* runs that a worker has at once */
#define RUN_COUNT_MAX 100000u
#define DURATION_NS (20 * CLOCK_NS_PER_S)

struct scene {
    uint32_t client_count; /* 0: open */
    double gap_ns;         /* of open ones, on average */
    uint64_t wait_ns;
};

static struct world {
    uint64_t seed;
    uint64_t now_ns;
    uint64_t next_ns[CLIENT_COUNT_MAX]; /* of each client, or of all open ones; 0: it has a run */
    struct {
        uint32_t client;
        uint64_t sent_ns, seen_ns;
    } waiting[RUN_COUNT_MAX];
    uint32_t waiting_count;
    struct batch_model model;
    uint64_t call_count, run_count;
    double times_ms[RUN_COUNT_MAX];
} w;

struct outcome {
    double rate, batch, p99_ms;
};

static double random_part(void)
{
    w.seed ^= w.seed << 13;
    w.seed ^= w.seed >> 7;
    w.seed ^= w.seed << 17;
    return (double)(w.seed >> 11) / 9007199254740992.0;
}

static uint64_t random_gap(const struct scene *scene)
{
    return scene->client_count > 0 ? MS / 5 + (uint64_t)(random_part() * 1.3 * (double)MS)
                                   : (uint64_t)(-log(1 - random_part()) * scene->gap_ns);
}

static uint32_t earliest(const struct scene *scene, uint64_t *at_ns)
{
    uint32_t found = 0;
    *at_ns = CLOCK_NEVER;
    for (uint32_t i = 0; i < scene->client_count || i == 0; i++) {
        if (w.next_ns[i] == 0 || w.next_ns[i] >= *at_ns)
            continue;
        *at_ns = w.next_ns[i];
        found = i;
    }
    return found;
}

static void take(const struct scene *scene)
{
    uint64_t at_ns;
    uint32_t client = earliest(scene, &at_ns);
    for (; at_ns <= w.now_ns; client = earliest(scene, &at_ns)) {
        w.waiting[w.waiting_count].client = client;
        w.waiting[w.waiting_count].sent_ns = at_ns;
        w.waiting[w.waiting_count++].seen_ns = w.now_ns;
        batch_model_come(&w.model, w.now_ns);
        w.next_ns[client] = scene->client_count > 0 ? 0 : at_ns + random_gap(scene);
    }
}

static void call(const struct scene *scene)
{
    uint32_t count = w.waiting_count < PLACE_COUNT ? w.waiting_count : PLACE_COUNT;
    double ns = (double)(FIXED_NS + count * ITEM_NS) * (0.95 + 0.1 * random_part());
    batch_model_begin(&w.model, w.now_ns, count);
    w.now_ns += (uint64_t)ns;
    batch_model_end(&w.model, w.now_ns);
    w.call_count++;
    for (uint32_t i = 0; i < count; i++) {
        w.times_ms[w.run_count++] = (double)(w.now_ns - w.waiting[i].sent_ns) / (double)MS;
        if (scene->client_count > 0)
            w.next_ns[w.waiting[i].client] = w.now_ns + random_gap(scene);
    }
    w.waiting_count -= count;
    memmove(w.waiting, w.waiting + count, w.waiting_count * sizeof w.waiting[0]);
}

static uint64_t ask(const struct scene *scene)
{
    struct batch_moment moment = {.now_ns = w.now_ns,
                                  .waiting_count = w.waiting_count,
                                  .coming_count = w.waiting_count < PLACE_COUNT};
    if (w.waiting_count > 0) {
        moment.oldest_ns = w.waiting[0].seen_ns;
        moment.newest_ns = w.waiting[w.waiting_count - 1].seen_ns;
    }
    const struct batch_limits limits = {.count_max = PLACE_COUNT, .wait_ns = scene->wait_ns};
    uint64_t due_ns = batch_rule_due_ns(&limits, &w.model, &moment);
    batch_model_asked(&w.model, w.now_ns, w.waiting_count > 0 && due_ns > 0);
    return due_ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct outcome simulate(const struct scene *scene)
{
    memset(&w, 0, sizeof w);
    w.seed = 88172645463325252u;
    w.now_ns = CLOCK_NS_PER_S;
    for (uint32_t i = 0; i < scene->client_count || i == 0; i++)
        w.next_ns[i] = w.now_ns + random_gap(scene);
    while (w.now_ns < CLOCK_NS_PER_S + DURATION_NS) {
        take(scene);
        uint64_t due_ns = ask(scene), at_ns;
        if (due_ns == 0) {
            call(scene);
            continue;
        }
        earliest(scene, &at_ns);
        w.now_ns = at_ns < due_ns ? at_ns : due_ns;
    }
    qsort(w.times_ms, w.run_count, sizeof w.times_ms[0], compare);
    return (struct outcome){.rate = (double)w.run_count /
                                    ((double)DURATION_NS / (double)CLOCK_NS_PER_S),
                            .batch = (double)w.run_count / (double)w.call_count,
                            .p99_ms = w.times_ms[w.run_count * 99 / 100]};
}

static struct outcome show(const char *name, const struct scene *scene)
{
    struct outcome outcome = simulate(scene);
    print_message("%-26s wait %llu ms: %6.0f/s, mean batch %5.2f, p99 %5.2f ms\n", name,
                  (unsigned long long)(scene->wait_ns / MS), outcome.rate, outcome.batch,
                  outcome.p99_ms);
    return outcome;
}

/* Without a wait they take turns: half of them are in a call while the others wait. */
static void clients_that_come_back_together_are_served_together(void **state)
{
    (void)state;
    for (uint32_t count = 2; count <= CLIENT_COUNT_MAX; count *= 2) {
        char name[32];
        snprintf(name, sizeof name, "%u closed clients", count);
        struct outcome none = show(name, &(struct scene){.client_count = count});
        struct outcome some = show(name, &(struct scene){.client_count = count, .wait_ns = 2 * MS});
        assert_true(some.rate > 1.4 * none.rate);
        assert_true(some.p99_ms < none.p99_ms);
        assert_true(some.batch > 0.95 * count);
    }
}

static void a_client_that_is_alone_does_not_wait(void **state)
{
    (void)state;
    struct outcome none = show("1 closed client", &(struct scene){.client_count = 1});
    struct outcome some =
        show("1 closed client", &(struct scene){.client_count = 1, .wait_ns = 2 * MS});
    assert_true(some.rate == none.rate && some.p99_ms == none.p99_ms);
}

/* At any load, and at a low one above all, a wait costs no more than it may. */
static void clients_that_know_nothing_of_each_other_lose_nothing(void **state)
{
    (void)state;
    for (double load = 0.05; load < 8; load *= 2) {
        char name[32];
        snprintf(name, sizeof name, "open, %.2f of one by one", load);
        double gap_ns = (double)(FIXED_NS + ITEM_NS) / load;
        struct outcome none = show(name, &(struct scene){.gap_ns = gap_ns});
        struct outcome some = show(name, &(struct scene){.gap_ns = gap_ns, .wait_ns = 2 * MS});
        assert_true(some.p99_ms < none.p99_ms + 2);
        assert_true(some.batch > 0.95 * none.batch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_come_back_together_are_served_together),
        cmocka_unit_test(a_client_that_is_alone_does_not_wait),
        cmocka_unit_test(clients_that_know_nothing_of_each_other_lose_nothing),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
