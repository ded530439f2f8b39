/* SPDX-License-Identifier: MIT */
/* test_tickets.c - positions in a queue from which anyone may leave, against a plain list. */
#include "dispatcher/runs/tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define WAITING_MAX 100u
#define STEP_COUNT 200000u

static struct tickets tickets;

static int scene_open(void **state)
{
    (void)state;
    return tickets_init(&tickets, WAITING_MAX);
}

static int scene_close(void **state)
{
    (void)state;
    tickets_finish(&tickets);
    return 0;
}

static void each_one_is_behind_all_that_came_before(void **state)
{
    (void)state;
    uint64_t first = tickets_draw(&tickets);
    assert_int_equal(tickets_before(&tickets, first, first), 0);
    for (uint32_t i = 1; i < WAITING_MAX; i++)
        assert_int_equal(tickets_before(&tickets, first, tickets_draw(&tickets)), i);
    tickets_return(&tickets, first + 10);
    assert_int_equal(tickets_before(&tickets, first, first + 9), 9);
    assert_int_equal(tickets_before(&tickets, first, first + 11), 10);
    assert_int_equal(tickets_before(&tickets, first, first + 99), 98);
}

struct list {
    uint64_t numbers[WAITING_MAX];
    uint32_t count;
    uint32_t draws_again;
};

static void come(struct list *list)
{
    uint64_t oldest = list->count > 0 ? list->numbers[0] : tickets.next;
    if (tickets_are_used_up(&tickets, oldest)) {
        tickets_reset(&tickets);
        for (uint32_t i = 0; i < list->count; i++)
            list->numbers[i] = tickets_draw(&tickets);
        list->draws_again++;
    }
    list->numbers[list->count++] = tickets_draw(&tickets);
}

static void leave(struct list *list, uint32_t i)
{
    tickets_return(&tickets, list->numbers[i]);
    memmove(&list->numbers[i], &list->numbers[i + 1],
            (--list->count - i) * sizeof(list->numbers[0]));
}

/* The oldest one stays for long while others come and go, so numbers run out again and again. */
static void positions_are_those_of_a_plain_list(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    struct list list = {0};
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        if (list.count > 0 && (list.count == WAITING_MAX || random_below(&chance, 2) == 0)) {
            bool is_oldest = random_below(&chance, 100) == 0;
            leave(&list, is_oldest ? 0
                                   : (uint32_t)random_below(&chance, list.count - 1) + 1 -
                                         (list.count == 1));
        } else {
            come(&list);
        }
        if (list.count == 0)
            continue;
        uint32_t i = (uint32_t)random_below(&chance, list.count);
        assert_int_equal(tickets_before(&tickets, list.numbers[0], list.numbers[i]), i);
    }
    assert_true(list.draws_again > 10);
    assert_true(list.draws_again < STEP_COUNT / WAITING_MAX);
}

#define TICKETS_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        TICKETS_TEST(each_one_is_behind_all_that_came_before),
        TICKETS_TEST(positions_are_those_of_a_plain_list),
    };
    return cmocka_run_group_tests_name("tickets", tests, descriptors_note, descriptors_compare);
}
