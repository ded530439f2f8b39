/* SPDX-License-Identifier: MIT */
/*
 * test_confinement.c - options that say what workers give up become lines for those workers.
 */
#include "dispatcher/config/confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/serve/serve_options.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/pipeline_options.h"

/*
 * What the kernel is asked is answered here: machines differ in it, and valgrind, which keeps the
 * hard limit of descriptors, knows neither filters nor Landlock.
 */
static struct {
    rlim_t descriptors, threads, signals;
    long landlock_version; /* 0: it has none */
    uint32_t capabilities; /* of this process, those below 32 */
    bool has_filters;
    bool root_has_members; /* every user is in root's group */
} kernel;

int getgrouplist(const char *user, gid_t group, gid_t *groups, int *count)
{
    (void)user;
    assert_in_range(*count, 2, 1000);
    groups[0] = group;
    groups[1] = 0;
    *count = kernel.root_has_members ? 2 : 1;
    return *count;
}

/* Sanitizers ask for the stack's limit with it before they are ready for code that they check. */
__attribute__((no_sanitize("address", "thread", "undefined"))) int
getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
    rlim_t number;
    if (resource == RLIMIT_NOFILE)
        number = kernel.descriptors;
    else if (resource == RLIMIT_NPROC)
        number = kernel.threads;
    else if (resource == RLIMIT_SIGPENDING)
        number = kernel.signals;
    else
        return prlimit(0, resource, NULL, limit);
    limit->rlim_cur = limit->rlim_max = number;
    return 0;
}

/* One structure for each 32 capabilities. */
static void capabilities_get(struct __user_cap_data_struct *out)
{
    memset(out, 0, _LINUX_CAPABILITY_U32S_3 * sizeof(*out));
    out->effective = kernel.capabilities;
}

long syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    (void)va_arg(arguments, void *);
    long result = -1;
    errno = ENOSYS;
    if (number == SYS_seccomp && kernel.has_filters)
        result = 0;
    if (number == SYS_landlock_create_ruleset && kernel.landlock_version > 0)
        result = kernel.landlock_version;
    if (number == SYS_capget) {
        capabilities_get(va_arg(arguments, struct __user_cap_data_struct *));
        result = 0;
    }
    va_end(arguments);
    return result;
}

static struct config config;
static char reason[CLI_REASON_BYTES];

/* Two pipelines, me/a:v1 and me/b:v1. */
static int make(void **state)
{
    (void)state;
    reason[0] = '\0';
    config_init(&config);
    kernel.descriptors = 3000;
    kernel.threads = 400;
    kernel.signals = 100;
    kernel.landlock_version = 4;
    kernel.capabilities = UINT32_MAX;
    kernel.has_filters = true;
    kernel.root_has_members = false;
    return config_add_pipeline(&config, "me/a:v1=a.so", reason) +
           config_add_pipeline(&config, "me/b:v1=b.so", reason);
}

static int drop(void **state)
{
    (void)state;
    config_finish(&config);
    return 0;
}

static int take(const char *name, const char *text)
{
    const struct cli_option *option = cli_find(&serve_command, name);
    assert_non_null(option);
    return said_take(&config.said, option, text, reason);
}

static void say(const char *name, const char *text)
{
    assert_int_equal(take(name, text), 0);
}

/* What was said becomes the pipelines' own. */
static int fill(void)
{
    return pipeline_options_fill(&config, reason);
}

static void text_is(uint32_t pipeline, const char *wanted)
{
    char *text;
    assert_int_equal(confinement_write(&config, &config.pipelines[pipeline], &text, reason), 0);
    assert_string_equal(text, wanted);
    free(text);
}

/* Of what is counted for a user, part stays the server's. */
#define SHARES "nproc=300:300\nsigpending=50:50\n"
#define LIMITS "nofile=1024:1500\n" SHARES
/* The filter of system calls comes last, and only where the kernel has some. */
#define FILTER "deny=machine\n"

static void is_refused(const char *name, const char *text, const char *why)
{
    uint32_t count = config.said.count;
    int rc = take(name, text);
    assert_int_equal(rc == 0 ? fill() : rc, -EINVAL);
    assert_string_equal(reason, why);
    config.said.count = count;
}

static void without_options_what_is_counted_for_a_user_is_shared(void **state)
{
    (void)state;
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS FILTER);
    kernel.descriptors = 100;
    text_is(1, "nofile=50:50\n" SHARES FILTER);
}

static void an_option_is_for_all_pipelines_or_for_the_one_it_names(void **state)
{
    (void)state;
    say("worker-nofile", "me/b:v1=70");
    say("worker-nofile", "64");
    say("worker-nofile", "65");
    say("worker-core", "me/a:v1=0");
    say("worker-core", "me/b:v1=inherit");
    say("worker-core", "unlimited");
    say("worker-data", "2g");
    say("worker-nproc", "me/b:v1=4");
    assert_int_equal(fill(), 0);
    text_is(0, "nofile=65:65\ncore=0:0\ndata=2147483648:2147483648\n" SHARES FILTER);
    text_is(1, "nofile=70:70\ndata=2147483648:2147483648\nnproc=4:4\nsigpending=50:50\n" FILTER);
}

static void system_calls_are_denied_by_profile(void **state)
{
    (void)state;
    say("seccomp", "off");
    say("seccomp", "me/b:v1=strict");
    say("network", "me/a:v1=none");
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS "deny=network\n");
    text_is(1, LIMITS "deny=machine\ndeny=others\n");
    said_finish(&config.said);
    say("seccomp", "off");
    say("seccomp", "me/b:v1=default");
    say("network", "none");
    say("network", "me/a:v1=all");
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS);
    text_is(1, LIMITS "deny=machine\ndeny=network\n");
    is_refused("network", "443", "--network 443 is none of all, none");
}

static void text_has(uint32_t pipeline, const char *line, bool is_wanted)
{
    char *text, whole[512];
    assert_int_equal(confinement_write(&config, &config.pipelines[pipeline], &text, reason), 0);
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if ((strstr(text, whole) != NULL) != is_wanted)
        fail_msg("%s: %s", line, text);
    free(text);
}

static void files_are_allowed_by_options_and_by_need(void **state)
{
    (void)state;
    setenv("LD_LIBRARY_PATH", "/opt/one::/opt/two:", 1);
    say("allow-read", "me/a:v1=/etc");
    say("allow-write", "/tmp");
    say("allow-write", "me/b:v1=none");
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS FILTER "restrict=reading\nread=/etc\nread=/opt/one\n"
                             "read=/opt/two\nread=./a.so\nrestrict=writing\nwrite=/tmp\n");
    text_is(1, LIMITS FILTER "restrict=writing\nwrite=/tmp\n");
    unsetenv("LD_LIBRARY_PATH");
}

static void the_folders_that_a_pipeline_has_for_itself_are_allowed(void **state)
{
    (void)state;
    setenv("LD_LIBRARY_PATH", "/opt/ours", 1);
    say("allow-read", "none");
    struct environment *environment = &config.pipelines[0].environment;
    assert_int_equal(environment_add(environment, "LD_LIBRARY_PATH=/opt/its", reason), 0);
    assert_int_equal(fill(), 0);
    text_has(0, "read=/opt/its", true);
    text_has(0, "read=/opt/ours", false);
    text_has(1, "read=/opt/ours", true);
    unsetenv("LD_LIBRARY_PATH");
}

static void an_interpreter_is_allowed_with_what_it_is_a_link_to(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_confinement.XXXXXX", paths[4][64], line[128];
    assert_non_null(mkdtemp(folder));
    static const char *const names[] = {"base", "venv", "base/python", "venv/python"};
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", folder, names[i]);
    assert_int_equal(mkdir(paths[0], 0700) + mkdir(paths[1], 0700), 0);
    close(open(paths[2], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(symlink(paths[2], paths[3]), 0);
    setenv("PYTHONPATH", "/mine\n:/yours", 1);
    say("allow-read", "none");
    assert_int_equal(config_add_pipeline(&config, "me/c:v1=/srv/app/c.py", reason), 0);
    assert_int_equal(config_add_pipeline(&config, "me/d:v1=package.d:graph", reason), 0);
    for (uint32_t i = 2; i < 4; i++) {
        config.pipelines[i].python_path = strdup(paths[3]);
        config.pipelines[i].python_folder = strdup("/lib/of/millrace");
    }
    assert_int_equal(fill(), 0);
    text_has(2, "read=/srv/app", true);
    text_has(3, "read=.", true);
    text_has(3, "read=/lib/of/millrace", true);
    text_has(3, "read=/yours", true);
    text_has(3, "read=/mine", false);
    text_has(3, "read=none", false);
    snprintf(line, sizeof(line), "read=%s", paths[3]);
    text_has(3, line, true);
    /* Two levels above both: here one folder, and the one above it. */
    snprintf(line, sizeof(line), "read=%s\nread=%s", folder, folder);
    text_has(3, line, true);
    unsetenv("PYTHONPATH");
    for (int i = 3; i >= 0; i--)
        assert_int_equal(remove(paths[i]), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void what_is_wrong_is_said_with_its_option(void **state)
{
    (void)state;
    is_refused("worker-nofile", "63", "--worker-nofile 63 is out of range, 64 to 1073741824");
    is_refused("worker-nofile", "me/a:v1=x",
               "me/a:v1: --worker-nofile x is not a number (64 to 1073741824)");
    is_refused("worker-nofile", "me/c:v1=64",
               "--worker-nofile: no pipeline me/c:v1 is served (nearest: me/a:v1)");
    is_refused("worker-core", "me=0", "--worker-core me=0 is none of inherit, 0, unlimited");
    is_refused("worker-data", "1m", "--worker-data 1m is out of range, 16m to 1048576g");
    is_refused("worker-nproc", "0", "--worker-nproc 0 is out of range, 1 to 1073741824");
}

static void a_user_is_looked_up_with_all_his_groups(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root may change users\n");
        skip();
    }
    say("worker-user", "4321:1234");
    say("worker-user", "me/b:v1=daemon");
    assert_int_equal(fill(), 0);
    config.pipelines[0].confinement.owner = config.pipelines[1].confinement.owner = OWNER_NAMED;
    text_is(0, LIMITS "uid=4321\ngid=1234\ngroups=1234\n" FILTER);
    text_is(1, LIMITS "uid=1\ngid=1\ngroups=1\nhome=/usr/sbin\n" FILTER);
}

static void writing_is_refused(uint32_t pipeline, const char *why)
{
    char *text = NULL;
    assert_int_equal(fill(), 0);
    assert_int_equal(confinement_write(&config, &config.pipelines[pipeline], &text, reason),
                     -EINVAL);
    assert_null(text);
    assert_string_equal(reason, why);
}

static void without_filters_only_what_asks_for_them_is_refused(void **state)
{
    (void)state;
    kernel.has_filters = false;
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS);
    say("seccomp", "me/a:v1=strict");
    say("network", "me/b:v1=none");
    writing_is_refused(0,
                       "--seccomp strict: this kernel, or this container, has no seccomp filters");
    writing_is_refused(1, "--network none: this kernel, or this container, has no seccomp filters");
}

static void what_this_landlock_cannot_restrict_is_refused(void **state)
{
    (void)state;
    say("allow-connect", "me/a:v1=443");
    say("allow-read", "me/b:v1=none");
    kernel.landlock_version = 3;
    writing_is_refused(0,
                       "--allow-connect needs Landlock version 4 (Linux 6.7), this kernel has 3");
    text_is(1, LIMITS FILTER "restrict=reading\nread=./b.so\n");
    kernel.landlock_version = 0;
    writing_is_refused(1, "--allow-read needs Landlock version 2 (Linux 5.19), this kernel has 0");
}

static void user_is_refused(const char *user, const char *why)
{
    char *text = NULL;
    config.pipelines[0].confinement.user_text = user;
    config.pipelines[0].confinement.owner = OWNER_NAMED;
    assert_int_equal(confinement_write(&config, &config.pipelines[0], &text, reason), -EINVAL);
    assert_null(text);
    assert_string_equal(reason, why);
}

static void connections_are_restricted_only_where_there_are_filters(void **state)
{
    (void)state;
    say("allow-connect", "me/a:v1=443");
    say("seccomp", "off");
    assert_int_equal(fill(), 0);
    text_is(0, LIMITS "restrict=connecting\nconnect=443\n");
    kernel.has_filters = false;
    writing_is_refused(0,
                       "--allow-connect: this kernel, or this container, has no seccomp filters");
    text_is(1, LIMITS);
}

static void workers_with_users_of_their_own_share_the_threads(void **state)
{
    (void)state;
    kernel.threads = 16384;
    config.pipelines[0].options.workers = config.pipelines[1].options.workers =
        (struct cli_range){2, 2};
    assert_int_equal(fill(), 0);
    text_has(0, "nproc=12288:12288", true);
    config.pipelines[0].confinement.owner = OWNER_EACH;
    text_has(0, "nproc=2457:2457", true); /* of five: one of the four has a successor at times */
    config.pipelines[0].options.workers = config.pipelines[1].options.workers =
        (struct cli_range){20, 20};
    text_has(0, "nproc=1024:1024", true); /* not less, or nothing would work */
}

static void a_user_who_cannot_be_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        user_is_refused("daemon", "--worker-user daemon: only root can do that, with CAP_SETUID, "
                                  "CAP_SETGID and CAP_KILL");
        return;
    }
    user_is_refused("root", "--worker-user root: that is root");
    user_is_refused("0:1", "--worker-user 0:1: that is root");
    user_is_refused("no-one", "--worker-user no-one: there is no user no-one");
    user_is_refused("no-one:1", "--worker-user no-one:1: there is no user no-one");
    user_is_refused("4321", "--worker-user 4321: there is no user 4321, so its group must be said");
    user_is_refused("4294967295:1", "--worker-user 4294967295:1: there is no user 4294967295");
    user_is_refused("daemon:no-group", "--worker-user daemon:no-group: there is no group no-group");
    user_is_refused("daemon:", "--worker-user daemon:: it is NAME or NAME:GROUP");
    user_is_refused(":1", "--worker-user :1: it is NAME or NAME:GROUP");
    user_is_refused("daemon:root", "--worker-user daemon:root: its group is root's (group 0)");
    user_is_refused("4321:0", "--worker-user 4321:0: its group is root's (group 0)");
    kernel.root_has_members = true;
    user_is_refused("daemon", "--worker-user daemon: it is in root's group (group 0)");
    kernel.root_has_members = false;
    assert_int_equal(seteuid(1), 0);
    user_is_refused("daemon", "--worker-user daemon: only root can do that, with CAP_SETUID, "
                              "CAP_SETGID and CAP_KILL");
    assert_int_equal(seteuid(0), 0);
    static const int needed[] = {CAP_SETUID, CAP_SETGID, CAP_KILL};
    for (int i = 0; i < 3; i++) {
        kernel.capabilities = ~CAP_TO_MASK(needed[i]);
        user_is_refused("daemon", "--worker-user daemon: only root can do that, with CAP_SETUID, "
                                  "CAP_SETGID and CAP_KILL");
    }
}

static void more_descriptors_than_the_server_has_are_refused(void **state)
{
    (void)state;
    say("worker-nofile", "me/b:v1=3001");
    writing_is_refused(1, "--worker-nofile 3001 is more than the hard limit of the server, "
                          "3000 (ulimit -Hn, LimitNOFILE=)");
    config.pipelines[1].confinement.nofile_max = 3000;
    text_is(1, "nofile=3000:3000\n" SHARES FILTER);
}

#define CONFINEMENT_TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFINEMENT_TEST(an_option_is_for_all_pipelines_or_for_the_one_it_names),
        CONFINEMENT_TEST(system_calls_are_denied_by_profile),
        CONFINEMENT_TEST(files_are_allowed_by_options_and_by_need),
        CONFINEMENT_TEST(without_filters_only_what_asks_for_them_is_refused),
        CONFINEMENT_TEST(what_this_landlock_cannot_restrict_is_refused),
        CONFINEMENT_TEST(the_folders_that_a_pipeline_has_for_itself_are_allowed),
        CONFINEMENT_TEST(an_interpreter_is_allowed_with_what_it_is_a_link_to),
        CONFINEMENT_TEST(what_is_wrong_is_said_with_its_option),
        CONFINEMENT_TEST(a_user_is_looked_up_with_all_his_groups),
        CONFINEMENT_TEST(connections_are_restricted_only_where_there_are_filters),
        CONFINEMENT_TEST(workers_with_users_of_their_own_share_the_threads),
        CONFINEMENT_TEST(a_user_who_cannot_be_is_refused),
        CONFINEMENT_TEST(more_descriptors_than_the_server_has_are_refused),
        CONFINEMENT_TEST(without_options_what_is_counted_for_a_user_is_shared),
    };
    return cmocka_run_group_tests_name("confinement", tests, NULL, NULL);
}
