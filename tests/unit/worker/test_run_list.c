/* SPDX-License-Identifier: MIT */
/*
 * test_run_list.c - lists of runs: order, count, and one list at a time.
 */
#include "worker/engine/run_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define LINK_COUNT 6u

static struct run_link links[LINK_COUNT];

/* The links of a list, by their index, from the first on, and from the last on. */
static void expect(const struct run_list *list, const char *order)
{
    const struct run_link *link = list->first;
    size_t count = strlen(order);
    assert_int_equal(list->count, count);
    for (size_t i = 0; i < count; i++, link = link->behind) {
        assert_ptr_equal(link, &links[order[i] - '0']);
        assert_ptr_equal(link->list, list);
    }
    assert_null(link);
    link = list->last;
    for (size_t i = count; i > 0; i--, link = link->before)
        assert_ptr_equal(link, &links[order[i - 1] - '0']);
    assert_null(link);
}

static void links_stand_behind_and_in_front_of_the_others(void **state)
{
    (void)state;
    struct run_list list = {0};
    memset(links, 0, sizeof links);
    expect(&list, "");
    run_list_append(&list, &links[1]);
    run_list_append(&list, &links[2]);
    run_list_prepend(&list, &links[0]);
    expect(&list, "012");
    run_list_append(&list, &links[0]);
    expect(&list, "120");
    run_list_prepend(&list, &links[2]);
    expect(&list, "210");
}

static void a_link_that_is_removed_is_in_no_list(void **state)
{
    (void)state;
    struct run_list list = {0};
    memset(links, 0, sizeof links);
    run_list_remove(&links[0]);
    for (uint32_t i = 0; i < 4; i++)
        run_list_append(&list, &links[i]);
    run_list_remove(&links[2]);
    run_list_remove(&links[2]);
    expect(&list, "013");
    run_list_remove(&links[0]);
    run_list_remove(&links[3]);
    expect(&list, "1");
    run_list_remove(&links[1]);
    expect(&list, "");
    for (uint32_t i = 0; i < 4; i++)
        assert_memory_equal(&links[i], &(struct run_link){0}, sizeof links[i]);
}

/* What a list is to be, as text. */
static void text_move(char *lists[2], uint32_t to, char which, bool is_first)
{
    for (uint32_t i = 0; i < 2; i++) {
        char *at = strchr(lists[i], which);
        if (at)
            memmove(at, at + 1, strlen(at));
    }
    if (to == 2)
        return;
    size_t count = strlen(lists[to]);
    if (is_first)
        memmove(lists[to] + 1, lists[to], count + 1);
    else
        lists[to][count + 1] = '\0';
    lists[to][is_first ? 0 : count] = which;
}

static void two_lists_are_what_any_moves_between_them_make(void **state)
{
    (void)state;
    struct run_list lists[2] = {{0}, {0}};
    char first[LINK_COUNT + 1] = "", second[LINK_COUNT + 1] = "";
    char *texts[2] = {first, second};
    uint64_t seed = environment_number("SEED", 20260131);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    memset(links, 0, sizeof links);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t which = random_below(&seed, LINK_COUNT), to = random_below(&seed, 3);
        bool is_first = random_below(&seed, 2) == 1;
        if (to == 2)
            run_list_remove(&links[which]);
        else
            (is_first ? run_list_prepend : run_list_append)(&lists[to], &links[which]);
        text_move(texts, to, (char)('0' + which), is_first);
        expect(&lists[0], first);
        expect(&lists[1], second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_stand_behind_and_in_front_of_the_others),
        cmocka_unit_test(a_link_that_is_removed_is_in_no_list),
        cmocka_unit_test(two_lists_are_what_any_moves_between_them_make),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
