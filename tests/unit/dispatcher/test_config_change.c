/* SPDX-License-Identifier: MIT */
/*
 * test_config_change.c - what is different in a configuration that comes after another one.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config_change.h"
#include "dispatcher/config/environment.h"
#include "tests/unit/dispatcher/allocs.h"

#include <cmocka.h>

static struct config now, next;
static struct restart_keys keys;
static char reason[CLI_REASON_BYTES];

static void make(struct config *config)
{
    config_init(config);
    assert_int_equal(config_add_pipeline(config, "me/a:v1=a.so", reason), 0);
    config->worker_path = strdup("/opt/worker");
    config->pipelines[0].confine = strdup("seccomp default\n");
    config->conn_count_max = 100;
}

static int both_made(void **state)
{
    (void)state;
    make(&now);
    make(&next);
    keys = (struct restart_keys){.count = 0};
    return 0;
}

static int both_gone(void **state)
{
    (void)state;
    config_finish(&now);
    config_finish(&next);
    return 0;
}

static enum pipeline_change change(void)
{
    return pipeline_change(&now.pipelines[0], &next.pipelines[0]);
}

/* ---- pipelines ----------------------------------------------------------------------------- */

/* Whether the numbers and flags of the row are told to a process, which is then another one. */
static bool is_of_processes(const char *name)
{
    static const char *const names[] = {
        "concurrency",    "window",  "ring",      "python-threads", "workers-per-device",
        "device-unbound", "preload", "batch-max", "batch-wait"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void each_option_of_a_pipeline_is_a_change_of_its_kind(void **state)
{
    (void)state;
    uint32_t seen = 0;
    assert_int_equal(change(), PIPELINE_SAME);
    for (size_t i = 0; i < serve_command.option_count; i++) {
        const struct cli_option *row = &serve_command.options[i];
        bool is_in = row->by_pipeline && row->bytes > 0 &&
                     row->offset >= offsetof(struct pipeline_config, options) &&
                     row->offset < offsetof(struct pipeline_config, python);
        if (!is_in)
            continue;
        /* Of a range, each of its two numbers. */
        for (size_t at = 0; at < row->bytes; at += sizeof(uint32_t)) {
            uint8_t *member = (uint8_t *)&next.pipelines[0] + row->offset + at;
            *member ^= 1;
            assert_int_equal(change(),
                             is_of_processes(row->name) ? PIPELINE_PROCESSES : PIPELINE_LIMITS);
            *member ^= 1;
            assert_int_equal(change(), PIPELINE_SAME);
        }
        seen++;
    }
    assert_int_equal(seen, 32);
}

static void another_warm_up_is_of_processes_that_start_from_then_on(void **state)
{
    (void)state;
    next.pipelines[0].warm_up = "[]";
    assert_int_equal(change(), PIPELINE_LIMITS);
    now.pipelines[0].warm_up = "[1]";
    assert_int_equal(change(), PIPELINE_LIMITS);
    now.pipelines[0].warm_up = "[]";
    assert_int_equal(change(), PIPELINE_SAME);
}

static void other_tenants_and_keys_need_no_other_processes(void **state)
{
    (void)state;
    next.pipelines[0].tenant = "header X-Tenant";
    assert_int_equal(change(), PIPELINE_LIMITS);
    next.pipelines[0].tenant = NULL;
    next.pipelines[0].affinity = "prefix 64";
    assert_int_equal(change(), PIPELINE_LIMITS);
    now.pipelines[0].affinity = "prefix 64";
    assert_int_equal(change(), PIPELINE_SAME);
}

static void expect_processes(char **text, const char *other)
{
    char *before = *text;
    *text = strdup(other);
    assert_int_equal(change(), PIPELINE_PROCESSES);
    free(*text);
    *text = before;
    assert_int_equal(change(), PIPELINE_SAME);
}

static void what_processes_know_makes_them_others(void **state)
{
    (void)state;
    struct pipeline_config *pipeline = &next.pipelines[0];
    expect_processes(&pipeline->source, "b.so");
    expect_processes(&pipeline->name, "b");
    expect_processes(&pipeline->python_path, "/usr/bin/python3");
    expect_processes(&pipeline->confine, "seccomp strict\n");
    pipeline->digest.bytes[31] = 1;
    assert_int_equal(change(), PIPELINE_PROCESSES);
    pipeline->digest.bytes[31] = 0;
    assert_int_equal(environment_add(&pipeline->environment, "A=1", reason), 0);
    assert_int_equal(change(), PIPELINE_PROCESSES);
    assert_int_equal(environment_add(&now.pipelines[0].environment, "A=2", reason), 0);
    assert_int_equal(change(), PIPELINE_PROCESSES);
    assert_int_equal(environment_set(&pipeline->environment, "A=2", reason), 0);
    assert_int_equal(change(), PIPELINE_SAME);
    pipeline->confinement.memory_bytes_max = 1;
    assert_int_equal(change(), PIPELINE_PROCESSES);
}

static void devices_choose(struct pipeline_config *pipeline, const char *text)
{
    pipeline->devices = (struct device_choice){0};
    assert_int_equal(device_choice_add(&pipeline->devices, text, reason), 0);
}

static void other_devices_are_those_of_other_processes(void **state)
{
    (void)state;
    devices_choose(&next.pipelines[0], "cuda:0,2");
    assert_int_equal(change(), PIPELINE_PROCESSES);
    devices_choose(&now.pipelines[0], "cuda:2,0");
    assert_int_equal(change(), PIPELINE_SAME);
    devices_choose(&next.pipelines[0], "cuda:0,1");
    assert_int_equal(change(), PIPELINE_PROCESSES);
    devices_choose(&now.pipelines[0], "cuda:0,1");
    assert_int_equal(environment_add(&next.pipelines[0].device_environment, "A={index}", reason),
                     0);
    assert_int_equal(change(), PIPELINE_PROCESSES);
    assert_int_equal(environment_add(&now.pipelines[0].device_environment, "A={index}", reason), 0);
    assert_int_equal(change(), PIPELINE_SAME);
    next.pipelines[0].options.device_memory_bytes = 4096; /* of processes that start from now on */
    assert_int_equal(change(), PIPELINE_LIMITS);
    next.pipelines[0].options.device_memory_bytes = 0;
    next.pipelines[0].options.device_memory_learned = true;
    assert_int_equal(change(), PIPELINE_LIMITS);
    next.pipelines[0].options.device_memory_learned = false;
    next.pipelines[0].options.devices_count_workers = true;
    assert_int_equal(change(), PIPELINE_LIMITS);
}

/* ---- the server ---------------------------------------------------------------------------- */

static void expect_keys(uint32_t count, const char *const *names)
{
    assert_int_equal(config_inherit(&next, &now, &keys, reason), 0);
    assert_int_equal(keys.count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(keys.names[i], names[i]);
}

static void what_lasts_is_taken_over_and_named(void **state)
{
    (void)state;
    static const char *const names[] = {"max-connections", "max-connections-per-client",
                                        "body-limit",      "input-memory",
                                        "output-memory",   "worker",
                                        "log-file"};
    next.conn_count_said = next.conn_count_max = 7;
    next.conn_per_client_max = 1;
    next.body_bytes_max++;
    next.input_bytes_max++;
    next.output_bytes_max++;
    next.keepalive_ms++;
    next.log_path = "other";
    now.log_path = "log";
    now.own_users = (struct own_users){.first = 5, .count = 6};
    free(next.worker_path);
    next.worker_path = strdup("/srv/worker");
    expect_keys(ARRAY_COUNT(names), names);
    assert_int_equal(next.conn_count_max, 100);
    assert_int_equal(next.conn_per_client_max, 0);
    assert_int_equal(next.body_bytes_max, now.body_bytes_max);
    assert_int_equal(next.input_bytes_max, now.input_bytes_max);
    assert_int_equal(next.output_bytes_max, now.output_bytes_max);
    assert_int_equal(next.keepalive_ms, now.keepalive_ms + 1);
    assert_int_equal(next.own_users.first, 5);
    assert_string_equal(next.worker_path, "/opt/worker");
    assert_string_equal(next.log_path, "log");
    assert_ptr_not_equal(next.log_path, now.log_path); /* that one goes */
}

static void nothing_is_named_where_nothing_is_different(void **state)
{
    (void)state;
    next.conn_count_max = 50; /* nobody said so: it was worked out */
    expect_keys(0, NULL);
    assert_int_equal(next.conn_count_max, 100);
}

static void a_server_does_not_become_more_open_than_it_was_told(void **state)
{
    (void)state;
    next.own_users.count = 1;
    assert_int_equal(config_inherit(&next, &now, &keys, reason), -EINVAL);
    assert_non_null(strstr(reason, "worker-user own needs a restart"));
    next.own_users.count = 0;
    next.tokens.entries = calloc(1, sizeof *next.tokens.entries);
    next.tokens.entries[next.tokens.count++].name = strdup("alice");
    assert_int_equal(config_inherit(&next, &now, &keys, reason), -EINVAL);
    assert_non_null(strstr(reason, "token-file needs a restart"));
}

/* ---- tokens -------------------------------------------------------------------------------- */

static void tokens_put(struct tokens *tokens, const char *name, uint8_t hash)
{
    size_t bytes = (tokens->count + 1) * sizeof *tokens->entries;
    tokens->entries = realloc(tokens->entries, bytes);
    struct token_entry *entry = &tokens->entries[tokens->count++];
    *entry = (struct token_entry){.name = strdup(name)};
    memset(entry->hash, hash, sizeof entry->hash);
}

static void expect_token(size_t place, const char *name, uint8_t hash)
{
    assert_true(place < next.tokens.count);
    assert_string_equal(next.tokens.entries[place].name, name);
    assert_int_equal(next.tokens.entries[place].hash[31], hash);
}

static void names_of_tokens_keep_their_places(void **state)
{
    (void)state;
    tokens_put(&now.tokens, "alice", 1);
    tokens_put(&now.tokens, "bob", 2);
    tokens_put(&next.tokens, "carol", 3);
    tokens_put(&next.tokens, "bob", 4);
    assert_int_equal(tokens_follow(&next.tokens, &now.tokens), 0);
    assert_int_equal(next.tokens.count, 3);
    expect_token(0, "alice", 0); /* no token has that */
    expect_token(1, "bob", 4);
    expect_token(2, "carol", 3);
}

static void names_are_bounded_with_those_that_were_removed(void **state)
{
    (void)state;
    char name[16];
    for (uint32_t i = 0; i < TOKEN_COUNT_MAX - 1; i++) {
        snprintf(name, sizeof name, "n%u", i);
        tokens_put(&now.tokens, name, 1);
    }
    tokens_put(&next.tokens, "one", 2);
    assert_int_equal(tokens_follow(&next.tokens, &now.tokens), 0);
    assert_int_equal(next.tokens.count, TOKEN_COUNT_MAX);
    tokens_put(&now.tokens, "other", 1);
    assert_int_equal(config_inherit(&next, &now, &keys, reason), -EINVAL);
    assert_non_null(strstr(reason, "1024 names of tokens"));
}

static void without_memory_tokens_stay(void **state)
{
    (void)state;
    int rc = -ENOMEM;
    tokens_put(&now.tokens, "alice", 1);
    tokens_put(&now.tokens, "bob", 2);
    tokens_put(&next.tokens, "carol", 3);
    for (unsigned count = 0; count < 10 && rc == -ENOMEM; count++) {
        assert_int_equal(next.tokens.count, 1);
        allocs_left = count;
        rc = tokens_follow(&next.tokens, &now.tokens);
        allocs_left = UINT_MAX;
    }
    assert_int_equal(rc, 0);
}

/* ---- files --------------------------------------------------------------------------------- */

static void a_file_is_told_by_what_is_in_it(void **state)
{
    (void)state;
    char path[] = "/tmp/millrace-digest-XXXXXX";
    static const struct source_digest unknown;
    struct source_digest empty, one, other;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(source_digest_take(&empty, path), 0);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(source_digest_take(&one, path), 0);
    assert_int_equal(source_digest_take(&other, path), 0);
    assert_memory_equal(&one, &other, sizeof one);
    assert_memory_not_equal(&one, &empty, sizeof one);
    assert_int_equal(pwrite(fd, "x", 1, 199999), 1);
    assert_int_equal(source_digest_take(&other, path), 0);
    assert_memory_not_equal(&one, &other, sizeof one);
    close(fd);
    unlink(path);
    assert_int_equal(source_digest_take(&other, path), -ENOENT);
    assert_memory_equal(&other, &unknown, sizeof other);
    assert_int_equal(source_digest_take(&other, "/"), -EISDIR);
    assert_int_equal(source_digest_take(&other, "/dev/zero"), -EINVAL);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(source_digest_take(&other, path), -EINVAL);
    unlink(path);
}

#define CHANGE_TEST(name) cmocka_unit_test_setup_teardown(name, both_made, both_gone)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        CHANGE_TEST(each_option_of_a_pipeline_is_a_change_of_its_kind),
        CHANGE_TEST(another_warm_up_is_of_processes_that_start_from_then_on),
        CHANGE_TEST(other_tenants_and_keys_need_no_other_processes),
        CHANGE_TEST(what_processes_know_makes_them_others),
        CHANGE_TEST(other_devices_are_those_of_other_processes),
        CHANGE_TEST(what_lasts_is_taken_over_and_named),
        CHANGE_TEST(nothing_is_named_where_nothing_is_different),
        CHANGE_TEST(a_server_does_not_become_more_open_than_it_was_told),
        CHANGE_TEST(names_of_tokens_keep_their_places),
        CHANGE_TEST(names_are_bounded_with_those_that_were_removed),
        CHANGE_TEST(without_memory_tokens_stay),
        cmocka_unit_test(a_file_is_told_by_what_is_in_it),
    };
    return cmocka_run_group_tests_name("config_change", tests, NULL, NULL);
}
