/* SPDX-License-Identifier: MIT */
/*
 * test_worker_spawn.c - a worker is started with its own descriptors and nothing else of ours.
 *
 * The worker is this program itself: it reports what it sees on its stdout.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "tests/unit/dispatcher/spawned.h"

#include <cmocka.h>

#include "millrace/protocol.h"

#define REPORT_BYTES_MAX (192u * 1024)

extern char **environ;

/* ---- the worker ---------------------------------------------------------------------------- */

static void report_fds(void)
{
    for (int fd = 0; fd < 64; fd++) {
        char link[32];
        char target[128];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(link, target, sizeof(target) - 1);
        if (bytes == -1)
            continue;
        target[bytes] = '\0';
        printf("fd %d %s\n", fd, target);
    }
}

static int report(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("argument %s\n", argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("variable %s\n", *variable);
    report_fds();
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--parent") == 0)
            printf("parent %s\n",
                   getppid() == strtol(argv[i + 1], NULL, 10) ? "is named" : "is another");
    printf("group %s\n", getpgid(0) == getpid() ? "its own" : "shared");
    printf("session %s\n", getsid(0) == getsid(getppid()) ? "ours" : "another");
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    printf("mask %s\n", sigisemptyset(&mask) ? "empty" : "not empty");
    printf("SIGPIPE %s\n", action.sa_handler == SIG_DFL ? "default" : "not default");
    return 0;
}

/* ---- the tests ----------------------------------------------------------------------------- */

static char text[REPORT_BYTES_MAX];

/* What this process is now is what the workers inherit. */
static void begin_again(void)
{
    spawned_close();
    spawned_open();
}

static int named_fd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    assert_int_not_equal(fd, -1);
    return fd;
}

/* Reads what the worker says until it ends. */
static void collect(int fd, int pidfd)
{
    size_t filled = 0;
    ssize_t count;
    while ((count = read(fd, text + filled, sizeof(text) - 1 - filled)) > 0)
        filled += (size_t)count;
    assert_int_equal(count, 0);
    text[filled] = '\0';
    close(fd);
    siginfo_t info = spawned_reap(pidfd);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
}

/* Starts the reporting worker. */
static void spawn(struct worker_spawn_options *options)
{
    int out[2], pidfd;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    options->stdout_fd = out[1];
    spawned_start(options, &pidfd);
    close(out[1]);
    collect(out[0], pidfd);
}

static bool says(const char *line)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    return strstr(text, whole) != NULL;
}

static void assert_fds_are_in_place(void)
{
    assert_true(says("fd 0 /dev/null"));
    assert_non_null(strstr(text, "\nfd 1 pipe:"));
    assert_true(says("fd 3 /memfd:segment (deleted)"));
    assert_true(says("fd 4 /memfd:bell (deleted)"));
    assert_true(says("fd 5 /memfd:dispatcher (deleted)"));
    assert_true(says("fd 6 /memfd:socket (deleted)"));
    assert_null(strstr(text, "\nfd 7 "));
}

static void spawn_with_fds(int segment, int bell, int dispatcher, int socket)
{
    struct worker_spawn_options options = spawned_options(segment, -1);
    options.worker_bell_fd = bell;
    options.dispatcher_bell_fd = dispatcher;
    options.socket_fd = socket;
    spawn(&options);
    assert_fds_are_in_place();
}

static void descriptors_arrive_at_their_numbers(void **state)
{
    (void)state;
    int fds[] = {named_fd("segment"), named_fd("bell"), named_fd("dispatcher"), named_fd("socket")};
    spawn_with_fds(fds[0], fds[1], fds[2], fds[3]);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        close(fds[i]);
}

static void descriptors_arrive_also_when_their_numbers_are_each_others_targets(void **state)
{
    (void)state;
    static const char *const names[] = {"segment", "bell", "dispatcher", "socket"};
    /* Every order of the four names over the four numbers the worker wants. */
    for (int order = 0; order < 256; order++) {
        int place[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
        if ((1 << place[0] | 1 << place[1] | 1 << place[2] | 1 << place[3]) != 15)
            continue;
        for (int i = 0; i < 4; i++) {
            int fd = named_fd(names[i]);
            assert_int_not_equal(dup3(fd, 20 + i, O_CLOEXEC), -1);
            close(fd);
        }
        for (int i = 0; i < 4; i++)
            assert_int_not_equal(dup3(20 + i, WORKER_FD_SEGMENT + place[i], O_CLOEXEC), -1);
        for (int i = 0; i < 4; i++)
            close(20 + i);
        spawn_with_fds(WORKER_FD_SEGMENT + place[0], WORKER_FD_SEGMENT + place[1],
                       WORKER_FD_SEGMENT + place[2], WORKER_FD_SEGMENT + place[3]);
        for (int i = 0; i < 4; i++)
            close(WORKER_FD_SEGMENT + i);
    }
}

static void spawn_plain(bool check, const char *name)
{
    int fd = named_fd("x");
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.name = name;
    options.check = check;
    spawn(&options);
    close(fd);
}

static void what_we_inherited_without_knowing_is_closed(void **state)
{
    (void)state;
    int open_everywhere = dup2(STDERR_FILENO, 40);
    assert_int_equal(open_everywhere, 40);
    begin_again();
    spawn_plain(false, NULL);
    close(open_everywhere);
    assert_null(strstr(text, "\nfd 40 "));
}

static void a_worker_has_its_own_group_default_signals_and_an_empty_mask(void **state)
{
    (void)state;
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &before);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    sigaction(SIGPIPE, &ignore, &old);
    begin_again();
    spawn_plain(false, NULL);
    sigaction(SIGPIPE, &old, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_true(says("parent is named"));
    assert_true(says("group its own"));
    assert_true(says("session another"));
    assert_true(says("mask empty"));
    assert_true(says("SIGPIPE default"));
}

static void only_listed_variables_reach_a_worker(void **state)
{
    (void)state;
    setenv("PIPELINE_API_TOKEN", "mr_secret", 1);
    setenv("MILL_ANY", "1", 1);
    setenv("LD_PRELOAD_NOT", "1", 1);
    setenv("HOMES", "1", 1);
    setenv("LC_TIME", "C", 1);
    setenv("CUDA_VISIBLE_DEVICES", "1", 1);
    setenv("PYTHONPATH", "/opt", 1);
    setenv("GGML_VK_VISIBLE_DEVICES", "2", 1);
    setenv("MILLRACE_SYSTEM_ROOT", "/somewhere", 1);
    begin_again();
    spawn_plain(false, NULL);
    unsetenv("PIPELINE_API_TOKEN");
    unsetenv("MILLRACE_SYSTEM_ROOT");
    assert_non_null(strstr(text, "\nvariable PATH="));
    assert_true(says("variable LC_TIME=C"));
    assert_true(says("variable CUDA_VISIBLE_DEVICES=1"));
    assert_true(says("variable PYTHONPATH=/opt"));
    assert_null(strstr(text, "mr_secret"));
    assert_true(says("variable GGML_VK_VISIBLE_DEVICES=2"));
    assert_null(strstr(text, "MILL_ANY"));
    assert_null(strstr(text, "MILLRACE_SYSTEM_ROOT"));
    assert_null(strstr(text, "HOMES"));
}

static void a_worker_is_told_what_to_load_and_whose_it_is(void **state)
{
    (void)state;
    spawn_plain(false, NULL);
    assert_memory_equal(text, "argument millrace-worker\nargument --parent\nargument ",
                        strlen("argument millrace-worker\nargument --parent\nargument "));
    assert_non_null(strstr(text, "\nargument --source\nargument words.so\n"
                                 "argument --pointer\nargument me/words:v1\n"
                                 "argument --index\nargument 7\nvariable "));
    assert_true(says("parent is named"));
}

static void a_worker_is_told_what_to_give_up(void **state)
{
    (void)state;
    int fd = named_fd("x");
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.confine = "nofile=7:8\ncore=0:0\n";
    options.place = 12;
    const char *start = "argument millrace-worker\nargument --confine\nargument nofile=7:8\n"
                        "core=0:0\n\nargument --scratch\nargument 12\nargument --parent\n";
    spawn(&options);
    assert_memory_equal(text, start, strlen(start));
    close(fd);
}

static void a_name_and_check_are_passed_on(void **state)
{
    (void)state;
    spawn_plain(true, "my_pipeline");
    assert_non_null(strstr(text, "\nargument --name\nargument my_pipeline\n"));
    assert_true(says("argument --check"));
}

static void an_interpreter_is_told_the_package_and_where_it_is(void **state)
{
    (void)state;
    int fd = named_fd("x");
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.python_path = "/opt/python3";
    options.python_folder = "/opt/millrace";
    setenv("PYTHONPATH", "/mine:/too", 1);
    spawn(&options);
    assert_true(says("variable PYTHONPATH=/mine:/too:/opt/millrace"));
    assert_null(strstr(text, "\nvariable PYTHONPATH=/mine:/too\n"));
    unsetenv("PYTHONPATH");
    spawn(&options);
    assert_true(says("variable PYTHONPATH=/opt/millrace"));
    const char *become = "\nargument --\nargument /opt/python3\nargument -m\n"
                         "argument millrace_worker\nargument --source\nargument words.so\n";
    assert_non_null(strstr(text, become));
    assert_false(says("argument --threads"));
    options.python_threads = true;
    spawn(&options);
    assert_true(says("argument --threads"));
    assert_null(strstr(text, "argument --batch"));
    options.batch_count_max = 8;
    spawn(&options);
    assert_non_null(strstr(text, "\nargument --batch-max\nargument 8\n"
                                 "argument --batch-wait\nargument 0\n"));
    assert_false(says("argument --batch-asked"));
    options.batch_is_asked = true;
    spawn(&options);
    assert_true(says("argument --batch-asked"));
    options.folder = "/srv/chat";
    options.needs = "3.11\nnumpy";
    spawn(&options);
    assert_non_null(strstr(text, "\nargument --folder\nargument /srv/chat\n"));
    assert_non_null(strstr(text, "\nargument --needs\nargument 3.11\nnumpy\n"));
    close(fd);
}

static void environment_fill(struct environment *environment, const char *const *items)
{
    char reason[CLI_REASON_BYTES];
    for (; *items; items++)
        assert_int_equal(environment_add(environment, *items, reason), 0);
}

static void a_pipeline_has_variables_of_its_own_before_those_that_are_passed_on(void **state)
{
    (void)state;
    int fd = named_fd("x");
    struct environment environment = {0};
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.environment = &environment;
    setenv("LC_TIME", "C", 1);
    setenv("LC_ALL", "C", 1);
    begin_again();
    environment_fill(&environment,
                     (const char *const[]){"LC_TIME=de_DE=x", "LC=1", "MILL_ANY=", NULL});
    spawn(&options);
    assert_true(says("variable LC_TIME=de_DE=x"));
    assert_false(says("variable LC_TIME=C"));
    assert_true(says("variable LC=1"));
    assert_true(says("variable LC_ALL=C")); /* LC is another one */
    assert_true(says("variable MILL_ANY="));
    assert_non_null(strstr(text, "\nvariable PATH="));
    unsetenv("LC_TIME");
    unsetenv("LC_ALL");
    environment_finish(&environment);
    spawn(&options);
    assert_true(says("variable LC_TIME=C")); /* of the spawner, which has it still */
    assert_null(strstr(text, "MILL_ANY"));
    close(fd);
}

static void variables_of_a_device_are_before_all_others_and_there_once(void **state)
{
    (void)state;
    int fd = named_fd("x");
    char mask[] = "CUDA_VISIBLE_DEVICES=GPU-a", field[] = "A=3";
    struct device_variables variables = {.items = {mask, field}, .count = 2};
    struct environment environment = {0};
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.environment = &environment;
    options.device_variables = &variables;
    setenv("CUDA_VISIBLE_DEVICES", "1", 1);
    begin_again();
    environment_fill(&environment, (const char *const[]){"A=env", "AB=env", NULL});
    spawn(&options);
    assert_true(says("variable CUDA_VISIBLE_DEVICES=GPU-a"));
    assert_false(says("variable CUDA_VISIBLE_DEVICES=1"));
    assert_true(says("variable A=3"));
    assert_false(says("variable A=env"));
    assert_true(says("variable AB=env")); /* which is another one */
    unsetenv("CUDA_VISIBLE_DEVICES");
    environment_finish(&environment);
    close(fd);
}

static void the_python_path_of_a_pipeline_has_our_folder_too(void **state)
{
    (void)state;
    int fd = named_fd("x");
    struct environment environment = {0};
    struct worker_spawn_options options = spawned_options(fd, -1);
    options.environment = &environment;
    options.python_path = "/opt/python3";
    options.python_folder = "/opt/millrace";
    setenv("PYTHONPATH", "/mine", 1);
    environment_fill(&environment, (const char *const[]){"PYTHONPATH=/its:/own", "A=b", NULL});
    spawn(&options);
    unsetenv("PYTHONPATH");
    assert_true(says("variable PYTHONPATH=/its:/own:/opt/millrace"));
    assert_false(says("variable PYTHONPATH=/its:/own"));
    assert_true(says("variable A=b"));
    assert_null(strstr(text, "/mine"));
    options.python_path = options.python_folder = NULL;
    spawn(&options);
    assert_true(says("variable PYTHONPATH=/its:/own"));
    environment_finish(&environment);
    close(fd);
}

/* With everything else that a worker can be told. */
static void as_many_as_a_pipeline_may_have_arrive(void **state)
{
    (void)state;
    char item[512], reason[CLI_REASON_BYTES];
    int fd = named_fd("x");
    struct environment environment = {0};
    struct worker_spawn_options options = spawned_options(fd, -1);
    for (uint32_t i = 0; i < ENVIRONMENT_COUNT_MAX; i++) {
        /* 64 KiB in all, each with its NUL. */
        snprintf(item, sizeof item, "V%03u=%0506u", i, i);
        assert_int_equal(environment_add(&environment, item, reason), 0);
    }
    assert_int_equal(environment.bytes, ENVIRONMENT_BYTES_MAX);
    options.environment = &environment;
    options.python_path = "/opt/python3";
    options.python_folder = "/opt/millrace";
    options.python_threads = options.strict = options.check = true;
    options.confine = "x 1\n";
    options.cgroup = "/x";
    options.own_user = 70000;
    options.name = "words";
    spawn(&options);
    for (uint32_t i = 0; i < ENVIRONMENT_COUNT_MAX; i++) {
        snprintf(item, sizeof item, "\nvariable V%03u=0", i);
        assert_non_null(strstr(text, item));
    }
    environment_finish(&environment);
    close(fd);
}

/* Makes an empty executable file; `path` is below a fresh folder. */
static void make_program(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    assert_int_not_equal(fd, -1);
    close(fd);
}

static void an_interpreter_is_looked_up_in_path_like_any_program(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_worker_spawn.XXXXXX";
    char paths[256], wanted[256];
    char *path, *package;
    char reason[WORKER_REASON_BYTES];
    assert_non_null(mkdtemp(folder));
    make_program(folder, "some-python");
    snprintf(paths, sizeof(paths), "/nonexistent::/tmp:%s", folder);
    snprintf(wanted, sizeof(wanted), "%s/some-python", folder);
    char *before = strdup(getenv("PATH"));
    setenv("PATH", paths, 1);
    assert_int_equal(worker_find_python("other-python", &path, &package, reason), -ENOENT);
    assert_string_equal(reason, "cannot execute the Python interpreter other-python: No such file "
                                "or directory");
    /* It is found; what is not beside this test is the package. */
    assert_int_equal(worker_find_python("some-python", &path, &package, reason), -ENOENT);
    assert_non_null(strstr(reason, "no worker for Python: millrace_worker"));
    setenv("PATH", before, 1);
    free(before);
    unlink(wanted);
    rmdir(folder);
}

#define SPAWN_TEST(name) cmocka_unit_test_setup_teardown(name, spawned_begin, spawned_end)

int main(int argc, char **argv)
{
    alarm(60);
    int code = spawned_main(argc, argv, report);
    if (code >= 0)
        return code;
    const struct CMUnitTest tests[] = {
        SPAWN_TEST(descriptors_arrive_at_their_numbers),
        SPAWN_TEST(descriptors_arrive_also_when_their_numbers_are_each_others_targets),
        SPAWN_TEST(what_we_inherited_without_knowing_is_closed),
        SPAWN_TEST(a_worker_has_its_own_group_default_signals_and_an_empty_mask),
        SPAWN_TEST(only_listed_variables_reach_a_worker),
        SPAWN_TEST(a_worker_is_told_what_to_load_and_whose_it_is),
        SPAWN_TEST(a_worker_is_told_what_to_give_up),
        SPAWN_TEST(a_name_and_check_are_passed_on),
        SPAWN_TEST(a_pipeline_has_variables_of_its_own_before_those_that_are_passed_on),
        SPAWN_TEST(variables_of_a_device_are_before_all_others_and_there_once),
        SPAWN_TEST(the_python_path_of_a_pipeline_has_our_folder_too),
        SPAWN_TEST(as_many_as_a_pipeline_may_have_arrive),
        SPAWN_TEST(an_interpreter_is_told_the_package_and_where_it_is),
        SPAWN_TEST(an_interpreter_is_looked_up_in_path_like_any_program),
    };
    /* cmocka's own descriptors and those of whoever started this are in the way of 3 to 6. */
    closefrom(3);
    return cmocka_run_group_tests_name("worker_spawn", tests, NULL, NULL);
}
