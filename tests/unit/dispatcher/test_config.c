/* SPDX-License-Identifier: MIT */
/*
 * test_config.c - what the command line says becomes a configuration, or one line that says why
 * not.
 */
#include "dispatcher/config/config.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/config/owner.h"
#include "tests/unit/dispatcher/fds.h"

static struct config config;
static char reason[CLI_REASON_BYTES];
static int fd_count;

static int config_make(void **state)
{
    (void)state;
    fd_count = fds_count();
    reason[0] = '\0';
    config_init(&config);
    return 0;
}

static int config_drop(void **state)
{
    (void)state;
    config_finish(&config);
    return fds_count() == fd_count ? 0 : -1;
}

/* ---- [POINTER=]SOURCE[:NAME] --------------------------------------------------------------- */

static void parses(const char *argument, const char *pointer, const char *source, const char *name)
{
    struct pipeline_config pipeline;
    assert_int_equal(pipeline_config_parse(&pipeline, argument, reason), 0);
    assert_string_equal(pipeline.pointer, pointer);
    assert_string_equal(pipeline.source, source);
    if (name)
        assert_string_equal(pipeline.name, name);
    else
        assert_null(pipeline.name);
    pipeline_config_finish(&pipeline);
}

static void is_refused(const char *argument, const char *why)
{
    struct pipeline_config pipeline = {.id = "untouched"};
    assert_int_equal(pipeline_config_parse(&pipeline, argument, reason), -EINVAL);
    assert_string_equal(reason, why);
    assert_string_equal(pipeline.id, "untouched");
}

static void an_argument_is_split_into_pointer_source_and_name(void **state)
{
    (void)state;
    parses("me/p:v1=/opt/words.so:my_pipeline", "me/p:v1", "/opt/words.so", "my_pipeline");
    parses("me/p:v1=/opt/words.so", "me/p:v1", "/opt/words.so", NULL);
    parses("/opt/words.so:my_pipeline", "local/my_pipeline:v1", "/opt/words.so", "my_pipeline");
    parses("/opt/words.so", "local/words:v1", "/opt/words.so", NULL);
    parses("me/p:v1=my_module.py:my_pipeline", "me/p:v1", "./my_module.py", "my_pipeline");
}

static void a_source_may_have_colons_and_equals_signs_in_its_path(void **state)
{
    (void)state;
    parses("me/p:v1=/a:b/words.so", "me/p:v1", "/a:b/words.so", NULL);
    parses("me/p:v1=/a:b/words.so:n", "me/p:v1", "/a:b/words.so", "n");
    parses("me/p:v1=/a=b/w=x.so:n", "me/p:v1", "/a=b/w=x.so", "n");
    parses("me/p:v1=a:b.so:n", "me/p:v1", "./a:b.so", "n");
}

static void a_source_without_a_slash_is_in_this_folder_not_in_the_library_path(void **state)
{
    (void)state;
    parses("words.so", "local/words:v1", "./words.so", NULL);
    parses("build/words.so", "local/words:v1", "build/words.so", NULL);
    parses("words", "local/words:v1", "./words", NULL);
}

static void is_kind(const char *argument, enum source_kind kind, const char *source)
{
    struct pipeline_config pipeline;
    assert_int_equal(pipeline_config_parse(&pipeline, argument, reason), 0);
    assert_int_equal(pipeline.kind, kind);
    assert_int_equal(pipeline_config_is_python(&pipeline), kind != SOURCE_SHARED_OBJECT);
    assert_string_equal(pipeline.source, source);
    pipeline_config_finish(&pipeline);
}

static void a_source_says_by_its_form_what_executes_it(void **state)
{
    (void)state;
    is_kind("me/p:v1=a.py:n", SOURCE_PYTHON_FILE, "./a.py");
    is_kind("me/p:v1=/opt/a.py", SOURCE_PYTHON_FILE, "/opt/a.py");
    is_kind("me/p:v1=package.module:n", SOURCE_PYTHON_MODULE, "package.module");
    is_kind("me/p:v1=module:n", SOURCE_PYTHON_MODULE, "module");
    is_kind("me/p:v1=_a1.b_2:n", SOURCE_PYTHON_MODULE, "_a1.b_2");
    is_kind("me/p:v1=words.so:n", SOURCE_SHARED_OBJECT, "./words.so");
    is_kind("me/p:v1=words.so.1:n", SOURCE_SHARED_OBJECT, "./words.so.1");
    is_kind("me/p:v1=words", SOURCE_SHARED_OBJECT, "./words");
    is_kind("me/p:v1=./words:n", SOURCE_SHARED_OBJECT, "./words");
    is_kind("me/p:v1=my-words:n", SOURCE_SHARED_OBJECT, "./my-words");
    is_kind("me/p:v1=a..b:n", SOURCE_SHARED_OBJECT, "./a..b");
    is_kind("me/p:v1=a.b.:n", SOURCE_SHARED_OBJECT, "./a.b.");
    is_kind("me/p:v1=.py:n", SOURCE_SHARED_OBJECT, "./.py");
    is_kind("me/p:v1=none/p.yaml", SOURCE_MANIFEST, "none/p.yaml");
    is_kind("me/p:v1=p.yml", SOURCE_MANIFEST, "p.yml");
}

/* ---- a folder with a pipeline.yaml --------------------------------------------------------- */

static char folder[] = "/tmp/test_config.XXXXXX";

static void put(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_not_equal(fputs(text, file), EOF);
    fclose(file);
}

static void is_of_folder(const char *before, const char *pointer, const char *wrong)
{
    struct pipeline_config pipeline;
    char argument[64];
    snprintf(argument, sizeof argument, "%s%s", before, folder);
    assert_int_equal(pipeline_config_parse(&pipeline, argument, reason), 0);
    assert_int_equal(pipeline.kind, SOURCE_MANIFEST);
    assert_true(pipeline_config_is_python(&pipeline));
    if (pointer)
        assert_string_equal(pipeline.pointer, pointer);
    assert_int_equal(pipeline_config_check_source(&pipeline, reason), wrong ? -EINVAL : 0);
    if (wrong)
        assert_string_equal(strrchr(reason, '/') + 1, wrong);
    pipeline_config_finish(&pipeline);
}

static void a_folder_is_what_its_pipeline_yaml_says(void **state)
{
    (void)state;
    char argument[64], why[256];
    assert_non_null(mkdtemp(folder));
    snprintf(why, sizeof why, "%s: it is a folder, and has no pipeline.yaml",
             strrchr(folder, '/') + 1);
    is_of_folder("me/p:v1=", "me/p:v1", why);
    put("m.py", "");
    put("pipeline.yaml", "pipeline_graph: m:words\n");
    is_of_folder("", "local/words:v1", NULL);
    put("pipeline.yaml", "pipeline_graph: m:words\npipeline_name: you/p\n");
    is_of_folder("", "you/p:v1", NULL);
    is_of_folder("me/p:v1=", "me/p:v1", NULL);
    put("pipeline.yaml", "pipeline_graph: m:words\npipeline_name: '?'\n");
    is_of_folder("", "local/words:v1", NULL);
    put("pipeline.yaml", "pipeline_graph: m:words\npipeline_name: []\n");
    is_of_folder("", NULL, "pipeline.yaml:2:16: pipeline_name: it has to be a text");
    snprintf(argument, sizeof argument, "me/p:v1=%s:x", folder);
    snprintf(why, sizeof why, "%s says itself which pipeline it is: leave :x out", folder);
    is_refused(argument, why);
    snprintf(argument, sizeof argument, "rm -r %s", folder);
    assert_int_equal(system(argument), 0);
}

static void arguments_of_another_form_are_refused(void **state)
{
    (void)state;
    is_refused("", "no source in '': it is [POINTER=]SOURCE[:NAME]");
    is_refused("me/p:v1=", "no source in '': it is [POINTER=]SOURCE[:NAME]");
    is_refused(":name", "no source in ':name': it is [POINTER=]SOURCE[:NAME]");
    is_refused("=words.so", "'' is not a pointer like me/words:v1");
    is_refused("/opt/a=b/words.so", "'/opt/a' is not a pointer like me/words:v1");
    is_refused("words.so:", "'' is not the name of a pipeline (letters, digits and _)");
    is_refused("words.so:1a", "'1a' is not the name of a pipeline (letters, digits and _)");
    is_refused("words.so:a-b", "'a-b' is not the name of a pipeline (letters, digits and _)");
    is_refused("ünı.so", "'ünı.so' makes no pointer: put one like me/words:v1= before it");
    is_refused(".so", "'.so' makes no pointer: put one like me/words:v1= before it");
}

static void a_pipelines_id_is_made_of_the_hash_of_its_pointer(void **state)
{
    (void)state;
    struct pipeline_config pipeline;
    assert_int_equal(pipeline_config_parse(&pipeline, "my_user/my_pipeline:v1=a.so", reason), 0);
    /* printf my_user/my_pipeline:v1 | sha256sum */
    assert_string_equal(pipeline.id, "pipeline_2f7e5be5f46847a9aadd57876ac2209e");
    pipeline_config_finish(&pipeline);
}

static bool is_pointer(const char *text)
{
    return pointer_is_valid(text, strlen(text));
}

static void pointers_are_checked_as_the_contract_spells_them(void **state)
{
    (void)state;
    assert_true(is_pointer("my_user/my_pipeline:v1"));
    assert_true(is_pointer("ab:v1"));
    assert_true(is_pointer("a-b.c_d/e:1"));
    assert_true(is_pointer("ab:v-1_2.3"));
    assert_false(is_pointer("a:v1"));
    assert_false(is_pointer("ab"));
    assert_false(is_pointer("ab:"));
    assert_false(is_pointer(":v1"));
    assert_false(is_pointer("_b:v1"));
    assert_false(is_pointer("a_:v1"));
    assert_false(is_pointer("/ab:v1"));
    assert_false(is_pointer("ab:-v"));
    assert_false(is_pointer("ab:v-"));
    assert_false(is_pointer("ab:v1:v2"));
    assert_false(is_pointer("ab:v/1"));
    assert_false(is_pointer("a b:v1"));
    assert_false(pointer_is_valid("a\0b:v1", 6));
}

static void pointers_have_a_longest_tag_and_a_longest_length(void **state)
{
    (void)state;
    char text[POINTER_BYTES_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[2] = ':';
    assert_true(pointer_is_valid(text, 3 + 129));
    assert_false(pointer_is_valid(text, 3 + 130));
    text[2] = 'a';
    text[200] = ':';
    assert_true(pointer_is_valid(text, POINTER_BYTES_MAX));
    assert_false(pointer_is_valid(text, POINTER_BYTES_MAX + 1));
}

static void the_same_pointer_twice_is_refused(void **state)
{
    (void)state;
    assert_int_equal(config_add_pipeline(&config, "words.so", reason), 0);
    assert_int_equal(config_add_pipeline(&config, "me/words:v1=words.so", reason), 0);
    assert_int_equal(config_add_pipeline(&config, "other/words.so", reason), -EINVAL);
    assert_string_equal(
        reason, "two pipelines are local/words:v1: put another POINTER= before one of them");
    assert_int_equal(config.pipeline_count, 2);
}

static void one_pipeline_too_many_is_refused(void **state)
{
    (void)state;
    char argument[32];
    for (unsigned i = 0; i < PIPELINE_COUNT_MAX; i++) {
        snprintf(argument, sizeof(argument), "p%u.so", i);
        assert_int_equal(config_add_pipeline(&config, argument, reason), 0);
    }
    assert_int_equal(config_add_pipeline(&config, "one_more.so", reason), -EINVAL);
    assert_string_equal(reason, "64 pipelines at most");
}

static int check_source(const char *argument)
{
    struct pipeline_config pipeline;
    assert_int_equal(pipeline_config_parse(&pipeline, argument, reason), 0);
    reason[0] = '\0';
    int rc = pipeline_config_check_source(&pipeline, reason);
    pipeline_config_finish(&pipeline);
    return rc;
}

static void a_source_is_a_regular_file_that_can_be_read(void **state)
{
    (void)state;
    assert_int_equal(check_source("me/p:v1=/proc/self/exe"), 0);
    assert_int_equal(check_source("/nonexistent/words.so"), -ENOENT);
    assert_string_equal(reason, "/nonexistent/words.so: No such file or directory");
    assert_int_equal(check_source("me/p:v1=/proc"), -EINVAL);
    assert_string_equal(reason, "/proc: it is a folder, and has no pipeline.yaml");
    assert_int_equal(check_source("me/p:v1=/dev/null"), -ENOEXEC);
    assert_string_equal(reason, "/dev/null: Not a regular file");
    assert_int_equal(check_source("me/p:v1=/dev/null/words.so"), -ENOTDIR);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void listens(const char *text, const char *stored, int family, uint16_t port)
{
    config_finish(&config);
    assert_int_equal(config_add_listen(&config, text, reason), 0);
    assert_string_equal(config.listen[0], stored);
    struct sockaddr_storage address;
    socklen_t bytes;
    assert_int_equal(listen_address_parse(stored, &address, &bytes, reason), 0);
    assert_int_equal(address.ss_family, family);
    in_port_t got = family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                      : ((struct sockaddr_in6 *)&address)->sin6_port;
    assert_int_equal(ntohs(got), port);
    assert_int_equal(bytes,
                     family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static void addresses_are_numbers_and_a_port(void **state)
{
    (void)state;
    listens("127.0.0.1:8080", "127.0.0.1:8080", AF_INET, 8080);
    listens("[::1]:65535", "[::1]:65535", AF_INET6, 65535);
    listens("localhost:0", "127.0.0.1:0", AF_INET, 0);
    listens(":80", "0.0.0.0:80", AF_INET, 80);
    listens("[::]:80", "[::]:80", AF_INET6, 80);
}

static void is_no_address(const char *text, const char *why)
{
    assert_int_equal(config_add_listen(&config, text, reason), -EINVAL);
    assert_string_equal(reason, why);
    assert_int_equal(config.listen_count, 0);
}

static void other_addresses_are_refused_and_names_never_resolved(void **state)
{
    (void)state;
    is_no_address("8080", "'8080' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080");
    is_no_address("", "'' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080");
    is_no_address("a:65536", "'a:65536' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080");
    is_no_address("a:-1", "'a:-1' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080");
    is_no_address("a:", "'a:' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080");
    is_no_address("::1:80", "'::1:80' needs brackets around its address, like [::1]:8080");
    is_no_address("example.org:80",
                  "'example.org' is not an address: give numbers, like 127.0.0.1 or [::1]");
    is_no_address("[1.2.3.4]:80",
                  "'1.2.3.4' is not an address: give numbers, like 127.0.0.1 or [::1]");
    is_no_address("[]:80", "'' is not an address: give numbers, like 127.0.0.1 or [::1]");
}

static void one_address_too_many_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LISTEN_COUNT_MAX; i++)
        assert_int_equal(config_add_listen(&config, "localhost:0", reason), 0);
    assert_int_equal(config_add_listen(&config, "localhost:0", reason), -EINVAL);
}

/* ---- all together -------------------------------------------------------------------------- */

static int complete(uint64_t fd_count_max)
{
    if (config.pipeline_count == 0)
        assert_int_equal(config_add_pipeline(&config, "words.so", reason), 0);
    for (uint32_t i = 0; i < config.pipeline_count; i++)
        config.pipelines[i].options = config.options;
    return config_complete(&config, fd_count_max, reason);
}

static void defaults_are_completed(void **state)
{
    (void)state;
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.listen_count, 1);
    assert_string_equal(config.listen[0], "127.0.0.1:8080");
    assert_int_equal(config.run_count_max, 1 + RUN_QUEUE_COUNT_MAX + 1);
    assert_int_equal(config.conn_count_max, CONN_COUNT_DEFAULT);
}

static void all_queues_together_may_be_less_than_their_sum(void **state)
{
    (void)state;
    assert_int_equal(config_add_pipeline(&config, "a/b:v1=words.so", reason), 0);
    config.options.queue_count_max = 100;
    config.queue_total_max = 150;
    assert_int_equal(config_add_pipeline(&config, "words.so", reason), 0);
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.run_count_max, 2 * (1 + 1) + 150);
    config.queue_total_max = 1000;
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.run_count_max, 2 * (1 + 1) + 200);
}

static void one_body_must_fit_the_memory_of_all(void **state)
{
    (void)state;
    config.body_bytes_max = 1 << 20;
    config.input_bytes_max = 1 << 20;
    assert_int_equal(complete(1 << 20), 0);
    config.input_bytes_max--;
    assert_int_equal(complete(1 << 20), -EINVAL);
    assert_string_equal(reason,
                        "--input-memory 1048575 is less than one body of --body-limit 1048576");
}

static void connections_are_what_the_descriptor_limit_leaves(void **state)
{
    (void)state;
    config.options.workers = (struct cli_range){2, 2};
    assert_int_equal(complete(1024), 0);
    assert_int_equal(config.conn_count_max, 1024 - 64 - (2 + 1) * 10); /* a successor's, too */
}

static void more_connections_than_descriptors_are_refused(void **state)
{
    (void)state;
    config.conn_count_max = 1000;
    assert_int_equal(complete(64 + 2 * 10 + 1000), 0);
    assert_int_equal(complete(64 + 2 * 10 + 999), -EINVAL);
    assert_string_equal(reason, "1 workers and 1000 connections need 1084 descriptors, the limit "
                                "is 1083 (ulimit -Hn, LimitNOFILE=)");
    config.conn_count_max = 0;
    assert_int_equal(complete(64 + 2 * 10), -EINVAL);
}

static void more_runs_than_can_be_told_apart_are_refused(void **state)
{
    (void)state;
    config.options.workers = (struct cli_range){WORKER_COUNT_MAX, WORKER_COUNT_MAX};
    config.options.concurrency = SLOT_COUNT_MAX - 1;
    config.options.queue_count_max = WORKER_COUNT_MAX - 1;
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.run_count_max, RUN_COUNT_MAX);
    config.options.queue_count_max = WORKER_COUNT_MAX;
    assert_int_equal(complete(1 << 20), -EINVAL);
    assert_non_null(strstr(reason, "1048577 runs at once, at most 1048576"));
}

static void a_request_ring_has_room_for_every_slot(void **state)
{
    (void)state;
    config.options.concurrency = 512;
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.pipelines[0].options.request_ring_bytes, REQUEST_RING_BYTES);
    config.options.concurrency = 2500;
    assert_int_equal(complete(1 << 20), 0);
    assert_int_equal(config.pipelines[0].options.request_ring_bytes, 2u << 20);
}

static void without_tokens_only_loopback_addresses_may_be_listened_on(void **state)
{
    (void)state;
    assert_int_equal(config_add_listen(&config, "127.9.9.9:80", reason), 0);
    assert_int_equal(config_add_listen(&config, "[::1]:80", reason), 0);
    assert_int_equal(config_add_listen(&config, "[::ffff:127.0.0.1]:80", reason), 0);
    assert_int_equal(complete(1024), 0);
    assert_int_equal(config_add_listen(&config, "[::ffff:8.8.8.8]:80", reason), 0);
    assert_int_equal(complete(1024), -EINVAL);
    assert_int_equal(config.listen_count, 4);
}

static void refused_without_tokens(const char *address)
{
    config_finish(&config);
    config_init(&config);
    assert_int_equal(config_add_listen(&config, address, reason), 0);
    assert_int_equal(complete(1024), -EINVAL);
    assert_non_null(strstr(reason, "can be reached from other machines: give --token-file FILE"));
    assert_non_null(strstr(reason, "--no-auth"));
    config.no_auth = true;
    assert_int_equal(complete(1024), 0);
    config.no_auth = false;
    config.tokens.entries = calloc(1, sizeof(struct token_entry));
    config.tokens.count = 1;
    assert_int_equal(complete(1024), 0);
}

static void other_addresses_need_tokens_or_no_auth(void **state)
{
    (void)state;
    refused_without_tokens(":8080");
    refused_without_tokens("0.0.0.0:8080");
    refused_without_tokens("[::]:8080");
    refused_without_tokens("192.168.1.1:0");
    refused_without_tokens("[::2]:0");
}

static void tokens_and_no_auth_contradict_each_other(void **state)
{
    (void)state;
    config.tokens.entries = calloc(1, sizeof(struct token_entry));
    config.tokens.count = 1;
    config.no_auth = true;
    assert_int_equal(complete(1024), -EINVAL);
    assert_string_equal(reason, "--no-auth and --token-file contradict each other");
}

static void tokens_share_only_where_there_are_some(void **state)
{
    (void)state;
    config.tokens_share = true;
    assert_int_equal(complete(1024), -EINVAL);
    assert_string_equal(reason, "--tokens-share is for tokens, and there is no --token-file");
    config.tokens.entries = calloc(1, sizeof(struct token_entry));
    config.tokens.count = 1;
    assert_int_equal(complete(1024), 0);
}

static void hosts_and_origins_are_allowed_only_without_tokens(void **state)
{
    (void)state;
    config.allow_hosts = (struct cli_list){.items = {"box.example"}, .count = 1};
    config.allow_origins = (struct cli_list){.items = {"null"}, .count = 1};
    assert_int_equal(complete(1024), 0);
    config.tokens.entries = calloc(1, sizeof(struct token_entry));
    config.tokens.count = 1;
    assert_int_equal(complete(1024), -EINVAL);
    assert_non_null(strstr(reason, "--allow-origin are for servers without tokens"));
}

static void each_token_is_an_owner_unless_they_share_or_there_are_none(void **state)
{
    (void)state;
    assert_int_equal(owner_count(&config), 1);
    assert_int_equal(owner_of(&config, NULL), 0);
    config.tokens.entries = calloc(3, sizeof(struct token_entry));
    config.tokens.count = 3;
    assert_int_equal(owner_count(&config), 3);
    assert_int_equal(owner_of(&config, NULL), OWNER_NOBODY);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(owner_of(&config, &config.tokens.entries[i]), i);
    config.tokens_share = true;
    assert_int_equal(owner_count(&config), 1);
    assert_int_equal(owner_of(&config, NULL), OWNER_NOBODY);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(owner_of(&config, &config.tokens.entries[i]), 0);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, config_make, config_drop)

int main(void)
{
    alarm(30);
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(an_argument_is_split_into_pointer_source_and_name),
        CONFIG_TEST(a_source_may_have_colons_and_equals_signs_in_its_path),
        CONFIG_TEST(a_source_without_a_slash_is_in_this_folder_not_in_the_library_path),
        CONFIG_TEST(a_source_says_by_its_form_what_executes_it),
        CONFIG_TEST(a_folder_is_what_its_pipeline_yaml_says),
        CONFIG_TEST(arguments_of_another_form_are_refused),
        CONFIG_TEST(a_pipelines_id_is_made_of_the_hash_of_its_pointer),
        CONFIG_TEST(pointers_are_checked_as_the_contract_spells_them),
        CONFIG_TEST(pointers_have_a_longest_tag_and_a_longest_length),
        CONFIG_TEST(the_same_pointer_twice_is_refused),
        CONFIG_TEST(one_pipeline_too_many_is_refused),
        CONFIG_TEST(a_source_is_a_regular_file_that_can_be_read),
        CONFIG_TEST(addresses_are_numbers_and_a_port),
        CONFIG_TEST(other_addresses_are_refused_and_names_never_resolved),
        CONFIG_TEST(one_address_too_many_is_refused),
        CONFIG_TEST(defaults_are_completed),
        CONFIG_TEST(all_queues_together_may_be_less_than_their_sum),
        CONFIG_TEST(one_body_must_fit_the_memory_of_all),
        CONFIG_TEST(connections_are_what_the_descriptor_limit_leaves),
        CONFIG_TEST(more_connections_than_descriptors_are_refused),
        CONFIG_TEST(more_runs_than_can_be_told_apart_are_refused),
        CONFIG_TEST(a_request_ring_has_room_for_every_slot),
        CONFIG_TEST(without_tokens_only_loopback_addresses_may_be_listened_on),
        CONFIG_TEST(other_addresses_need_tokens_or_no_auth),
        CONFIG_TEST(tokens_and_no_auth_contradict_each_other),
        CONFIG_TEST(hosts_and_origins_are_allowed_only_without_tokens),
        CONFIG_TEST(tokens_share_only_where_there_are_some),
        CONFIG_TEST(each_token_is_an_owner_unless_they_share_or_there_are_none),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
