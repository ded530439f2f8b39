/* SPDX-License-Identifier: MIT */
/*
 * test_reader.c - the real reader: it says what the loop would have found, and has little else.
 *
 * It is the test program itself, whose main() asks for its name first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reactor/body.h"
#include "dispatcher/reader/reader.h"
#include "dispatcher/reader/reader_confine.h"
#include "shm/descriptors.h"
#include "tests/unit/dispatcher/fds.h"
#include "tests/unit/dispatcher/hello.h"

#define BODY_BYTES_MAX (1024u * 1024)
#define RUN_ID "run_0123456789abcdef0123456789abcdef"

static struct servant reader;
static struct hello hello;
static uint64_t number;
static int fd_count;

static int scene_open(void **state)
{
    (void)state;
    fd_count = fds_count();
    servant_init(&reader);
    hello_init(&hello);
    hello_begin(&hello, "text");
    hello_list(&hello, "inputs", 1);
    msgpack_pack_map(&hello.packer, 2);
    hello_word(&hello, "type", "array");
    hello_word(&hello, "title", "values");
    hello_list(&hello, "outputs", 1);
    msgpack_pack_map(&hello.packer, 1);
    hello_word(&hello, "type", "string");
    return reader_open(&reader, BODY_BYTES_MAX);
}

static int scene_close(void **state)
{
    (void)state;
    servant_close(&reader);
    hello_finish(&hello);
    return fds_count() == fd_count ? 0 : -1;
}

static struct read_answer next_answer(void)
{
    struct read_answer answer = {0};
    struct pollfd wanted = {.fd = reader.socket, .events = POLLIN};
    while (poll(&wanted, 1, -1) == -1)
        assert_int_equal(errno, EINTR);
    assert_int_equal(reader_hear(&reader, &answer), 1);
    return answer;
}

/* ---- what it is asked, and what the loop itself would say ---- */

static struct read_answer ask_body(const char *body, size_t bytes)
{
    int fd = memfd_create("body", MFD_CLOEXEC);
    assert_int_equal(body_write(fd, body, bytes), 0);
    struct read_request request = {
        .magic = READ_MAGIC, .kind = READ_BODY, .number = ++number, .bytes = bytes};
    assert_int_equal(reader_ask(&reader, &request, NULL, 0, fd), 0);
    close(fd);
    struct read_answer answer = next_answer();
    assert_null(read_answer_check(&answer, READ_BODY, number));
    return answer;
}

static struct read_answer ask_pack(int fd)
{
    struct read_request request = {
        .magic = READ_MAGIC, .kind = READ_PACK, .number = number, .bytes = hello.buffer.size};
    memcpy(request.run_id, RUN_ID, sizeof(RUN_ID));
    assert_int_equal(reader_ask(&reader, &request, hello.buffer.data, hello.buffer.size, fd), 0);
    struct read_answer answer = next_answer();
    assert_null(read_answer_check(&answer, READ_PACK, number));
    return answer;
}

static void expect_error(const struct read_answer *answer, const struct api_error *error)
{
    assert_int_equal(answer->result, -EINVAL);
    assert_int_equal(answer->status, error->status);
    assert_int_equal(answer->is_result, error->is_result);
    assert_string_equal(error->is_result ? answer->message : answer->detail,
                        error->is_result ? error->message : error->detail);
}

static void expect_packed(const uint8_t *payload, size_t bytes)
{
    int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct read_answer answer = ask_pack(fd);
    assert_int_equal(answer.result, 0);
    assert_int_equal(answer.bytes, bytes);
    assert_true(read_file_is_sealed(fd, bytes));
    void *packed = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(packed != MAP_FAILED);
    assert_memory_equal(packed, payload, bytes);
    munmap(packed, bytes);
    close(fd);
}

/* The reader says of this body, in both steps, what the functions say that the loop calls. */
static void expect_the_same(const char *body, size_t bytes)
{
    struct run_request request = {0};
    struct api_error error;
    struct read_answer answer = ask_body(body, bytes);
    int rc = run_request_parse(&request, body, bytes, &error);
    assert_int_equal(answer.result, rc);
    if (rc < 0) {
        expect_error(&answer, &error);
        return;
    }
    assert_int_equal(answer.async_run, request.async_run);
    assert_int_equal(answer.final_line, request.final_line);
    assert_int_equal(answer.has_pipeline, request.pipeline != NULL);
    if (request.pipeline && strlen(request.pipeline) <= READ_NAME_BYTES_MAX)
        assert_string_equal(answer.pipeline, request.pipeline);
    struct variables variables;
    char reason[200];
    struct run_payload payload;
    assert_int_equal(variables_parse(&variables, (const uint8_t *)hello.buffer.data,
                                     hello.buffer.size, reason, sizeof(reason)),
                     0);
    rc = run_request_pack(&request, &variables, RUN_ID, &payload, &error);
    if (rc == 0) {
        expect_packed(payload.memory, payload.bytes + payload.reference_bytes);
        free(payload.memory);
    } else {
        int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        answer = ask_pack(fd);
        close(fd);
        expect_error(&answer, &error);
    }
    variables_finish(&variables);
    run_request_finish(&request);
}

static void it_says_of_every_body_what_the_loop_would_have_said(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"inputs\":[{\"type\":\"array\",\"value\":[1,2.5,\"a\\u0000b\",null]}]}",
        "{\"pipeline\":\"me/text:v1\",\"inputs\":[{\"type\":\"array\",\"value\":[]}],\"async_run\":"
        "true,\"stream_options\":{\"final_line\":true}}",
        "{\"inputs\":[{\"type\":\"string\",\"value\":\"no array\"}]}",
        "{\"inputs\":[]}",
        "{\"inputs\":null}",
        "{\"inputs\":[{\"type\":\"array\",\"value\":[1,2}]}",
        "[1,2]",
        "\xff",
        "{\"pipeline\":1,\"inputs\":[]}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++)
        expect_the_same(bodies[i], strlen(bodies[i]));
}

/* The largest of what it may be given; the tree of it takes many times that. */
static void a_body_of_many_values_is_read(void **state)
{
    (void)state;
    static const char begin[] = "{\"inputs\":[{\"type\":\"array\",\"value\":[1", end[] = "]}]}";
    char *body = malloc(BODY_BYTES_MAX);
    size_t count = sizeof(begin) - 1;
    memcpy(body, begin, count);
    for (; count + sizeof(end) + 2 < BODY_BYTES_MAX; count += 2)
        memcpy(body + count, ",1", 2);
    memcpy(body + count, end, sizeof(end) - 1);
    count += sizeof(end) - 1;
    expect_the_same(body, count);
    free(body);
}

static void a_name_longer_than_any_pipelines_is_cut(void **state)
{
    (void)state;
    char body[4 * READ_NAME_BYTES_MAX], name[2 * READ_NAME_BYTES_MAX] = {0};
    memset(name, 'x', sizeof(name) - 1);
    int count = snprintf(body, sizeof(body), "{\"pipeline\":\"%s\",\"inputs\":[]}", name);
    struct read_answer answer = ask_body(body, (size_t)count);
    assert_int_equal(answer.has_pipeline, 1);
    assert_int_equal(strlen(answer.pipeline), READ_NAME_BYTES_MAX);
}

static void a_body_that_is_dropped_makes_room_for_the_next(void **state)
{
    (void)state;
    static const char body[] = "{\"inputs\":[{\"type\":\"array\",\"value\":[7]}]}";
    ask_body(body, sizeof(body) - 1);
    struct read_request drop = {.magic = READ_MAGIC, .kind = READ_DROP, .number = number};
    assert_int_equal(reader_ask(&reader, &drop, NULL, 0, -1), 0);
    expect_the_same(body, sizeof(body) - 1);
    ask_body(body, sizeof(body) - 1); /* nor need it be said */
    expect_the_same(body, sizeof(body) - 1);
}

/* ---- the process ---- */

static long status_of(const char *field)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)reader.pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            value = strtol(line + strlen(field) + 1, NULL, 10);
    fclose(file);
    return value;
}

static void it_is_confined_before_it_reads(void **state)
{
    (void)state;
    static const char body[] = "{}";
    ask_body(body, sizeof(body) - 1);
    assert_int_equal(status_of("Seccomp"), 2);
    assert_int_equal(status_of("NoNewPrivs"), 1);
    if (geteuid() == 0)
        assert_int_not_equal(status_of("Uid"), 0);
}

/* What a fault of the parser would be used for. The number of the first thing that was possible. */
static int misdeed_of(pid_t parent)
{
    int pair[2], first = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1 || !reader_confine(parent, BODY_BYTES_MAX))
        return 100;
    const bool is_possible[] = {
        kill(parent, 0) == 0 || errno != EPERM,
        syscall(SYS_tgkill, parent, parent, 0) == 0 || errno != EPERM,
        fcntl(pair[0], F_SETOWN, parent) == 0 || errno != EPERM,
        fcntl(pair[0], F_DUPFD, 0) >= 0 || errno != EPERM,
        open("/proc/self/status", O_RDONLY) >= 0 || errno != EPERM,
        socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM,
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0 || errno != EPERM,
        execl("/bin/true", "true", NULL) == 0 || errno != EPERM,
        prctl(PR_SET_DUMPABLE, 1) == 0 || errno != EPERM,
        syscall(SYS_prlimit64, parent, RLIMIT_CPU, NULL, NULL) == 0 || errno != EPERM,
        syscall(SYS_process_vm_readv, parent, NULL, 0, NULL, 0, 0) == 0 || errno != EPERM,
        memfd_create("x", 0) >= 0 || errno != EPERM,
    };
    while ((size_t)first < ARRAY_COUNT(is_possible) && !is_possible[first])
        first++;
    return (size_t)first == ARRAY_COUNT(is_possible) ? 0 : first + 1;
}

static void it_can_do_nothing_to_others(void **state)
{
    (void)state;
    siginfo_t info;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        _exit(misdeed_of(parent));
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
}

static void it_ends_with_its_socket(void **state)
{
    (void)state;
    static const char body[] = "{\"inputs\":[]}";
    ask_body(body, sizeof(body) - 1);
    descriptor_close(&reader.socket);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)reader.pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
}

static void one_that_was_killed_says_so_and_is_followed_by_another(void **state)
{
    (void)state;
    static const char body[] = "{\"inputs\":[]}";
    pid_t pid = reader.pid;
    servant_kill(&reader);
    while (!servant_is_gone(&reader))
        poll(NULL, 0, 1);
    assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED), -1);
    assert_int_equal(reader_open(&reader, BODY_BYTES_MAX), 0);
    assert_int_equal(ask_body(body, sizeof(body) - 1).result, 0);
}

#define READER_TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(int argc, char **argv)
{
    if (strcmp(argv[0], READER_NAME) == 0)
        return reader_main(argc, argv);
    alarm(60);
    const struct CMUnitTest tests[] = {
        READER_TEST(it_says_of_every_body_what_the_loop_would_have_said),
        READER_TEST(a_body_of_many_values_is_read),
        READER_TEST(a_name_longer_than_any_pipelines_is_cut),
        READER_TEST(a_body_that_is_dropped_makes_room_for_the_next),
        READER_TEST(it_is_confined_before_it_reads),
        READER_TEST(it_can_do_nothing_to_others),
        READER_TEST(it_ends_with_its_socket),
        READER_TEST(one_that_was_killed_says_so_and_is_followed_by_another),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
