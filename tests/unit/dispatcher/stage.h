/* SPDX-License-Identifier: MIT */
/*
 * stage.h - a real loop on which a test plays the kernel, the workers and the clients.
 *
 * The functions of uring.h and spawner.h are defined here, and so are the system calls that would
 * start, watch and end processes or tell the time. Everything else is the dispatcher as it is.
 * Segments, sockets and doorbells are real, so a test writes records where a worker would.
 *
 *     stage_open(&options);          a loop, its workers started, heard and ready
 *     client = stage_connect();      and stage_say(client, ...) what it sends
 *     stage_pass();                  one pass of the loop
 *     stage_put(worker, ...);        a record from the worker
 *     stage_sent(client, n);         the kernel took n bytes of what is being sent
 *     stage_close();
 *
 * One program, one stage: the header defines its functions.
 */
#ifndef TESTS_DISPATCHER_STAGE_H
#define TESTS_DISPATCHER_STAGE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/http/transport.h"
#include "dispatcher/runs/pipeline_health.h"
#include "dispatcher/server/server.h"
#include "dispatcher/workers/pool.h"
#include "dispatcher/workers/supervisor.h"
#include "millrace/protocol.h"
#include "shm/slot.h"
#include "tests/unit/dispatcher/hello.h"

#define STAGE_CLIENT_COUNT_MAX 16u
#define STAGE_WORKER_COUNT_MAX 8u
#define STAGE_EVENT_COUNT_MAX 256u
#define STAGE_RECEIVE_BYTES 4096u
#define STAGE_PID 1000000 /* of worker 0; no real process is meant */

struct stage_options {
    uint32_t pipeline_count, worker_count, concurrency; /* 0: 1 */
    uint32_t queue_count_max, window_bytes, reply_ring_bytes;
    uint64_t output_bytes_max;
    uint32_t plain_output_count; /* besides one stream */
    bool is_scaled;              /* there are worker_count_min of them, or more */
    uint32_t worker_count_min;
    bool no_hello;        /* leave the workers STARTING */
    bool recycle_overlap; /* there is one place more than workers */
    char *files_path;     /* of --files; NULL: none are kept */
    bool is_fair;         /* tenants and classes are what requests say */
    bool has_affinity;    /* and so are keys */
};

/* One client: what the kernel holds for its connection, and what has reached it. */
struct stage_client {
    struct uring_ref recv, send, gone; /* generation 0: none is queued */
    bool recv_is_single;
    const struct msghdr *message;
    uint32_t send_number; /* of all sends so far, its last one; from 1 */
    char *bytes;          /* owned */
    size_t count, room;
};

struct stage_worker {
    bool lives;
    bool is_reaped;      /* its number may be anybody's */
    uint32_t poll_count; /* of its socket */
    int pidfd, socket;   /* our copies; -1: none */
    struct segment segment;
    struct ring_tx replies;
    struct ring_rx requests;
    uint32_t kill_count;       /* of this process */
    uint32_t stray_kill_count; /* likewise, while the loop has not taken it over */
    bool is_mute;              /* it does not say where it hangs */
    struct uring_ref on_pidfd, on_socket, on_bell, on_pipe[4];
    siginfo_t exit;
};

static struct stage {
    struct config config;
    struct server *server;
    bool is_measured; /* what plays the kernel does next to nothing */
    uint64_t now_ns;  /* CLOCK_MONOTONIC; 0: the stage is closed, and time is the real one */
    struct uring_event events[STAGE_EVENT_COUNT_MAX];
    uint32_t event_first, event_count;
    uint32_t send_count;
    struct stage_client clients[STAGE_CLIENT_COUNT_MAX];
    struct stage_worker workers[STAGE_WORKER_COUNT_MAX];
    uint32_t spawn_count, spawn_error;     /* the next start fails with this errno */
    const struct environment *environment; /* of the last one that was asked for */
    uint32_t let_close_count;              /* sockets that the spawner was given */
    uint32_t spawner_count, spawner_kill_count, spawner_error; /* likewise, of a spawner */
    bool spawner_lives, spawner_is_silent, spawner_stays, pidfd_is_lost;
    bool pipes_are_held; /* by something that outlives the worker */
    struct uring_ref on_spawner;
    int reader_socket; /* the reader's end; -1: it is gone */
    uint32_t reader_count, reader_kill_count,
        reader_error; /* the next start fails with this errno */
    bool reader_is_gone;
    struct uring_ref on_reader;
    struct spawn_answer answers[64];
    uint32_t answer_count;
    char receive[STAGE_RECEIVE_BYTES];
    uint32_t plain_output_count;
} stage;

#include "tests/unit/dispatcher/stage_uring.h"

/* ---- the kernel: time and processes ---- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (stage.now_ns == 0 || clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec = (time_t)(stage.now_ns / 1000000000);
    out->tv_nsec = (long)(stage.now_ns % 1000000000);
    return 0;
}

#include "tests/unit/dispatcher/stage_reader.h"
#include "tests/unit/dispatcher/stage_spawner.h"

/* The supervisor signals the group and the process; both mean this one. Who is asked where it hangs
 * kills itself. */
int kill(pid_t pid, int number)
{
    pid_t index = (pid < 0 ? -pid : pid) - STAGE_PID;
    bool is_question = number == WORKER_SIGNAL_WHERE;
    mr_assert(is_question ? pid > 0 : number == SIGKILL);
    if (pid == STAGE_READER_PID) {
        stage.reader_kill_count++;
        return 0;
    }
    mr_assert(index >= 0 && index < (pid_t)STAGE_WORKER_COUNT_MAX);
    mr_assert(!stage.workers[index].is_reaped);
    stage.workers[index].kill_count +=
        (is_question ? !stage.workers[index].is_mute : pid < 0) && stage.workers[index].lives;
    stage.workers[index].stray_kill_count += stage.server->fleet.workers[index]->pid == 0;
    return 0;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
    if (type == P_PID && id == STAGE_READER_PID) {
        info->si_pid = stage.reader_is_gone ? STAGE_READER_PID : 0;
        return 0;
    }
    mr_assert(type == P_PIDFD);
    mr_assert(flags & WNOHANG);
    for (uint32_t i = 0; i < stage.server->fleet.worker_count; i++)
        if (stage.server->fleet.workers[i] && (int)id == stage.server->fleet.workers[i]->pidfd) {
            *info = stage.workers[i].exit;
            stage.workers[i].is_reaped |= info->si_pid != 0 && !(flags & WNOWAIT);
        }
    return 0;
}

/* ---- the workers ---- */

static inline void stage_message(uint32_t index, uint16_t kind, const void *body, size_t bytes)
{
    struct stage_worker *worker = &stage.workers[index];
    char packet[4096];
    struct message header = {.magic = MESSAGE_MAGIC,
                             .version = PROTOCOL_VERSION,
                             .kind = kind,
                             .bytes = (uint32_t)bytes};
    mr_assert(sizeof(header) + bytes <= sizeof(packet));
    memcpy(packet, &header, sizeof(header));
    if (bytes > 0)
        memcpy(packet + sizeof(header), body, bytes);
    bytes += sizeof(header);
    mr_assert(send(worker->socket, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes);
    stage_event((struct uring_event){.ref = worker->on_socket, .result = POLLIN, .more = true});
}

static inline void stage_hello(uint32_t index)
{
    struct hello hello;
    hello_init(&hello);
    hello_begin(&hello, "numbers");
    hello_list(&hello, "inputs", 0);
    hello_list(&hello, "outputs", 1 + stage.plain_output_count);
    for (uint32_t i = 0; i <= stage.plain_output_count; i++) {
        msgpack_pack_map(&hello.packer, 1);
        hello_word(&hello, "type", i == 0 ? "stream" : "string");
    }
    stage_message(index, MESSAGE_HELLO, hello.buffer.data, hello.buffer.size);
    hello_finish(&hello);
    stage_message(index, MESSAGE_READY, NULL, 0);
}

/* Commits a record as it is given. False: the ring has no room. */
static inline bool stage_put(uint32_t index, struct record record, const void *payload)
{
    struct stage_worker *worker = &stage.workers[index];
    void *room;
    if (ring_claim(&worker->replies, record.bytes, &room) < 0)
        return false;
    mr_assert(payload || record.bytes == 0);
    if (payload)
        memcpy(room, payload, record.bytes);
    ring_commit(&worker->replies, &record);
    return true;
}

/* The next request; false: there is none. */
static inline bool stage_request(uint32_t index, struct record *out)
{
    const void *payload;
    struct stage_worker *worker = &stage.workers[index];
    int rc = ring_peek(&worker->requests, out, &payload);
    mr_assert(rc >= 0);
    ring_release(&worker->requests);
    return rc == 1;
}

/* The process is gone, and its pipes with it, unless they are held. */
static inline void stage_exit(uint32_t index, int code, int status)
{
    struct stage_worker *worker = &stage.workers[index];
    mr_assert(worker->lives);
    worker->lives = false;
    worker->exit = (siginfo_t){.si_code = code};
    worker->exit.si_pid = STAGE_PID + (pid_t)index;
    worker->exit.si_status = status;
    stage_complete(&worker->on_pidfd, POLLIN);
    for (uint32_t i = 0; i < 4 && !stage.pipes_are_held; i++)
        stage_complete(&worker->on_pipe[i], 0);
    close(worker->socket);
    close(worker->pidfd);
    segment_detach(&worker->segment);
    worker->socket = worker->pidfd = -1;
}

#include "tests/unit/dispatcher/stage_client.h"

/* ---- the whole ---- */

static inline void stage_pass(void)
{
    stage_loop_pass();
}

/* Passes, every send taken in full, until nothing moves; bounded. */
static inline void stage_settle(void)
{
    for (uint32_t i = 0; i < 10000; i++) {
        bool moved = stage_loop_pass() || stage.event_count > 0;
        for (uint32_t k = 0; k < STAGE_CLIENT_COUNT_MAX; k++) {
            size_t bytes = stage_sending_bytes(k);
            if (bytes > 0)
                stage_sent(k, (ssize_t)bytes);
            moved |= bytes > 0;
        }
        if (!moved)
            return;
    }
    mr_assert(stage.now_ns == 0); /* it does not settle */
}

static inline void stage_later(uint64_t ms)
{
    stage.now_ns += ms * 1000000;
    stage_loop_pass();
    if (stage.answer_count > 0 && !stage.spawner_is_silent)
        stage_loop_pass();
}

static inline uint32_t stage_or(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static inline void stage_configure(const struct stage_options *options)
{
    struct config *config = &stage.config;
    char reason[CLI_REASON_BYTES];
    config_init(config);
    for (uint32_t i = 0; i < stage_or(options->pipeline_count, 1); i++) {
        char argument[64];
        snprintf(argument, sizeof argument, "me/%.*snumbers:v1=numbers.so", (int)i * 5,
                 "more-more-more-");
        mr_assert(config_add_pipeline(config, argument, reason) == 0);
        snprintf(config->pipelines[i].id, PIPELINE_ID_BYTES, "pipeline_%032u", i + 1);
    }
    uint32_t worker_count_max = stage_or(options->worker_count, 1);
    config->options.workers = (struct cli_range){
        options->is_scaled ? options->worker_count_min : worker_count_max, worker_count_max};
    config->options.concurrency = stage_or(options->concurrency, 1);
    config->options.queue_count_max = stage_or(options->queue_count_max, 8);
    config->options.window_bytes = stage_or(options->window_bytes, config->options.window_bytes);
    config->options.request_ring_bytes = RING_BYTES_MIN;
    config->options.reply_ring_bytes = stage_or(options->reply_ring_bytes, RING_BYTES_MIN);
    config->conn_count_max = STAGE_CLIENT_COUNT_MAX;
    config->control_path = "none";
    config->body_file_count_max = BODY_FILE_COUNT_MIN;
    config->run_count_max =
        worker_count_max * config->options.concurrency + config->options.queue_count_max + 1;
    config->output_bytes_max = options->output_bytes_max > 0 ? options->output_bytes_max : 8u << 20;
    config->log_level = LEVEL_DEBUG;
    config->options.recycle_overlap = options->recycle_overlap;
    config->options.schedule = options->is_fair ? SCHEDULE_FAIR : SCHEDULE_FIFO;
    config->has_classes = options->is_fair;
    config->others_class = options->is_fair ? 0 : RUN_CLASS_NONE;
    config->files_path = options->files_path;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        config->pipelines[i].options = config->options;
        config->pipelines[i].tenant_by.kind = RANK_BY_FIELD;
        if (options->has_affinity)
            config->pipelines[i].affinity_by.kind = RANK_BY_FIELD;
    }
    config->no_auth = true; /* tests write any Host */
    mr_assert(config_place_count(config) <= STAGE_WORKER_COUNT_MAX);
}

static inline void stage_open(const struct stage_options *options)
{
    sigset_t mask;
    stage = (struct stage){.now_ns = 1000000000,
                           .plain_output_count = options->plain_output_count,
                           .reader_socket = -1};
    for (uint32_t i = 0; i < STAGE_WORKER_COUNT_MAX; i++)
        stage.workers[i].pidfd = stage.workers[i].socket = -1;
    stage_configure(options);
    stage.server = calloc(1, sizeof(*stage.server));
    mr_assert(stage.server);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    mr_assert(config_open(&stage.config, 1) == 0);
    mr_assert(server_init(stage.server, &stage.config) == 0);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    stage.server->start_is_said = stage.server->is_settled = true;
    stage_pass();
    reading_start(&stage.server->reading);
    supervisor_start(&stage.server->fleet);
    stage_pass();
    for (uint32_t i = 0; i < STAGE_WORKER_COUNT_MAX && !options->no_hello; i++)
        if (stage.workers[i].lives)
            stage_hello(i);
    stage_pass();
}

static inline void stage_close(void)
{
    for (uint32_t i = 0; i < STAGE_WORKER_COUNT_MAX; i++)
        if (stage.workers[i].lives)
            stage_exit(i, CLD_KILLED, SIGKILL);
    stage.reader_is_gone = true;
    server_finish(stage.server);
    descriptor_close(&stage.reader_socket);
    free(stage.server);
    mr_assert(stage.config.holders->count == 0);
    config_finish(&stage.config);
    for (uint32_t i = 0; i < STAGE_CLIENT_COUNT_MAX; i++)
        free(stage.clients[i].bytes);
    stage = (struct stage){0};
}

#endif
