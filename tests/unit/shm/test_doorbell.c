/* SPDX-License-Identifier: MIT */
/*
 * test_doorbell.c - who writes the eventfd and when. That no wake-up is lost between two running
 * processes is the matter of tests/stress/stress_doorbell.c.
 */
#include "shm/doorbell.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

struct bell {
    struct doorbell_shared shared;
    struct doorbell bell;
};

static int bell_new(void **state)
{
    struct bell *made = calloc(1, sizeof *made);
    made->bell.shared = &made->shared;
    made->bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *state = made;
    return made->bell.fd == -1 ? -1 : 0;
}

static int bell_drop(void **state)
{
    struct bell *made = *state;
    close(made->bell.fd);
    free(made);
    return 0;
}

/* What the eventfd counted since the last look; 0 when nobody wrote. */
static uint64_t count_of(struct bell *made)
{
    uint64_t count;
    if (read(made->bell.fd, &count, sizeof count) == (ssize_t)sizeof count)
        return count;
    assert_int_equal(errno, EAGAIN);
    return 0;
}

static void nobody_rings_for_one_who_is_awake(void **state)
{
    struct bell *made = *state;
    assert_false(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_int_equal(count_of(made), 0);
}

static void news_the_sleeper_does_not_wait_for_lets_it_sleep(void **state)
{
    struct bell *made = *state;
    doorbell_arm(&made->bell, DOORBELL_WORK);
    assert_false(doorbell_ring(&made->bell, DOORBELL_WINDOW | DOORBELL_SPACE));
    assert_int_equal(count_of(made), 0);
    assert_true(doorbell_ring(&made->bell, DOORBELL_WINDOW | DOORBELL_WORK)); /* still armed */
    assert_int_equal(count_of(made), 1);
}

static void a_sleeper_is_rung_for_once(void **state)
{
    struct bell *made = *state;
    doorbell_arm(&made->bell, DOORBELL_ANY);
    assert_int_equal(count_of(made), 0);
    assert_true(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_false(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_int_equal(count_of(made), 1);
}

static void each_sleep_gets_its_own_ring(void **state)
{
    struct bell *made = *state;
    for (int i = 0; i < 3; i++) {
        doorbell_arm(&made->bell, DOORBELL_ANY);
        assert_true(doorbell_ring(&made->bell, DOORBELL_ANY));
        assert_int_equal(count_of(made), 1);
        doorbell_disarm(&made->bell);
        assert_false(doorbell_ring(&made->bell, DOORBELL_ANY));
    }
    assert_int_equal(count_of(made), 0);
}

static void a_sleeper_that_changed_its_mind_is_not_rung_for(void **state)
{
    struct bell *made = *state;
    doorbell_arm(&made->bell, DOORBELL_ANY);
    doorbell_disarm(&made->bell);
    assert_false(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_int_equal(count_of(made), 0);
}

static void a_counter_at_its_top_neither_blocks_nor_fails(void **state)
{
    struct bell *made = *state;
    const uint64_t top = UINT64_MAX - 1;
    assert_int_equal(write(made->bell.fd, &top, sizeof top), sizeof top);
    doorbell_arm(&made->bell, DOORBELL_ANY);
    assert_true(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_int_equal(count_of(made), top);
}

static void any_value_but_zero_means_asleep(void **state)
{
    struct bell *made = *state;
    atomic_store_explicit(&made->shared.asleep, 0xffffffff, memory_order_relaxed);
    assert_true(doorbell_ring(&made->bell, DOORBELL_ANY));
    assert_int_equal(count_of(made), 1);
    assert_int_equal(atomic_load_explicit(&made->shared.asleep, memory_order_relaxed), 0);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_rings_for_one_who_is_awake, bell_new, bell_drop),
        cmocka_unit_test_setup_teardown(news_the_sleeper_does_not_wait_for_lets_it_sleep, bell_new,
                                        bell_drop),
        cmocka_unit_test_setup_teardown(a_sleeper_is_rung_for_once, bell_new, bell_drop),
        cmocka_unit_test_setup_teardown(each_sleep_gets_its_own_ring, bell_new, bell_drop),
        cmocka_unit_test_setup_teardown(a_sleeper_that_changed_its_mind_is_not_rung_for, bell_new,
                                        bell_drop),
        cmocka_unit_test_setup_teardown(a_counter_at_its_top_neither_blocks_nor_fails, bell_new,
                                        bell_drop),
        cmocka_unit_test_setup_teardown(any_value_but_zero_means_asleep, bell_new, bell_drop),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
