/* SPDX-License-Identifier: MIT */
/*
 * test_binding.c - lists of processing units and of nodes are understood wholly, or not at all, and
 * an older kernel is asked for what it knows. The kernel is played here.
 */
#include "worker/confine/binding.h"

#include <errno.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct binding_list list;
static int is_refused; /* the policy that the kernel does not know; -1: none */
static int policy;     /* the one that is in force; -1: none */
static unsigned long node_word, core_word, node_end, core_bytes;

/* The two calls that binding.c makes. */
long syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    long first = va_arg(arguments, long);
    if (number == SYS_sched_setaffinity) {
        assert_int_equal((int)first, 0); /* itself */
        core_bytes = va_arg(arguments, unsigned long);
        core_word = *va_arg(arguments, const unsigned long *);
    } else if ((int)first != is_refused) {
        assert_int_equal(number, SYS_set_mempolicy);
        policy = (int)first;
        node_word = *va_arg(arguments, const unsigned long *);
        node_end = va_arg(arguments, unsigned long);
    }
    va_end(arguments);
    if (number != SYS_set_mempolicy || (int)first != is_refused)
        return 0;
    errno = EINVAL;
    return -1;
}

static void enter(const char *cores, const char *nodes, int refused)
{
    struct binding binding = {.cores = {.text = NULL}};
    assert_int_equal(cores ? binding_parse(&binding.cores, cores) : 0, 0);
    assert_int_equal(nodes ? binding_parse(&binding.memory_nodes, nodes) : 0, 0);
    is_refused = refused;
    policy = -1;
    core_bytes = node_end = 0;
    binding_enter(&binding);
}

static bool has(unsigned number)
{
    return (list.bits[number / BINDING_WORD_BITS] >> number % BINDING_WORD_BITS & 1) != 0;
}

/* Those from `first` to `last` are in it, and so many are in all. */
static void expect(unsigned first, unsigned last, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i < BINDING_NUMBER_COUNT; i++)
        found += has(i);
    assert_int_equal(found, count);
    for (unsigned i = first; i <= last; i++)
        assert_true(has(i));
}

static void a_list_has_its_numbers_and_those_of_its_ranges(void **state)
{
    (void)state;
    assert_int_equal(binding_parse(&list, "5"), 0);
    expect(5, 5, 1);
    assert_int_equal(binding_parse(&list, "0-3,8"), 0);
    expect(0, 3, 5);
    assert_true(has(8));
    assert_string_equal(list.text, "0-3,8");
    assert_int_equal(binding_parse(&list, "62-65"), 0); /* over the end of a word */
    expect(62, 65, 4);
    assert_int_equal(binding_parse(&list, "7,1-2,7,2-2"), 0); /* in any order, and twice */
    expect(1, 2, 3);
    assert_int_equal(binding_parse(&list, "007"), 0);
    expect(7, 7, 1);
}

static void the_last_number_is_that_of_the_largest_machine(void **state)
{
    (void)state;
    assert_int_equal(binding_parse(&list, "8191"), 0);
    expect(8191, 8191, 1);
    assert_int_equal(binding_parse(&list, "0-8191"), 0);
    expect(0, 8191, 8192);
    assert_int_equal(binding_parse(&list, "8192"), -EINVAL);
    assert_int_equal(binding_parse(&list, "0-8192"), -EINVAL);
    assert_int_equal(binding_parse(&list, "4294967296"), -EINVAL);
    assert_int_equal(binding_parse(&list, "99999999999999999999999"), -EINVAL);
}

static void what_is_no_list_is_refused_and_changes_nothing(void **state)
{
    static const char *const texts[] = {
        "",   ",",  "-",    "1,",  ",1", "1,,2", "1-",  "-1",  "3-2", "1-2-3",
        " 1", "1 ", "1, 2", "0x1", "+1", "1;2",  "all", "1-a", "1\n", "1.5",
    };
    (void)state;
    assert_int_equal(binding_parse(&list, "4"), 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(binding_parse(&list, texts[i]), -EINVAL);
        assert_string_equal(list.text, "4");
        expect(4, 4, 1);
    }
}

static void only_what_was_said_is_asked_for(void **state)
{
    (void)state;
    enter(NULL, NULL, -1);
    assert_true(policy == -1 && core_bytes == 0);
    enter("1,3", NULL, -1);
    assert_int_equal(core_bytes, BINDING_NUMBER_COUNT / CHAR_BIT);
    assert_int_equal(core_word, 10);
    assert_int_equal(policy, -1);
    enter(NULL, "0,1", -1);
    assert_int_equal(core_bytes, 0);
    assert_int_equal(policy, MPOL_PREFERRED_MANY);
    assert_int_equal(node_word, 3);
    assert_int_equal(node_end, BINDING_NUMBER_COUNT + 1);
}

static void a_kernel_that_knows_one_preferred_node_is_asked_for_one(void **state)
{
    (void)state;
    enter(NULL, "1-2", MPOL_PREFERRED_MANY);
    assert_int_equal(policy, MPOL_PREFERRED);
    assert_int_equal(node_word, 6); /* of which it takes the first */
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_its_numbers_and_those_of_its_ranges),
        cmocka_unit_test(the_last_number_is_that_of_the_largest_machine),
        cmocka_unit_test(what_is_no_list_is_refused_and_changes_nothing),
        cmocka_unit_test(only_what_was_said_is_asked_for),
        cmocka_unit_test(a_kernel_that_knows_one_preferred_node_is_asked_for_one),
    };
    return cmocka_run_group_tests_name("binding", tests, NULL, NULL);
}
