/* SPDX-License-Identifier: MIT */
/* test_clients.c - connections counted by address, against a plain list of them. */
#include "dispatcher/http/clients.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define CONN_COUNT 64u
#define ADDRESS_COUNT 20u
#define STEP_COUNT 200000u

static struct clients clients;

static int scene_open(void **state)
{
    (void)state;
    return clients_init(&clients, CONN_COUNT);
}

static int scene_close(void **state)
{
    (void)state;
    clients_finish(&clients);
    return 0;
}

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        in->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        in6->sin6_family = AF_INET6;
    else
        fail_msg("%s", text);
    return address;
}

static uint32_t enter(const char *text, uint32_t count_max)
{
    struct sockaddr_storage address = address_of(text);
    return clients_enter(&clients, &address, count_max);
}

static void a_client_has_so_many_connections_and_no_more(void **state)
{
    (void)state;
    uint32_t first = enter("192.0.2.1", 2);
    assert_int_not_equal(first, CLIENT_NONE);
    assert_int_equal(enter("192.0.2.1", 2), first);
    assert_int_equal(enter("192.0.2.1", 2), CLIENT_NONE);
    assert_int_not_equal(enter("192.0.2.2", 2), CLIENT_NONE);
    clients_leave(&clients, first);
    assert_int_equal(enter("192.0.2.1", 2), first);
    assert_int_equal(enter("192.0.2.1", 2), CLIENT_NONE);
}

static void an_ipv6_client_is_its_network(void **state)
{
    (void)state;
    uint32_t first = enter("2001:db8:1:2::1", 2);
    assert_int_equal(enter("2001:db8:1:2:ffff::2", 2), first);
    assert_int_equal(enter("2001:db8:1:2::3", 2), CLIENT_NONE);
    assert_int_not_equal(enter("2001:db8:1:3::1", 2), CLIENT_NONE);
}

static void an_ipv4_client_is_the_same_by_either_family(void **state)
{
    (void)state;
    uint32_t first = enter("192.0.2.1", 2);
    assert_int_equal(enter("::ffff:192.0.2.1", 2), first);
    assert_int_not_equal(enter("::ffff:192.0.2.2", 2), first);
}

static void the_port_does_not_matter(void **state)
{
    (void)state;
    struct sockaddr_storage address = address_of("192.0.2.1");
    uint32_t first = clients_enter(&clients, &address, 2);
    ((struct sockaddr_in *)&address)->sin_port = 1234;
    assert_int_equal(clients_enter(&clients, &address, 2), first);
}

/* Every connection from another address: as many as there can be, again and again. */
static void there_is_room_for_all(void **state)
{
    (void)state;
    uint32_t entries[CONN_COUNT];
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < CONN_COUNT; i++) {
            char text[32];
            snprintf(text, sizeof(text), "10.%d.0.%u", round, i);
            entries[i] = enter(text, 1);
            assert_int_not_equal(entries[i], CLIENT_NONE);
        }
        for (uint32_t i = 0; i < CONN_COUNT; i++)
            clients_leave(&clients, entries[i]);
    }
}

static void counts_are_those_of_a_plain_list(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    uint32_t open[CONN_COUNT], of[CONN_COUNT], open_count = 0, counts[ADDRESS_COUNT] = {0};
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        if (open_count == CONN_COUNT || (open_count > 0 && random_below(&chance, 2) == 0)) {
            uint32_t i = (uint32_t)random_below(&chance, open_count);
            clients_leave(&clients, open[i]);
            counts[of[i]]--;
            open[i] = open[--open_count];
            of[i] = of[open_count];
            continue;
        }
        char text[32];
        uint32_t who = (uint32_t)random_below(&chance, ADDRESS_COUNT);
        snprintf(text, sizeof(text), "10.0.%u.7", who);
        uint32_t entry = enter(text, 4);
        assert_int_equal(entry == CLIENT_NONE, counts[who] == 4);
        if (entry == CLIENT_NONE)
            continue;
        counts[who]++;
        open[open_count] = entry;
        of[open_count++] = who;
        assert_int_equal(clients.entries[entry].conn_count, counts[who]);
    }
}

#define CLIENTS_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        CLIENTS_TEST(a_client_has_so_many_connections_and_no_more),
        CLIENTS_TEST(an_ipv6_client_is_its_network),
        CLIENTS_TEST(an_ipv4_client_is_the_same_by_either_family),
        CLIENTS_TEST(the_port_does_not_matter),
        CLIENTS_TEST(there_is_room_for_all),
        CLIENTS_TEST(counts_are_those_of_a_plain_list),
    };
    return cmocka_run_group_tests_name("clients", tests, descriptors_note, descriptors_compare);
}
