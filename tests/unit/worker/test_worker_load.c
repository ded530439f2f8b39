/* SPDX-License-Identifier: MIT */
/*
 * test_worker_load.c - what a worker says of what it is given: HELLO, or why it does not start.
 *
 * Pipelines that are wrong are compiled here, by the compiler that authors use.
 */
#include "build/version.h"
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

static const char *compile_graphs(void)
{
    const char *const none[] = {NULL};
    return compile("cc", FIXTURES "graphs.c", none, "graphs.so");
}

/* ---- FAILED -------------------------------------------------------------------------------- */

/* The worker sends FAILED with these words in it, and exits. */
static void expect_failed(const struct harness_options *options, const char *words, int code)
{
    struct harness h;
    harness_start(&h, options);
    uint8_t body[16384];
    char printed[16384];
    size_t bytes;
    uint16_t kind = harness_message(&h, body, sizeof body, &bytes);
    if (code == WORKER_EXIT_STARTUP) {
        assert_int_equal(kind, MESSAGE_HELLO);
        kind = harness_message(&h, body, sizeof body, &bytes);
    }
    assert_int_equal(kind, MESSAGE_FAILED);
    harness_print(body, bytes, printed, sizeof printed);
    if (strncmp(printed, "[5, \"", 5) != 0 || !strstr(printed, words))
        fail_msg("expected a startup error with %s, got %s", words, printed);
    harness_expect_exit(&h, code);
    harness_finish(&h);
}

static void what_is_no_pipeline_is_refused_with_its_own_sentence(void **state)
{
    (void)state;
    expect_failed(&(struct harness_options){.source = "./nowhere.so"},
                  "./nowhere.so: No such file or directory", WORKER_EXIT_LOAD);
    expect_failed(&(struct harness_options){.source = "docs/examples"}, "docs/examples: not a file",
                  WORKER_EXIT_LOAD);
    expect_failed(&(struct harness_options){.source = "docs/examples/words.c"},
                  "cannot load the shared object: docs/examples/words.c: ", WORKER_EXIT_LOAD);

    const char *const known[] = {"-DMISSING=rand", NULL};
    expect_failed(&(struct harness_options){.source = compile("cc", FIXTURES "not_a_pipeline.c",
                                                              known, "not_a_pipeline.so")},
                  "not a millrace pipeline: it has no MR_PIPELINE", WORKER_EXIT_LOAD);
    const char *const missing[] = {"-DMISSING=nobody_has_this", NULL};
    expect_failed(&(struct harness_options){.source = compile("cc", FIXTURES "not_a_pipeline.c",
                                                              missing, "missing.so")},
                  "undefined symbol: nobody_has_this", WORKER_EXIT_LOAD);
}

static void a_pipeline_that_is_not_there_is_answered_with_those_that_are(void **state)
{
    (void)state;
    expect_failed(&(struct harness_options){.source = "several.so", .name = "severall"},
                  "no pipeline severall: it has ", WORKER_EXIT_LOAD);
    expect_failed(&(struct harness_options){.source = "several.so"},
                  "it has several pipelines, say which: paced, lockstep, several",
                  WORKER_EXIT_LOAD);
}

static void another_version_of_the_header_is_refused(void **state)
{
    (void)state;
    const char *const version[] = {"-DVERSION=2", "-DTABLE_BYTES=8", NULL};
    expect_failed(&(struct harness_options){.source = compile("cc", FIXTURES "version.c", version,
                                                              "version.so")},
                  "compiled for version 2 of the pipeline API, this worker has 1",
                  WORKER_EXIT_LOAD);
    const char *const larger[] = {"-DVERSION=1", "-DTABLE_BYTES=9999", NULL};
    expect_failed(&(struct harness_options){.source = compile("cc", FIXTURES "version.c", larger,
                                                              "newer.so")},
                  "a newer pipeline.h (a table of 9999 bytes, this worker has ", WORKER_EXIT_LOAD);
}

static void an_older_and_smaller_table_is_served(void **state)
{
    (void)state;
    const char *const older[] = {"-DVERSION=1", "-DTABLE_BYTES=64", NULL};
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = compile("cc", FIXTURES "version.c", older, "older.so")});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "back");
    harness_expect_chunk(&h, 0, 0, "[\"back\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void an_object_as_the_first_header_made_it_is_served(void **state)
{
    (void)state;
    const char *const none[] = {NULL};
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = compile("cc", FIXTURES "first_table.c", none, "first.so")});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "back");
    harness_expect_chunk(&h, 0, 0, "[[\"back\", \"back\"]]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

/* Without an error on stderr that a reader of the log would take for one. */
static int mixed_up_status(const char *compiler, const char *standard, char mistake)
{
    char define[] = "-DMISTAKE=0";
    char path[PATH_MAX];
    define[sizeof define - 2] = mistake;
    const bool is_c = strcmp(compiler, "cc") == 0;
    const char *const flags[] = {define, standard, "-x", is_c ? "c" : "c++", "-w", NULL};
    int saved = dup(2);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, 2);
    int status = compile_status(compiler, FIXTURES "mixed_up.c", flags, "mixed_up.so", path);
    dup2(saved, 2);
    close(saved);
    close(nowhere);
    return status;
}

static void a_type_word_is_no_variable_and_no_variable_a_type_word(void **state)
{
    (void)state;
    static const char *const compilers[][2] = {
        {"cc", "-std=c11"}, {"c++", "-std=c++11"}, {"c++", "-std=c++20"}};
    for (size_t i = 0; i < ARRAY_COUNT(compilers); i++) {
        assert_int_equal(mixed_up_status(compilers[i][0], compilers[i][1], '0'), 0);
        for (char mistake = '1'; mistake <= '5'; mistake++)
            if (mixed_up_status(compilers[i][0], compilers[i][1], mistake) == 0)
                fail_msg("%s compiles mistake %c", compilers[i][1], mistake);
    }
}

static void a_pipe_takes_as_many_variables_as_there_are_inputs(void **state)
{
    (void)state;
    struct harness h;
    harness_start(
        &h, &(struct harness_options){.source = compile_graphs(), .name = "sixty_four_arguments"});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "x");
    harness_expect_chunk(&h, 0, 0, "[64]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void each_mistake_in_a_graph_is_named(void **state)
{
    (void)state;
    const struct {
        const char *name, *words;
    } mistakes[] = {
        {"no_output", "pipeline no_output: it has no output"},
        {"stream_as_argument", "argument 1 of pipe plain is a stream"},
        {"stream_twice", "the stream of pipe stream is several outputs"},
        {"engine_twice", "pipeline engine_twice: it has two engines"},
        {"engine_in_part", "an engine has no admit, step or evict"},
        {"engine_with_pipe", "an engine, whose stream is its one output, and a pipe"},
        {"engine_with_output", "an engine, whose stream is its one output, and another output"},
        {"engine_of_pipe", "argument 1 of its engine is no input of this graph"},
        {"stream_unused", "the stream of pipe stream is no output"},
        {"stream_input", "input 1 is a stream, which no input can be"},
        {"foreign_argument", "argument 1 of pipe plain is no variable of this graph"},
        {"foreign_output", "output 1 is no variable of this graph"},
        {"no_type", "pipe plain has no function or no type"},
        {"too_many_inputs", "it has more than 64 inputs"},
        {"too_much_text", "too long together"},
    };
    const char *source = compile_graphs();
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++)
        expect_failed(&(struct harness_options){.source = source, .name = mistakes[i].name},
                      mistakes[i].words, WORKER_EXIT_LOAD);
}

static void a_startup_hook_that_fails_is_a_startup_error(void **state)
{
    (void)state;
    const char *source = compile_graphs();
    expect_failed(&(struct harness_options){.source = source, .name = "startup_fails"},
                  "startup hook 2: no such model: big", WORKER_EXIT_STARTUP);
    expect_failed(&(struct harness_options){.source = source, .name = "startup_fails_silently"},
                  "startup hook 1 returned -12 (Cannot allocate memory)", WORKER_EXIT_STARTUP);
    expect_failed(&(struct harness_options){.source = source, .name = "startup_answers"},
                  "startup hook 1: more values were written", WORKER_EXIT_STARTUP);
}

/* ---- HELLO --------------------------------------------------------------------------------- */

static void hello_says_all_that_the_graph_says(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = compile_graphs(),
                                                .name = "described",
                                                .slot_count = 5,
                                                .is_check = true});
    uint8_t body[4096];
    char printed[4096];
    char start[128];
    size_t bytes;
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_HELLO);
    harness_print(body, bytes, printed, sizeof printed);
    snprintf(start, sizeof start,
             "{\"protocol\"=>1, \"pid\"=>%d, \"name\"=>\"described\", \"concurrency\"=>5, ",
             (int)h.pid);
    assert_memory_equal(printed, start, strlen(start));
    assert_string_equal(
        printed + strlen(start),
        "\"inputs\"=>[{\"type\"=>\"string\", \"optional\"=>false, \"title\"=>\"t\", "
        "\"description\"=>\"d\", \"examples\"=>\"[\"e\"]\", \"default\"=>\"\"x\"\", "
        "\"choices\"=>\"[\"x\"]\", \"min_length\"=>1, \"max_length\"=>9}, "
        "{\"type\"=>\"fp\", \"optional\"=>true, \"gt\"=>\"0\", \"ge\"=>\"0.5\", \"lt\"=>\"9\", "
        "\"le\"=>\"8.5\", \"multiple_of\"=>\"0.5\"}], "
        "\"outputs\"=>[{\"type\"=>\"string\"}, {\"type\"=>\"stream\"}]}");
    harness_expect_exit(&h, WORKER_EXIT_OK);
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), 0);
    harness_finish(&h);
}

static void a_check_does_not_start_the_pipeline(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){
                          .source = compile_graphs(), .name = "startup_fails", .is_check = true});
    uint8_t body[4096];
    size_t bytes;
    assert_int_equal(harness_message(&h, body, sizeof body, &bytes), MESSAGE_HELLO);
    harness_expect_exit(&h, WORKER_EXIT_OK);
    harness_finish(&h);
}

/* ---- C++ ----------------------------------------------------------------------------------- */

static void an_engine_works(const char *source)
{
    struct harness h;
    msgpack_sbuffer request;
    msgpack_packer packer;
    harness_start(&h, &(struct harness_options){.source = source, .name = "stepped"});
    harness_expect_ready(&h);
    harness_request(&request, &packer, 2);
    msgpack_pack_str_with_body(&packer, "run", 3);
    msgpack_pack_int(&packer, 7);
    harness_run(&h, 0, &request);
    harness_expect_chunk(&h, 0, 0, "[\"run 7\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_batched_pipe_works(const char *source)
{
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = source, .name = "batched"});
    harness_expect_ready(&h);
    harness_run_text(&h, 0, "one");
    harness_expect_chunk(&h, 0, 0, "[\"one of 1\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void the_header_works_in_every_cpp_standard(void **state)
{
    (void)state;
    const char *const standards[][3] = {
        {"-std=gnu++11", "-DOPTIONS=mr_input_options()", NULL},
        {"-std=gnu++17", "-DOPTIONS={}", NULL},
        {"-std=c++20", "-DOPTIONS={.optional=true,.title=\"loud\"}", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(standards); i++) {
        struct harness h;
        const char *source = compile("c++", FIXTURES "pipeline.cpp", standards[i], "cpp.so");
        an_engine_works(source);
        a_batched_pipe_works(source);
        harness_start(&h, &(struct harness_options){.source = source, .name = "plus_plus"});
        harness_expect_ready(&h);
        msgpack_sbuffer request;
        msgpack_packer packer;
        harness_request(&request, &packer, 3);
        msgpack_pack_str_with_body(&packer, "a bc", 4);
        msgpack_pack_true(&packer);
        msgpack_pack_int(&packer, 2);
        harness_run(&h, 0, &request);
        const char *const list = "[nil, true, 18446744073709551615, 0.500000, \"b\"]";
        char text[256];
        snprintf(text, sizeof text, "[{\"word\"=>\"A\", \"list\"=>%s, \"length\"=>1}]", list);
        harness_expect_chunk(&h, 0, 0, text);
        snprintf(text, sizeof text, "[{\"word\"=>\"BC!\", \"list\"=>%s, \"length\"=>3}]", list);
        harness_expect_chunk(&h, 0, 1, text);
        harness_expect_end(&h, 0, 2);
        assert_int_equal(h.log_count, 3);
        assert_string_equal(h.logs[0].text, "run \"\", state 42");
        assert_string_equal(h.logs[1].text, "word A");
        assert_int_equal(h.logs[1].generation, 1);
        assert_string_equal(h.logs[2].text, "word BC!");
        harness_stop(&h);
    }
}

/* ---- what is inherited --------------------------------------------------------------------- */

static void a_hand_that_starts_a_worker_is_told_what_it_is(void **state)
{
    (void)state;
    char command[PATH_MAX];
    snprintf(command, sizeof command, "%s/millrace-worker --source x 2>&1",
             harness_folder("BUILD", "build/release"));
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char line[512] = "";
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_non_null(strstr(line, "millrace-worker is started by millrace serve"));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 64);
}

/* What it prints, and that it exits as if all were well. */
static void read_worker(const char *option, char *out, size_t room)
{
    char command[PATH_MAX];
    snprintf(command, sizeof command, "%s/millrace-worker %s",
             harness_folder("BUILD", "build/release"), option);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t bytes = fread(out, 1, room - 1, pipe);
    out[bytes] = '\0';
    assert_int_equal(WEXITSTATUS(pclose(pipe)), 0);
}

static void help_and_version_speak_of_both_kinds_of_pipelines(void **state)
{
    (void)state;
    char text[4096];
    read_worker("--version", text, sizeof text);
    assert_string_equal(text, "millrace-worker " MILLRACE_VERSION
                              ", for pipelines in C, C++ and Python\n");
    read_worker("--help", text, sizeof text);
    static const char *const options[] = {"--parent", "--confine", "--cgroup",   "--own-user",
                                          "--source", "--name",    "--pointer",  "--index",
                                          "--strict", "--check",   "-- PROGRAM", "Python"};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        if (!strstr(text, options[i]))
            fail_msg("%s is not in the help", options[i]);
}

/* Starts a worker with the wrong things at descriptors 3 to 6; expects the one line it says. */
static void expect_line(const char *redirections, const char *parent, const char *words, int code)
{
    char command[PATH_MAX];
    snprintf(command, sizeof command, "exec %s/millrace-worker --source x --parent %s %s 2>&1",
             harness_folder("BUILD", "build/release"), parent, redirections);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char line[512] = "";
    assert_non_null(fgets(line, sizeof line, pipe));
    if (!strstr(line, words))
        fail_msg("expected %s, got %s", words, line);
    assert_null(fgets(line, sizeof line, pipe));
    assert_int_equal(WEXITSTATUS(pclose(pipe)), code);
}

static void what_is_not_inherited_is_said_in_one_line(void **state)
{
    (void)state;
    char us[16];
    snprintf(us, sizeof us, "%d", (int)getpid());
    expect_line("", "1", "the dispatcher, process 1, vanished", WORKER_EXIT_ORPHAN);
    expect_line("3>&- 4>&- 5>&- 6>&-", us, "descriptor 3 was not inherited: Bad file descriptor",
                WORKER_EXIT_ATTACH);
    expect_line("3</dev/null 4</dev/null 5</dev/null 6</dev/null", us,
                "cannot attach the segment at descriptor 3: ", WORKER_EXIT_ATTACH);
}

static void another_build_than_the_dispatcher_is_said_and_served(void **state)
{
    (void)state;
    for (uint32_t other = 0; other < 2; other++) {
        struct harness h;
        harness_start(&h, &(struct harness_options){.source = "words.so", .other_build = other});
        harness_expect_ready(&h);
        harness_run_text(&h, 0, "");
        harness_expect_end(&h, 0, 0);
        assert_int_equal(h.log_count, other);
        if (other)
            assert_string_equal(h.logs[0].text,
                                "this worker is of another build than the server; a server has to "
                                "be restarted when its programs were replaced");
        harness_stop(&h);
    }
}

static void another_layout_than_the_dispatchers_is_refused(void **state)
{
    (void)state;
    struct harness h;
    harness_start(&h, &(struct harness_options){.source = "words.so", .other_layout = 1});
    harness_expect_exit(&h, WORKER_EXIT_ATTACH);
    harness_read_output(&h);
    assert_non_null(strstr(h.text, "layout version is "));
    assert_non_null(strstr(h.text, "; a server has to be restarted when its programs"));
    harness_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_pipeline_is_refused_with_its_own_sentence),
        cmocka_unit_test(a_pipeline_that_is_not_there_is_answered_with_those_that_are),
        cmocka_unit_test(another_version_of_the_header_is_refused),
        cmocka_unit_test(an_older_and_smaller_table_is_served),
        cmocka_unit_test(an_object_as_the_first_header_made_it_is_served),
        cmocka_unit_test(a_type_word_is_no_variable_and_no_variable_a_type_word),
        cmocka_unit_test(a_pipe_takes_as_many_variables_as_there_are_inputs),
        cmocka_unit_test(each_mistake_in_a_graph_is_named),
        cmocka_unit_test(a_startup_hook_that_fails_is_a_startup_error),
        cmocka_unit_test(hello_says_all_that_the_graph_says),
        cmocka_unit_test(a_check_does_not_start_the_pipeline),
        cmocka_unit_test(the_header_works_in_every_cpp_standard),
        cmocka_unit_test(a_hand_that_starts_a_worker_is_told_what_it_is),
        cmocka_unit_test(help_and_version_speak_of_both_kinds_of_pipelines),
        cmocka_unit_test(what_is_not_inherited_is_said_in_one_line),
        cmocka_unit_test(another_build_than_the_dispatcher_is_said_and_served),
        cmocka_unit_test(another_layout_than_the_dispatchers_is_refused),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
