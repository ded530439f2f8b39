/* SPDX-License-Identifier: MIT */
/* test_alias.c - aliases come, move and go, and stay for those who came by them. */
#include "dispatcher/runs/alias.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/allocs.h"

static struct aliases aliases;

static int scene_close(void **state)
{
    (void)state;
    aliases_finish(&aliases);
    return 0;
}

static const struct alias_config both = {
    .pointer = "me/a:prod",
    .targets = {{.pointer = "me/a:v1", .weight = 3}, {.pointer = "me/a:v2", .weight = 1}},
    .target_count = 2,
};
static const struct alias_config second = {
    .pointer = "me/a:prod", .targets = {{.pointer = "me/a:v2", .weight = 1}}, .target_count = 1};
static const struct alias_config known = {
    .pointer = "me/b:prod",
    .targets = {{.pointer = "me/a:v1", .weight = 1}, {.pointer = "me/a:v2", .weight = 1}},
    .target_count = 2,
    .sticky = ALIAS_STICKY_HEADER,
    .header = "x-user"};

static void serve(const struct alias_config *config)
{
    assert_int_equal(aliases_serve(&aliases, config), 0);
}

static void aliases_are_found_by_their_pointers_and_by_where_they_lead(void **state)
{
    (void)state;
    assert_null(aliases_first(&aliases));
    serve(&both);
    serve(&known);
    assert_int_equal(aliases.served_count, 2);
    assert_int_equal(aliases.header_count, 1);
    struct alias *first = aliases_first(&aliases);
    assert_string_equal(first->pointer, "me/a:prod");
    assert_string_equal(alias_next(first)->pointer, "me/b:prod");
    assert_null(alias_next(alias_next(first)));
    assert_ptr_equal(aliases_find(&aliases, "me/a:prod"), first);
    assert_null(aliases_find(&aliases, "me/a:v1"));
    assert_ptr_equal(aliases_find_place(&aliases, "me/a:v2"), first);
    assert_null(aliases_find_place(&aliases, "me/a:prod"));
    aliases_drop(&aliases, first);
    assert_ptr_equal(aliases_find_place(&aliases, "me/a:v2"), aliases_first(&aliases));
    assert_string_equal(aliases_first(&aliases)->pointer, "me/b:prod");
    assert_int_equal(aliases.served_count, 1);
}

static void what_was_counted_of_a_place_stays_as_long_as_the_place(void **state)
{
    (void)state;
    serve(&both);
    struct alias *alias = aliases_first(&aliases);
    for (int i = 0; i < 8; i++)
        alias_choose(alias, NULL);
    assert_int_equal(alias->places[0].run_count, 6);
    assert_int_equal(alias->places[1].run_count, 2);
    assert_true(alias_is(alias, &both));
    assert_false(alias_is(alias, &second));
    serve(&second);
    assert_ptr_equal(aliases_first(&aliases), alias);
    assert_null(alias_next(alias));
    assert_true(alias_is(alias, &second));
    assert_int_equal(alias->places[0].run_count, 2);
    assert_string_equal(alias_choose(alias, NULL), "me/a:v2");
    serve(&both);
    assert_int_equal(alias->places[0].run_count, 0);
    assert_int_equal(alias->places[1].run_count, 3);
}

static void keys_count_where_they_are_asked_for(void **state)
{
    (void)state;
    uint64_t keys[64];
    uint32_t second_count = 0, turns[2] = {0};
    serve(&both);
    serve(&known);
    struct alias *alias = aliases_find(&aliases, "me/b:prod");
    for (uint64_t i = 0; i < 64; i++) {
        keys[i] = alias_hash(&i, sizeof i);
        const char *place = alias_choose(alias, &keys[i]);
        second_count += strcmp(place, "me/a:v2") == 0;
        assert_string_equal(alias_choose(alias, &keys[i]), place);
        turns[strcmp(alias_choose(alias, NULL), "me/a:v2") == 0]++;
    }
    assert_true(second_count > 16 && second_count < 48);
    assert_int_equal(turns[0], 32); /* those without one take turns */
    alias = aliases_find(&aliases, "me/a:prod");
    for (uint32_t i = 0; i < 4; i++)
        turns[strcmp(alias_choose(alias, &keys[0]), "me/a:v2") == 0]++;
    assert_int_equal(turns[1], 32 + 1); /* nobody asked who it is */
}

static void every_difference_is_one(void **state)
{
    (void)state;
    struct alias_config other = known;
    serve(&known);
    const struct alias *alias = aliases_first(&aliases);
    assert_true(alias_is(alias, &known));
    other.header = "x-users";
    assert_false(alias_is(alias, &other));
    other = known;
    other.header = NULL;
    other.sticky = ALIAS_STICKY_TOKEN;
    assert_false(alias_is(alias, &other));
    other = known;
    other.targets[1].weight = 2;
    assert_false(alias_is(alias, &other));
    other = known;
    other.targets[1].pointer = "me/a:v3";
    assert_false(alias_is(alias, &other));
    other = known;
    other.target_count = 1;
    assert_false(alias_is(alias, &other));
    serve(&other);
    assert_true(alias_is(alias, &other));
}

/* A run that goes on says by what it was asked for. */
static void one_that_is_gone_stays_for_those_who_came_by_it(void **state)
{
    (void)state;
    serve(&both);
    struct alias *alias = aliases_first(&aliases);
    alias_keep(alias);
    alias_keep(alias);
    aliases_drop(&aliases, alias);
    assert_null(aliases_find(&aliases, "me/a:prod"));
    assert_null(aliases_first(&aliases));
    assert_string_equal(alias->pointer, "me/a:prod");
    alias_let_go(&aliases, alias);
    serve(&second); /* it is back */
    assert_ptr_equal(aliases_find(&aliases, "me/a:prod"), alias);
    aliases_drop(&aliases, alias);
    alias_let_go(&aliases, alias);
    assert_null(aliases.first);
}

/* Whichever allocation fails: nothing has changed, and nothing is left of it. */
static void without_memory_an_alias_is_as_it_was(void **state)
{
    (void)state;
    unsigned count = 0;
    for (int rc = -ENOMEM; rc != 0; count++) {
        allocs_left = count;
        rc = aliases_serve(&aliases, &known);
        allocs_left = UINT_MAX;
        assert_true(rc == 0 || (rc == -ENOMEM && !aliases.first && aliases.served_count == 0));
    }
    assert_int_equal(count, 1 + 5); /* two places, the header, the alias and its pointer */
    struct alias_config other = both;
    other.pointer = known.pointer;
    for (unsigned left = 0; left < 2; left++) {
        allocs_left = left;
        assert_int_equal(aliases_serve(&aliases, &other), -ENOMEM);
        allocs_left = UINT_MAX;
        assert_true(alias_is(aliases_first(&aliases), &known));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(aliases_are_found_by_their_pointers_and_by_where_they_lead,
                                  scene_close),
        cmocka_unit_test_teardown(what_was_counted_of_a_place_stays_as_long_as_the_place,
                                  scene_close),
        cmocka_unit_test_teardown(keys_count_where_they_are_asked_for, scene_close),
        cmocka_unit_test_teardown(every_difference_is_one, scene_close),
        cmocka_unit_test_teardown(without_memory_an_alias_is_as_it_was, scene_close),
        cmocka_unit_test_teardown(one_that_is_gone_stays_for_those_who_came_by_it, scene_close),
    };
    return cmocka_run_group_tests_name("alias", tests, NULL, NULL);
}
