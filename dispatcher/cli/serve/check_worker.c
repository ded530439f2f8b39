/* SPDX-License-Identifier: MIT */
/*
 * check_worker.c - loads a pipeline in a throw-away worker.
 *
 * This process only waits for what the worker says, for its end, or for the time to be up,
 * whichever is first.
 */
#include "dispatcher/cli/serve/check_worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/inputs/warm_up_inputs.h"
#include "dispatcher/workers/channel.h"
#include "dispatcher/workers/crash.h"
#include "dispatcher/workers/failure.h"
#include "dispatcher/workers/spawner.h"
#include "dispatcher/workers/start_progress.h"
#include "millrace/protocol.h"
#include "shm/clock.h"
#include "shm/descriptors.h"

#define CHECK_RING_BYTES (64u * 1024) /* of log lines, nothing else comes */
#define MESSAGE_COUNT_MAX 64u /* looked at in one pass; before HELLO come some of PROGRESS */
#define LOG_COUNT_MAX (CHECK_RING_BYTES / sizeof(struct record)) /* likewise: all there can be */

/* One worker being watched. Owns all of it; descriptors are -1 when there are none. */
struct check {
    const char *source;
    struct channel channel;
    struct channel_ends ends; /* kept, so that only a message makes our socket readable */
    struct spawner spawner;
    pid_t pid; /* 0: none yet, or waited for */
    int pidfd;
    int start_error; /* an errno: why there is no worker */
    uint32_t timeout_ms;
    uint64_t due_ms; /* its time is over then */
    struct variables variables;
    bool is_known;  /* HELLO came */
    bool is_failed; /* why it does not load was said */
};

static int check_start(struct check *check, const struct pipeline_config *pipeline,
                       const struct worker_spawn_options *programs);
static void check_watch(struct check *check, uint32_t timeout_ms);
static void check_end(struct check *check);
static void check_finish(struct check *check);
static void check_warm_up(struct check *check, const struct pipeline_config *pipeline);
static void check_read_messages(struct check *check);
static void check_read_log(struct check *check);

int check_worker_load(const struct pipeline_config *pipeline,
                      const struct worker_spawn_options *programs, struct own_users users,
                      uint32_t timeout_ms, struct variables *out)
{
    struct check check = {
        .source = pipeline->source,
        .ends = {-1, -1},
        .pidfd = -1,
    };
    int exit_code = EXIT_CODE_PIPELINE;
    channel_init(&check.channel);
    spawner_init(&check.spawner, users);
    int rc = check_start(&check, pipeline, programs);
    if (rc == 0) {
        check_watch(&check, timeout_ms);
        rc = -check.start_error;
    }
    if (rc < 0) {
        cli_fail("check: cannot start the worker %s: %s", programs->worker_path, strerror(-rc));
        exit_code = EXIT_CODE_WORKER;
    }
    if (rc == 0 && check.is_known && !check.is_failed && pipeline->warm_up)
        check_warm_up(&check, pipeline);
    if (rc == 0 && check.is_known && !check.is_failed) {
        *out = check.variables;
        check.variables = (struct variables){0};
        exit_code = EXIT_CODE_OK;
    }
    check_finish(&check);
    return exit_code;
}

/* ---- the worker's life --------------------------------------------------------------------- */

static int check_start(struct check *check, const struct pipeline_config *pipeline,
                       const struct worker_spawn_options *programs)
{
    int rc = channel_open(&check->channel, &check->ends,
                          &(struct segment_options){.slot_count = 1,
                                                    .request_ring_bytes = RING_BYTES_MIN,
                                                    .reply_ring_bytes = CHECK_RING_BYTES,
                                                    .window_bytes = RUN_WINDOW_BYTES});
    if (rc < 0)
        return rc;
    /* What it prints is passed on, and nothing of it can be taken for our own output. */
    struct worker_spawn_options worker = *programs;
    worker_spawn_set_pipeline(&worker, pipeline);
    worker.check = true;
    worker.segment_fd = check->channel.segment.fd;
    worker.worker_bell_fd = check->ends.bell;
    worker.dispatcher_bell_fd = check->channel.own_bell.fd;
    worker.socket_fd = check->ends.socket;
    worker.stdout_fd = STDERR_FILENO;
    worker.stderr_fd = STDERR_FILENO;
    rc = spawner_open(&check->spawner);
    return rc < 0 ? rc : spawner_ask(&check->spawner, &worker, 0, 0);
}

static uint64_t check_now_ms(void)
{
    return clock_now_ns() / CLOCK_NS_PER_MS;
}

/* What the spawner says of the worker; a spawner that says nothing any more has not started it. */
static void check_read_answers(struct check *check)
{
    struct spawn_answer answer;
    int rc;
    while ((rc = spawner_peek(&check->spawner, &answer)) > 0) {
        int pidfd;
        spawner_take(&check->spawner, &pidfd);
        if (answer.kind == SPAWN_STARTED) {
            check->pid = answer.pid;
            check->pidfd = pidfd;
        } else {
            check->start_error = answer.error;
            descriptor_close(&pidfd);
        }
    }
    if (rc < 0 && check->pid == 0)
        check->start_error = -rc;
}

/* Hears the worker until it is gone, which is made sure of. */
static void check_watch(struct check *check, uint32_t timeout_ms)
{
    check->timeout_ms = timeout_ms;
    check->due_ms = check_now_ms() + timeout_ms;
    struct pollfd fds[] = {
        {.events = POLLIN},
        {.fd = check->channel.socket, .events = POLLIN},
        {.fd = check->channel.own_bell.fd, .events = POLLIN},
        {.fd = check->spawner.socket, .events = POLLIN},
    };
    while (!check->is_failed && check->start_error == 0) {
        check_read_messages(check);
        check_read_log(check);
        check_read_answers(check);
        fds[0].fd = check->pidfd; /* -1 is left out */
        doorbell_arm(&check->channel.own_bell, DOORBELL_ANY);
        uint64_t now = check_now_ms();
        int wait_ms = ring_is_empty(&check->channel.replies) && now < check->due_ms
                          ? (int)(check->due_ms - now)
                          : 0;
        int count = poll(fds, ARRAY_COUNT(fds), wait_ms);
        doorbell_disarm(&check->channel.own_bell);
        uint64_t rings;
        if (count > 0 && fds[2].revents != 0 && read(fds[2].fd, &rings, sizeof rings) == -1)
            mr_assert(errno == EAGAIN);
        if (count > 0 && fds[0].revents != 0)
            break;
        /* The other end of the socket is also ours, so only a message makes it readable. */
        if (now >= check->due_ms) {
            cli_fail("check: %s did not load within %u ms", check->source, timeout_ms);
            check->is_failed = true;
        }
    }
    check_end(check);
}

/* The signal, and the frames in which it came, innermost first. */
static void check_say_crash(const struct check *check, int number)
{
    struct crash_report report;
    crash_read(&report, &check->channel.segment.header->crash, number);
    const char *name = sigabbrev_np(number);
    cli_fail("check: %s: the worker was killed by SIG%s (%s) %s", check->source, name ? name : "?",
             strsignal(number), check->is_known ? "after it was loaded" : "while it loaded");
    cli_print_lines(stderr, report.text, report.text_count);
}

/* Takes what it said last, and how it ended. */
static void check_end(struct check *check)
{
    siginfo_t info = {0};
    if (check->is_failed && check->pid > 0) {
        kill(-check->pid, SIGKILL);
        kill(check->pid, SIGKILL);
    }
    while (check->pid > 0 && waitid(P_PID, (id_t)check->pid, &info, WEXITED) == -1)
        mr_assert(errno == EINTR);
    check_read_answers(check);
    check->pid = 0;
    check_read_messages(check);
    check_read_log(check);
    if (check->is_failed || check->start_error != 0)
        return;
    if (info.si_code != CLD_EXITED)
        check_say_crash(check, info.si_status);
    else if (info.si_status != WORKER_EXIT_OK || !check->is_known)
        cli_fail("check: %s: the worker exited with code %d %s", check->source, info.si_status,
                 check->is_known ? "after it was loaded" : "before it was loaded");
    else
        return;
    check->is_failed = true;
}

static void check_finish(struct check *check)
{
    mr_assert(check->pid == 0);
    spawner_close(&check->spawner);
    descriptor_close(&check->pidfd);
    channel_ends_close(&check->ends);
    channel_close(&check->channel);
    variables_finish(&check->variables);
}

/* It is not run here: whether it has these inputs is what can be known. */
static void check_warm_up(struct check *check, const struct pipeline_config *pipeline)
{
    struct run_payload payload = {0};
    char reason[WARM_UP_REASON_BYTES];
    if (warm_up_inputs_pack(pipeline->warm_up, &check->variables, &payload, reason) < 0) {
        cli_fail("check: %s cannot be warmed up: %s", check->source, reason);
        check->is_failed = true;
    }
    free(payload.memory);
}

/* ---- what it says -------------------------------------------------------------------------- */

/* One reason is enough. */
static void check_misbehaved(struct check *check, const char *wrong)
{
    if (!check->is_failed)
        cli_fail("check: %s: the worker misbehaved: %s", check->source, wrong);
    check->is_failed = true;
}

static void check_hello(struct check *check, const struct channel_message *message)
{
    char reason[200];
    if (check->is_known) {
        check_misbehaved(check, "it said HELLO out of turn");
        return;
    }
    int rc = variables_parse(&check->variables, message->body, message->body_bytes, reason,
                             sizeof reason);
    check->is_known = rc == 0;
    if (rc < 0)
        check_misbehaved(check, rc == -ENOMEM ? "no memory for its variables" : reason);
}

static void check_failed(struct check *check, const struct channel_message *message)
{
    struct worker_failure failure;
    if (!failure_read(message->body, message->body_bytes, &failure)) {
        check_misbehaved(check, "it sent a failure that cannot be read");
        return;
    }
    cli_fail("check: %s does not load: %.*s", check->source, (int)failure.message_bytes,
             failure.message);
    if (failure.traceback)
        cli_print_lines(stderr, failure.traceback, failure.traceback_bytes);
    check->is_failed = true;
}

/* It lives, and has the time again. */
static void check_progress(struct check *check, const struct channel_message *message)
{
    struct start_progress progress;
    if (!start_progress_read(message->body, message->body_bytes, &progress))
        check_misbehaved(check, "it told of its start in a way that cannot be read");
    check->due_ms = check_now_ms() + check->timeout_ms;
}

static void check_read_messages(struct check *check)
{
    static uint8_t buffer[MESSAGE_BYTES_MAX];
    for (unsigned i = 0; i < MESSAGE_COUNT_MAX && !check->is_failed; i++) {
        struct channel_message message;
        const char *wrong;
        int rc = channel_take(&check->channel, buffer, &message, &wrong);
        if (rc == 0)
            return;
        if (rc < 0)
            check_misbehaved(check, wrong);
        else if (message.kind == MESSAGE_HELLO)
            check_hello(check, &message);
        else if (message.kind == MESSAGE_FAILED)
            check_failed(check, &message);
        else if (message.kind == MESSAGE_PROGRESS)
            check_progress(check, &message);
        else
            check_misbehaved(check, message.kind == MESSAGE_FILE ? "it told of a file of no run"
                                                                 : "it said READY out of turn");
    }
}

/* What the pipeline logs while it is loaded goes to stderr, whatever its level. Returns what is
 * wrong with a record, or NULL. */
static const char *check_log(const struct record *record, const void *payload)
{
    static uint8_t copy[CHECK_RING_BYTES];
    struct channel_log log;
    if (record->kind != RECORD_LOG)
        return "it sent a record of no run";
    mr_assert(record->bytes <= sizeof copy);
    memcpy(copy, payload, record->bytes);
    if (channel_log_read(copy, record->bytes, &log))
        cli_print_lines(stderr, log.text, log.text_bytes);
    return NULL;
}

/* Also of one that has failed: what it logged before may say more. */
static void check_read_log(struct check *check)
{
    struct channel *channel = &check->channel;
    const char *wrong = NULL;
    for (size_t i = 0; i < LOG_COUNT_MAX && !wrong; i++) {
        struct record record;
        const void *payload;
        int rc = ring_peek(&channel->replies, &record, &payload);
        if (rc == 0)
            break;
        wrong = rc < 0 ? "its reply ring is corrupt" : check_log(&record, payload);
    }
    if (wrong)
        check_misbehaved(check, wrong);
    if (ring_release(&channel->replies))
        doorbell_ring(&channel->bell, DOORBELL_ANY);
}
