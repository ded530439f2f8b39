/* SPDX-License-Identifier: MIT */
/* test_config_file.c - what a file says becomes what options would say, or all that is wrong. */
#include "dispatcher/config/config_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dispatcher/config/pipeline_options.h"
#include "tests/unit/dispatcher/taken_file.h"

static char reason[CLI_REASON_BYTES];

/* What is said after it on the command line is taken first, as cli_parse() does. */
static void command_line(const char *name, const char *text)
{
    const struct cli_option *option = cli_find(&serve_command, name);
    words.given[option - serve_command.options] = true;
    if (option->by_pipeline)
        assert_int_equal(said_take(&values.config.said, option, text, reason), 0);
    else
        assert_int_equal(cli_set(option, text, &values, reason), 0);
}

static void fill(void)
{
    assert_int_equal(pipeline_options_fill(&values.config, reason), 0);
}

static const struct pipeline_config *pipeline(uint32_t number)
{
    assert_true(number < values.config.pipeline_count);
    return &values.config.pipelines[number];
}

static void refused(const char *text, const char *line)
{
    drop(NULL);
    make(NULL);
    assert_int_equal(take_as("f.yaml", text), -EINVAL);
    assert_true(problems.count > 0);
    assert_string_equal(problems.items[0].line, line);
}

static void the_server_and_its_pipelines_are_told(void **state)
{
    (void)state;
    assert_int_equal(take_as("f.yaml", "listen: ['127.0.0.1:1', ':2']\n"
                                       "no-auth: true\n"
                                       "keepalive: 3s\n"
                                       "metrics: off\n"
                                       "log-runs: 10\n"
                                       "defaults: {workers: 3, queue: 7}\n"
                                       "pipelines:\n"
                                       "  me/a:v1: a.so\n"
                                       "  me/b:v1:\n"
                                       "    source: b.so:name\n"
                                       "    workers: 2\n"
                                       "    window: 64k\n"
                                       "    run-timeout: 2m\n"
                                       "    seccomp: strict\n"),
                     0);
    fill();
    assert_int_equal(values.listen.count, 2);
    assert_string_equal(values.listen.items[1], ":2");
    assert_true(values.config.no_auth);
    assert_int_equal(values.config.keepalive_ms, 3000);
    assert_int_equal(values.metrics, METRICS_OFF);
    assert_string_equal(values.log_runs, "10");
    assert_int_equal(values.config.pipeline_count, 2);
    assert_string_equal(pipeline(0)->pointer, "me/a:v1");
    assert_string_equal(pipeline(0)->source, "./a.so");
    assert_int_equal(pipeline(0)->options.workers.max, 3);
    assert_string_equal(pipeline(1)->name, "name");
    assert_int_equal(pipeline(1)->options.workers.max, 2);
    assert_int_equal(pipeline(1)->options.queue_count_max, 7);
    assert_int_equal(pipeline(1)->options.window_bytes, 64 * 1024);
    assert_int_equal(pipeline(1)->options.run_timeout_ms, 120000);
    assert_int_equal(pipeline(1)->confinement.seccomp, SECCOMP_STRICT);
    assert_int_equal(pipeline(0)->confinement.seccomp, SECCOMP_DEFAULT);
}

static void the_command_line_goes_before_the_file(void **state)
{
    (void)state;
    command_line("listen", "127.0.0.1:9");
    command_line("keepalive", "1s");
    command_line("workers", "5");
    command_line("concurrency", "me/b:v1=4");
    command_line("allow-connect", "me/b:v1=80");
    assert_int_equal(take_as("f.yaml", "listen: ['127.0.0.1:1', '127.0.0.1:2']\n"
                                       "keepalive: 3s\n"
                                       "defaults: {workers: 3, concurrency: 9}\n"
                                       "pipelines:\n"
                                       "  me/a:v1: a.so\n"
                                       "  me/b:v1: {source: b.so, workers: 2, concurrency: 3,\n"
                                       "            allow-connect: [1, 2]}\n"),
                     0);
    fill();
    assert_int_equal(values.listen.count, 1);
    assert_string_equal(values.listen.items[0], "127.0.0.1:9");
    assert_int_equal(values.config.keepalive_ms, 1000);
    assert_int_equal(pipeline(0)->options.workers.max, 5);
    assert_int_equal(pipeline(0)->options.concurrency, 9);
    assert_int_equal(pipeline(1)->options.workers.max, 2); /* its own, which nothing overrode */
    assert_int_equal(pipeline(1)->options.concurrency, 4);
    uint32_t at = 0;
    const struct saying *saying = said_next(&values.config.said, "allow-connect", "me/b:v1", &at);
    assert_string_equal(saying->value, "80");
    assert_null(said_next(&values.config.said, "allow-connect", "me/b:v1", &at));
}

static void paths_begin_at_the_folder_of_the_file(void **state)
{
    (void)state;
    assert_int_equal(take_as("/etc/x/f.yaml",
                             "token-file: tokens\n"
                             "log-file: /var/log/m\n"
                             "pipelines:\n"
                             "  me/a:v1: a.so\n"
                             "  me/b:v1: {source: sub/b.py, python: venv/bin/python}\n"
                             "  me/c:v1: {source: 'package.module:p', python: python3.12}\n"
                             "  me/d:v1: {source: /abs/d.so, allow-read: [none],\n"
                             "            allow-write: data}\n"),
                     0);
    fill();
    assert_string_equal(values.token_file, "/etc/x/tokens");
    assert_string_equal(values.config.log_path, "/var/log/m");
    assert_string_equal(pipeline(0)->source, "/etc/x/./a.so");
    assert_string_equal(pipeline(1)->source, "/etc/x/sub/b.py");
    assert_string_equal(pipeline(1)->python, "/etc/x/venv/bin/python");
    assert_int_equal(pipeline(2)->kind, SOURCE_PYTHON_MODULE);
    assert_string_equal(pipeline(2)->source, "package.module");
    assert_string_equal(pipeline(2)->python, "python3.12");
    assert_string_equal(pipeline(3)->source, "/abs/d.so");
    uint32_t at = 0;
    assert_string_equal(said_next(&values.config.said, "allow-read", "me/d:v1", &at)->value,
                        "none");
    at = 0;
    assert_string_equal(said_next(&values.config.said, "allow-write", "me/d:v1", &at)->value,
                        "/etc/x/data");
}

static void variables_of_this_process_stand_in_values(void **state)
{
    (void)state;
    setenv("F_NAME", "b", 1);
    setenv("F_COUNT", "4", 1);
    assert_int_equal(take_as("f.yaml", "pipelines:\n"
                                       "  me/a:v1:\n"
                                       "    source: a${F_NAME}c.so:x${F_NAME}\n"
                                       "    workers: ${F_COUNT}\n"
                                       "    environment: {X: 'a$${F_NAME}${F_NAME}$', F_NAME: ,\n"
                                       "                  Y: '1=2', Z: \"\"}\n"),
                     0);
    fill();
    assert_string_equal(pipeline(0)->source, "./abc.so");
    assert_string_equal(pipeline(0)->name, "xb");
    assert_int_equal(pipeline(0)->options.workers.max, 4);
    const struct environment *environment = &pipeline(0)->environment;
    assert_string_equal(environment_own_value(environment, "X"), "a${F_NAME}b$");
    assert_string_equal(environment_own_value(environment, "F_NAME"), "b");
    assert_string_equal(environment_own_value(environment, "Y"), "1=2");
    assert_string_equal(environment_own_value(environment, "Z"), "");
    refused("defaults: {workers: '1${F_NAME}'}\n",
            "f.yaml:1:21: defaults: workers cannot be what 1${F_NAME} stands for");
    unsetenv("F_NAME");
    unsetenv("F_COUNT");
    refused("log-file: /x/${F_NAME}\n", "f.yaml:1:11: ${F_NAME}: there is no such variable");
    refused("log-file: ${F-NAME}\n",
            "f.yaml:1:11: ${F-NAME} begins no ${NAME} of a variable; $${ stands for two such "
            "characters");
    refused("log-file: ${F\n",
            "f.yaml:1:11: ${F begins no ${NAME} of a variable; $${ stands for two such characters");
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    refused("[1]\n", "f.yaml:1:1: a configuration is keys and their values, like listen: "
                     "[127.0.0.1:8080]");
    refused("listn: x\n", "f.yaml:1:1: unknown key \"listn\" (nearest: listen)");
    refused("config: x\n", "f.yaml:1:1: unknown key \"config\"");
    refused("workers: 2\n", "f.yaml:1:1: workers is said of pipelines: it belongs below defaults, "
                            "or below one of them");
    refused("defaults: {listen: 'x:1'}\n", "f.yaml:1:12: defaults: listen is said of the server: "
                                           "it belongs at the top of the file");
    refused("defaults: [1]\n",
            "f.yaml:1:11: defaults: it is options and their values, like workers: 2");
    refused("defaults: {workers: 0}\n",
            "f.yaml:1:21: defaults: workers 0 is never any; 0-1 is none or one");
    refused("defaults: {workers: [1]}\n",
            "f.yaml:1:21: defaults: workers is one value, and not a list");
    refused("defaults: {workers: }\n", "f.yaml:1:21: defaults: workers has no value");
    refused("defaults: {env: {A: 1}}\n",
            "f.yaml:1:17: defaults: env is a value or a list of values, and not a mapping");
    refused("defaults: {environment: [A=1]}\n",
            "f.yaml:1:25: defaults: environment is names and values, like {OMP_NUM_THREADS: 4}");
    refused("defaults: {environment: {MILLRACE_X: 1}}\n",
            "f.yaml:1:38: defaults: env MILLRACE_X: names that begin with MILLRACE_ are the "
            "server's own");
    refused("no-auth: 'true'\n", "f.yaml:1:10: no-auth true is neither on nor off");
    refused(
        "allow-host: [a, 'b:1']\n",
        "f.yaml:1:17: allow-host b:1: not the name of a host, like box.example; without a port");
    refused("cors-origin: http://a:80\n",
            "f.yaml:1:14: cors-origin http://a:80: browsers leave the usual port out, and compare "
            "letter by letter: write it without");
    refused("log-runs: some\n",
            "f.yaml:1:11: log-runs: 'some' is not all, failed, off or a number (1 to 1000000)");
}

static void
workers_are_a_number_or_two_and_a_key_below_pipelines_may_be_another_one_at_the_top(void **state)
{
    (void)state;
    assert_int_equal(take_as("f.yaml", "idle-timeout: 30s\n"
                                       "defaults: {workers: 2-4, idle-timeout: 1m}\n"
                                       "pipelines:\n"
                                       "  me/a:v1: a.so\n"
                                       "  me/b:v1:\n"
                                       "    source: b.so\n"
                                       "    workers: {min: 0, max: 8}\n"
                                       "    idle-timeout: 10m\n"
                                       "  me/c:v1: {source: c.so, workers: {max: 3, min: 3}}\n"),
                     0);
    fill();
    assert_int_equal(values.config.idle_timeout_ms, 30000);
    assert_int_equal(pipeline(0)->options.workers.min, 2);
    assert_int_equal(pipeline(0)->options.workers.max, 4);
    assert_int_equal(pipeline(0)->options.worker_idle_ms, 60000);
    assert_int_equal(pipeline(1)->options.workers.min, 0);
    assert_int_equal(pipeline(1)->options.workers.max, 8);
    assert_int_equal(pipeline(1)->options.worker_idle_ms, 600000);
    assert_int_equal(pipeline(2)->options.workers.min, 3);
    assert_int_equal(pipeline(2)->options.workers.max, 3);
}

static void what_is_wrong_with_two_numbers_is_said_at_the_one_it_is(void **state)
{
    (void)state;
    refused("defaults: {workers: {min: 1}}\n",
            "f.yaml:1:21: defaults: workers has no max, like {min: 1, max: 8}");
    refused("defaults: {workers: {}}\n",
            "f.yaml:1:21: defaults: workers has no min, like {min: 1, max: 8}");
    refused("defaults: {workers: {mim: 1, max: 8}}\n",
            "f.yaml:1:22: defaults: workers: unknown key \"mim\" (nearest: min)");
    refused("defaults: {workers: {min: 1, max: two}}\n",
            "f.yaml:1:35: defaults: workers.max two is not a number (0 to 256)");
    refused("defaults: {workers: {min: [1], max: 2}}\n",
            "f.yaml:1:27: defaults: workers.min is one value, and not a list");
    refused("defaults: {workers: {min: , max: 2}}\n",
            "f.yaml:1:27: defaults: workers.min has no value");
    refused("defaults: {workers: {min: 257, max: 300}}\n",
            "f.yaml:1:27: defaults: workers.min 257 is out of range, 0 to 256");
    refused("defaults: {workers: {min: 3, max: 2}}\n",
            "f.yaml:1:21: defaults: workers 3-2: the first is greater than the second");
    refused("defaults: {workers: {min: 1, min: 2, max: 2}}\n",
            "f.yaml:1:30: min is there twice: line 1 has it, too");
    refused("idle-timeout: 1\n", "f.yaml:1:15: idle-timeout 1 is not a time like 500ms, 10s or 2m "
                                 "(100ms to 24h)");
    refused("defaults: {idle-timeout: 1}\n",
            "f.yaml:1:26: defaults: idle-timeout 1 is not a time like 500ms, 10s or 2m (0 to 24h)");
    refused("defaults: {worker-idle-timeout: 1m}\n",
            "f.yaml:1:12: defaults: unknown key \"worker-idle-timeout\"");
    refused("worker-idle-timeout: 1m\n", "f.yaml:1:1: unknown key \"worker-idle-timeout\"");
}

static void what_is_wrong_with_pipelines_is_said_with_their_pointer(void **state)
{
    (void)state;
    refused("pipelines: [a.so]\n", "f.yaml:1:12: pipelines: it is pointers and what they are, like "
                                   "me/words:v1: words.so");
    refused("pipelines: {a: a.so}\n",
            "f.yaml:1:13: pipelines: 'a' is not a pointer like me/words:v1");
    refused("pipelines:\n  me/a:v1: {workers: 2}\n",
            "f.yaml:2:3: pipelines.me/a:v1: it has no source, like source: words.so");
    refused("pipelines:\n  me/a:v1: {source: a.so, sorce: b}\n",
            "f.yaml:2:27: pipelines.me/a:v1: unknown key \"sorce\" (nearest: source)");
    refused("pipelines:\n  me/a:v1: {source: [a.so]}\n",
            "f.yaml:2:21: pipelines.me/a:v1: it is one value, and not a list");
    refused("pipelines:\n  me/a:v1: 'a.so:x y'\n",
            "f.yaml:2:12: pipelines.me/a:v1: 'x y' is not the name of a pipeline (letters, digits "
            "and _)");
    refused("pipelines:\n  me/a:v1: {source: a.so, allow-connect: [80, 99999]}\n",
            "f.yaml:2:47: pipelines.me/a:v1: allow-connect 99999 is out of range, 1 to 65535");
}

static void all_of_it_is_said_and_so_is_what_there_is_no_room_for(void **state)
{
    (void)state;
    char text[8192];
    size_t bytes = 0;
    for (int i = 0; i < 105; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "key%d: 1\n", i);
    assert_int_equal(take_as("f.yaml", text), -EINVAL);
    assert_int_equal(problems.count, 105);
    char *printed;
    FILE *file = open_memstream(&printed, &bytes);
    problems_print(&problems, file);
    fclose(file);
    assert_non_null(strstr(printed, "f.yaml:100:1: unknown key \"key99\"\nand 5 more\n"));
    free(printed);
}

/* What only all together can tell has its place, too. */
static void what_is_found_later_has_the_place_of_who_said_it(void **state)
{
    (void)state;
    assert_int_equal(take_as("f.yaml", "pipelines:\n"
                                       "  me/a:v1: {source: a.so, python: python3}\n"),
                     0);
    assert_int_equal(pipeline_options_fill(&values.config, reason), -EINVAL);
    assert_string_equal(reason,
                        "f.yaml:2:35: --python is for Python pipelines, and me/a:v1 is none");
    assert_int_equal(pipeline(0)->place.line, 2);
    assert_int_equal(pipeline(0)->place.column, 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_server_and_its_pipelines_are_told, make, drop),
        cmocka_unit_test_setup_teardown(the_command_line_goes_before_the_file, make, drop),
        cmocka_unit_test_setup_teardown(paths_begin_at_the_folder_of_the_file, make, drop),
        cmocka_unit_test_setup_teardown(variables_of_this_process_stand_in_values, make, drop),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_with_its_place, make, drop),
        cmocka_unit_test_setup_teardown(
            workers_are_a_number_or_two_and_a_key_below_pipelines_may_be_another_one_at_the_top,
            make, drop),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_two_numbers_is_said_at_the_one_it_is,
                                        make, drop),
        cmocka_unit_test_setup_teardown(what_is_wrong_with_pipelines_is_said_with_their_pointer,
                                        make, drop),
        cmocka_unit_test_setup_teardown(all_of_it_is_said_and_so_is_what_there_is_no_room_for, make,
                                        drop),
        cmocka_unit_test_setup_teardown(what_is_found_later_has_the_place_of_who_said_it, make,
                                        drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
