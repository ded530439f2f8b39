/* SPDX-License-Identifier: MIT */
/* test_manifest.c - what a pipeline.yaml says, and what is wrong with it. */
#include "dispatcher/config/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dispatcher/allocs.h"
#include "tests/unit/dispatcher/fds.h"

static char folder[] = "/tmp/test_manifest.XXXXXX";
static struct manifest *manifest;
static int fd_count;

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static int make(void **state)
{
    (void)state;
    fd_count = fds_count();
    manifest = NULL;
    return 0;
}

static int drop(void **state)
{
    (void)state;
    manifest_free(manifest);
    manifest = NULL;
    return fds_count() == fd_count ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_int_not_equal(fd, -1);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void take(const char *text)
{
    manifest_free(manifest);
    manifest = NULL;
    assert_int_equal(manifest_take("pipeline.yaml", text, strlen(text), &manifest), 0);
}

static void refused(const char *text, const char *line)
{
    take(text);
    assert_int_equal(manifest->errors.count, 1);
    assert_string_equal(manifest_error(manifest), line);
}

static void warned(const char *text, const char *line)
{
    put("m.py", "");
    take(text);
    assert_null(manifest_error(manifest));
    assert_int_equal(manifest->warnings.count, 1);
    assert_string_equal(manifest->warnings.items[0].line, line);
}

static void pointer_is(const char *name, const char *pointer)
{
    char text[128];
    snprintf(text, sizeof text, "pipeline_graph: m:p\npipeline_name: %s\n", name);
    take(text);
    char *made = manifest_pointer(manifest);
    if (pointer)
        assert_string_equal(made, pointer);
    else
        assert_null(made);
    free(made);
}

static void a_whole_file_is_told(void **state)
{
    (void)state;
    put("new_pipeline.py", "");
    take("runtime:\n"
         "  container_commands:\n"
         "    - apt-get update\n"
         "  python:\n"
         "    version: 3.10\n"
         "    requirements:\n"
         "      - torch==2.0.1\n"
         "      - \"-e ./other\"\n"
         "accelerators: [nvidia_a100, cpu]\n"
         "accelerator_memory: 16000\n"
         "pipeline_graph: new_pipeline:my_new_pipeline\n"
         "pipeline_name: me/words\n"
         "description: Words of a \"text\".\n"
         "readme: README.md\n"
         "extras: {model_type: chat, n: 1.50, 'q': '1', on: yes, nothing: ~, list: [0x10, -1e3]}\n"
         "cluster: {id: c, node_pool: n}\n"
         "scaling_config_name: null\n");
    assert_null(manifest_error(manifest));
    assert_int_equal(manifest->warnings.count, 0);
    assert_string_equal(manifest->folder, ".");
    assert_string_equal(manifest->module, "new_pipeline");
    assert_string_equal(manifest->module_path, "./new_pipeline.py");
    assert_string_equal(manifest->graph, "my_new_pipeline");
    assert_string_equal(manifest->name, "me/words");
    assert_string_equal(manifest->needs, "3.10\ntorch==2.0.1\n-e ./other");
    assert_string_equal(manifest->readme, "README.md");
    assert_string_equal(
        manifest->members,
        "\"description\":\"Words of a \\\"text\\\".\",\"accelerators\":[\"nvidia_a100\",\"cpu\"],"
        "\"accelerator_memory\":16000,\"extras\":{\"model_type\":\"chat\",\"n\":1.50,\"q\":\"1\","
        "\"on\":true,\"nothing\":null,\"list\":[\"0x10\",-1e3]}");
}

/* As the tool writes it that makes such files. */
static void what_is_null_is_not_said(void **state)
{
    (void)state;
    put("m.py", "");
    take("pipeline_graph: m:p\n"
         "pipeline_name: ''\n"
         "runtime: {container_commands: null, python: null}\n"
         "accelerators: \n"
         "accelerator_memory: null\n"
         "description: ~\n"
         "readme: Null\n"
         "extras: null\n");
    assert_null(manifest_error(manifest));
    assert_int_equal(manifest->warnings.count, 0);
    assert_null(manifest_pointer(manifest));
    assert_int_equal(manifest->warnings.count, 0);
    assert_null(manifest->needs);
    assert_null(manifest->readme);
    assert_string_equal(manifest->members, "\"description\":null,\"accelerators\":null,"
                                           "\"accelerator_memory\":null,\"extras\":null");
}

static void a_name_makes_a_pointer(void **state)
{
    (void)state;
    put("m.py", "");
    pointer_is("me/words", "me/words:v1");
    pointer_is("me/words:v3", "me/words:v3");
    pointer_is("words", "local/words:v1");
    pointer_is("words:v3", "local/words:v3");
    pointer_is("my words", NULL);
    assert_string_equal(manifest->warnings.items[0].line,
                        "pipeline.yaml:2:16: warning: 'my words' makes no pointer like "
                        "me/words:v1");
}

static void what_is_of_a_wrong_kind_is_refused_at_its_place(void **state)
{
    (void)state;
    put("m.py", "");
    refused("- pipeline_graph\n", "pipeline.yaml:1:1: it has to be keys and their values, like "
                                  "pipeline_graph: module:name");
    refused("", "pipeline.yaml:1:1: it has no pipeline_graph, like pipeline_graph: module:name");
    refused("pipeline_graph: \n",
            "pipeline.yaml:1:1: it has no pipeline_graph, like pipeline_graph: module:name");
    refused("pipeline_graph: [m, p]\n", "pipeline.yaml:1:17: pipeline_graph: it has to be a text");
    refused("pipeline_graph: m\n",
            "pipeline.yaml:1:17: pipeline_graph: 'm' is not module:name of a pipeline");
    refused("pipeline_graph: m.py:p\n",
            "pipeline.yaml:1:17: pipeline_graph: there is no module m.py in .");
    refused("pipeline_graph: ../m:p\n",
            "pipeline.yaml:1:17: pipeline_graph: '../m:p' is not module:name of a pipeline");
    refused("pipeline_graph: m:p\nruntime: [1]\n",
            "pipeline.yaml:2:10: runtime: it has to be keys and their values");
    refused("pipeline_graph: m:p\nruntime: {python: 3.10}\n",
            "pipeline.yaml:2:19: runtime.python: it has to be keys and their values");
    refused("pipeline_graph: m:p\nruntime: {python: {version: [3]}}\n",
            "pipeline.yaml:2:29: runtime.python.version: it has to be a text");
    refused("pipeline_graph: m:p\nruntime: {python: {requirements: numpy}}\n",
            "pipeline.yaml:2:34: runtime.python.requirements: it has to be a list");
    refused("pipeline_graph: m:p\nruntime: {python: {requirements: [numpy, {a: b}]}}\n",
            "pipeline.yaml:2:42: runtime.python.requirements: each item has to be a text");
    refused("pipeline_graph: m:p\nruntime: {container_commands: ls}\n",
            "pipeline.yaml:2:31: runtime.container_commands: it has to be a list");
    refused("pipeline_graph: m:p\naccelerators: cpu\n",
            "pipeline.yaml:2:15: accelerators: it has to be a list");
    refused("pipeline_graph: m:p\naccelerator_memory: 16G\n",
            "pipeline.yaml:2:21: accelerator_memory: it has to be a whole number");
    refused("pipeline_graph: m:p\nextras: x\n",
            "pipeline.yaml:2:9: extras: it has to be keys and their values");
    refused("pipeline_graph: m:p\npipeline_graph: m:p\n",
            "pipeline.yaml:2:1: pipeline_graph is there twice: line 1 has it, too");
    refused("a: [\n", "pipeline.yaml:2:1: while parsing a flow node: did not find expected node "
                      "content");
}

static void all_that_is_wrong_is_told(void **state)
{
    (void)state;
    take("pipeline_graph: {}\naccelerators: 1\nextras: []\n");
    assert_int_equal(manifest->errors.count, 3);
}

static void what_is_not_known_is_warned_about(void **state)
{
    (void)state;
    warned("pipeline_graph: m:p\naccelerator: [cpu]\n",
           "pipeline.yaml:2:1: warning: unknown key \"accelerator\" is ignored (nearest: "
           "accelerators)");
    warned("pipeline_graph: m:p\nruntime: {python: {cuda_version: 11.4}}\n",
           "pipeline.yaml:2:20: warning: unknown key \"runtime.python.cuda_version\" is ignored");
    warned("pipeline_graph: m:p\nextras: &x {a: *x}\n",
           "pipeline.yaml:2:9: warning: extras is not shown: it is larger than 32768 bytes, or "
           "nested too deep");
    assert_non_null(strstr(manifest->members, "\"extras\":null"));
}

static void needs_that_are_too_long_are_refused(void **state)
{
    (void)state;
    static char text[32 * 1024];
    put("m.py", "");
    int bytes = snprintf(text, sizeof text,
                         "pipeline_graph: m:p\nruntime: {python: {requirements: "
                         "[");
    memset(text + bytes, 'a', 20 * 1024);
    strncat(text, "]}}\n", sizeof text - strlen(text) - 1);
    refused(text, "pipeline.yaml:2:34: runtime.python: it is larger than 16384 bytes");
}

static void module_is(const char *module, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "pipeline_graph: %s:p\n", module);
    take(text);
    assert_null(manifest_error(manifest));
    assert_string_equal(manifest->module_path, path);
}

static void modules_are_files_packages_and_what_was_compiled(void **state)
{
    (void)state;
    mkdir("package", 0755);
    mkdir("package/inner", 0755);
    put("package/__init__.py", "");
    put("package/inner/one.py", "");
    put("fast.cpython-311-x86_64-linux-gnu.so", "");
    put("faster.txt", "");
    module_is("package", "./package/__init__.py");
    module_is("package.inner.one", "./package/inner/one.py");
    module_is("fast", "./fast.cpython-311-x86_64-linux-gnu.so");
    refused("pipeline_graph: faster:p\n",
            "pipeline.yaml:1:17: pipeline_graph: there is no module faster in .");
    refused("pipeline_graph: none.one:p\n",
            "pipeline.yaml:1:17: pipeline_graph: there is no module none.one in .");
}

static void a_pipeline_in_c_is_a_file_of_the_folder(void **state)
{
    (void)state;
    put("words.so", "");
    take("pipeline_graph: words.so:p\n");
    assert_null(manifest_error(manifest));
    assert_true(manifest->is_native);
    assert_string_equal(manifest->module_path, "./words.so");
    assert_string_equal(manifest->graph, "p");
    refused("pipeline_graph: none.so:p\n",
            "pipeline.yaml:1:17: pipeline_graph: there is no none.so in .");
    refused("pipeline_graph: ../words.so:p\n",
            "pipeline.yaml:1:17: pipeline_graph: '../words.so:p' is not module:name of a pipeline");
    refused("pipeline_graph: words.so:p.q\n",
            "pipeline.yaml:1:17: pipeline_graph: 'words.so:p.q' is not module:name of a pipeline");
    put("words.py", "");
    module_is("words", "./words.py");
    assert_false(manifest->is_native);
}

static void opens(const char *path, const char *found)
{
    manifest_free(manifest);
    manifest = NULL;
    assert_int_equal(manifest_open(path, &manifest), 0);
    assert_null(manifest_error(manifest));
    assert_string_equal(manifest->path, found);
}

static void is_no_manifest(const char *path, const char *line)
{
    manifest_free(manifest);
    manifest = NULL;
    assert_int_equal(manifest_open(path, &manifest), 0);
    assert_string_equal(manifest_error(manifest), line);
}

static void a_folder_has_one(void **state)
{
    (void)state;
    mkdir("chat", 0755);
    mkdir("empty", 0755);
    mkdir("other", 0755);
    mkdir("odd", 0755);
    mkdir("odd/pipeline.yaml", 0755);
    put("chat/m.py", "");
    put("chat/pipeline.yaml", "pipeline_graph: m:p\n");
    put("other/m.py", "");
    put("other/pipeline.yml", "pipeline_graph: m:p\n");
    opens("chat", "chat/pipeline.yaml");
    opens("./chat//", "chat/pipeline.yaml");
    assert_int_equal(chdir("chat"), 0);
    opens("././", "./pipeline.yaml");
    opens("./pipeline.yaml", "pipeline.yaml");
    assert_string_equal(manifest->folder, ".");
    assert_int_equal(chdir(".."), 0);
    opens("chat/pipeline.yaml", "chat/pipeline.yaml");
    assert_string_equal(manifest->folder, "chat");
    assert_string_equal(manifest->module_path, "chat/m.py");
    opens("other", "other/pipeline.yml");
    is_no_manifest("empty", "empty: it is a folder, and has no pipeline.yaml");
    is_no_manifest("none/pipeline.yaml", "none/pipeline.yaml: No such file or directory");
    is_no_manifest("odd", "odd/pipeline.yaml: Not a regular file");
    assert_true(manifest_is_folder("chat"));
    assert_false(manifest_is_folder("chat/m.py"));
    assert_true(manifest_is_path("x/a.yml"));
    assert_false(manifest_is_path(".yaml"));
    assert_false(manifest_is_path("yaml"));
}

/* A million bytes of aliases, each of which stands for many. */
static void aliases_make_nothing_too_large(void **state)
{
    (void)state;
    static char text[900 * 1024];
    put("m.py", "");
    size_t bytes =
        (size_t)snprintf(text, sizeof text, "pipeline_graph: m:p\naccelerators: &x\n- &a ");
    memset(text + bytes, 'a', 300 * 1024);
    bytes += 300 * 1024;
    while (bytes < sizeof text - 100)
        bytes += (size_t)snprintf(text + bytes, 8, "\n- *a");
    snprintf(text + bytes, sizeof text - bytes, "\nruntime: {python: {requirements: *x}}\n");
    take(text);
    assert_int_equal(manifest->errors.count, 1);
    assert_non_null(strstr(manifest_error(manifest), "it is larger than 16384 bytes"));
    assert_int_equal(manifest->warnings.count, 1);
    assert_non_null(strstr(manifest->members, "\"accelerators\":null"));
    assert_true(strlen(manifest->members) < 200);
}

/* Whichever is the first that there is not: nothing is half read. */
static void without_memory_there_is_none(void **state)
{
    (void)state;
    static const char text[] = "pipeline_graph: m:p\nruntime: {python: {requirements: [a, b]}}\n"
                               "description: d\nextras: {a: [1, {b: c}]}\n";
    unsigned failed_count = 0;
    int rc = -ENOMEM;
    put("m.py", "");
    put("pipeline.yaml", text);
    for (unsigned count = 0; rc == -ENOMEM; count++) {
        allocs_left = count;
        rc = manifest_open(".", &manifest);
        allocs_left = UINT_MAX;
        failed_count += rc == -ENOMEM;
        assert_true(rc == 0 || (rc == -ENOMEM && !manifest));
    }
    assert_int_equal(failed_count, 5);
    assert_null(manifest_error(manifest));
    assert_string_equal(manifest->needs, "\na\nb");
    assert_non_null(strstr(manifest->members, "\"extras\":{\"a\":[1,{\"b\":\"c\"}]}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_file_is_told, make, drop),
        cmocka_unit_test_setup_teardown(what_is_null_is_not_said, make, drop),
        cmocka_unit_test_setup_teardown(a_name_makes_a_pointer, make, drop),
        cmocka_unit_test_setup_teardown(what_is_of_a_wrong_kind_is_refused_at_its_place, make,
                                        drop),
        cmocka_unit_test_setup_teardown(all_that_is_wrong_is_told, make, drop),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_warned_about, make, drop),
        cmocka_unit_test_setup_teardown(needs_that_are_too_long_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(modules_are_files_packages_and_what_was_compiled, make,
                                        drop),
        cmocka_unit_test_setup_teardown(a_pipeline_in_c_is_a_file_of_the_folder, make, drop),
        cmocka_unit_test_setup_teardown(a_folder_has_one, make, drop),
        cmocka_unit_test_setup_teardown(aliases_make_nothing_too_large, make, drop),
        cmocka_unit_test_setup_teardown(without_memory_there_is_none, make, drop),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
