/* SPDX-License-Identifier: MIT */
/* loop.c - the event loop. */
#include "dispatcher/server/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dispatcher/config/owner.h"
#include "dispatcher/server/serve.h"
#include "dispatcher/server/signals.h"
#include "dispatcher/workers/spawning.h"
#include "dispatcher/workers/worker_memory.h"
#include "shm/clock.h"
#include "shm/descriptors.h"

#define EVENTS_PER_REAP 64u
#define REAPS_PER_PASS 64u
#define RECEIVED_PER_PASS_BYTES (512u * 1024) /* and what one reap has more */
#define TIMERS_PER_PASS 4096u
#define LOG_SETTLE_TRIES 50u

/* ---- making and ending --------------------------------------------------------------------- */

static int pools_init(struct loop *loop)
{
    const struct config *config = loop->config;
    loop->runs = calloc(config->run_count_max, sizeof(*loop->runs));
    loop->newest = calloc(owner_count(config), sizeof(struct run *));
    loop->worker_count = config->pipeline_count * config_place_count(config);
    loop->workers = calloc(loop->worker_count, sizeof(*loop->workers));
    uint32_t record_bytes = config->reply_ring_bytes / 4;
    loop->record = malloc(record_bytes > MESSAGE_BYTES_MAX ? record_bytes : MESSAGE_BYTES_MAX);
    if (!loop->runs || !loop->newest || !loop->workers || !loop->record ||
        id_index_init(&loop->run_index, config->run_count_max) < 0 ||
        history_init(&loop->history, owner_count(config)) < 0)
        return -ENOMEM;
    for (uint32_t i = config->run_count_max; i-- > 0;) {
        struct run *run = &loop->runs[i];
        *run = (struct run){
            .index = i, .next = loop->run_free, .timer = {.kind = TIMER_RUN, .owner = run}};
        loop->run_free = run;
    }
    loop->stop_timer.kind = TIMER_STOP;
    loop->noise_timer.kind = TIMER_NOISE;
    loop->output_timer.kind = TIMER_OUTPUT;
    loop->spawner_timer.kind = TIMER_SPAWNER;
    loop->offer_timer.kind = TIMER_OFFER;
    return timers_reserve(&loop->reactor.timers, config->run_count_max + 3 * loop->worker_count +
                                                     config->pipeline_count + 6);
}

static int workers_init(struct loop *loop)
{
    const struct config *config = loop->config;
    uint32_t place_count = config_place_count(config);
    loop->pipeline_count = config->pipeline_count;
    for (uint32_t p = 0; p < config->pipeline_count; p++) {
        struct pipeline *pipeline = &loop->pipelines[p];
        pipeline->config = &config->pipelines[p];
        pipeline->index = p;
        pipeline->worker_first = p * place_count;
        pipeline->worker_count = place_count;
        pipeline->timer = (struct timer){.kind = TIMER_PIPELINE, .owner = pipeline};
        /* One more may stand in a full queue for a moment: it has a slot. */
        if (tickets_init(&pipeline->tickets, config->queue_count_max + 1) < 0)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < loop->worker_count; i++) {
        struct worker *worker = &loop->workers[i];
        worker->index = i;
        worker->number = i % place_count;
        worker->pipeline_index = i / place_count;
        worker->successor = worker->predecessor = WORKER_NONE;
        if (worker->number == config->worker_count)
            worker->state = WORKER_SPARE;
        worker->pidfd = worker->socket = worker->bell_fd = worker->own_bell_fd = -1;
        worker->segment.fd = -1;
        worker->unfinished.slot = UNFINISHED_NONE;
        worker->timer = (struct timer){.kind = TIMER_WORKER, .owner = worker};
        worker->slots = calloc(config->concurrency, sizeof(*worker->slots));
        worker->free_slots = calloc(config->concurrency, sizeof(*worker->free_slots));
        worker->outputs = calloc(2, sizeof(*worker->outputs));
        if (!worker->slots || !worker->free_slots || !worker->outputs)
            return -ENOMEM;
        for (uint32_t k = 0; k < 2; k++) {
            struct output *output = &worker->outputs[k];
            output->worker_index = i;
            output->pipes[0].fd = output->pipes[1].fd = -1;
            output->timer = (struct timer){.kind = TIMER_LAST_OUTPUT, .owner = output};
        }
    }
    return 0;
}

static int memory_lacks(const struct config *config)
{
    fprintf(stderr, "millrace: not enough memory for %u connections and %u runs (ulimit -v)\n",
            config->conn_count_max, config->run_count_max);
    return EXIT_CODE_FAILED;
}

static int front_open(struct loop *loop)
{
    char reason[200];
    if (front_init(&loop->front, loop->config, &loop->reactor, &loop->input) < 0)
        return memory_lacks(loop->config);
    loop->front.loop = loop;
    if (front_listen(&loop->front, reason, sizeof(reason)) < 0) {
        fprintf(stderr, "millrace: cannot listen on %s\n", reason);
        return EXIT_CODE_LISTEN;
    }
    return 0;
}

static int memory_fail(const char *reason)
{
    fprintf(stderr, "millrace: --worker-memory: %s\n", reason);
    return EXIT_CODE_USAGE;
}

int loop_init(struct loop *loop, const struct config *config)
{
    memset(loop, 0, sizeof(*loop));
    loop->config = config;
    loop->signal_fd = -1;
    input_memory_init(&loop->input, config->input_bytes_max, config->body_file_count_max);
    reactor_init(&loop->reactor, STDERR_FILENO, (enum log_level)config->log_level);
    oom_watch_init(&loop->oom);
    spawner_init(&loop->spawner, config->own_users);
    loop->signal_fd = signals_open();
    if (loop->signal_fd < 0) {
        fprintf(stderr, "millrace: signals cannot be watched: %s\n", strerror(-loop->signal_fd));
        return EXIT_CODE_FAILED;
    }
    reading_init(&loop->reading);
    char reason[CGROUP_REASON_BYTES];
    if (worker_memory_prepare(loop, reason) < 0)
        return memory_fail(reason);
    /* Before there is anything that it should not have: listeners, a ring, clients. */
    int rc = spawner_open(&loop->spawner);
    if (rc < 0) {
        fprintf(stderr, "millrace: the process that starts workers cannot be started: %s%s\n",
                strerror(-rc), start_error_hint(rc));
        return EXIT_CODE_FAILED;
    }
    rc = reader_open(&loop->reading.reader, config->body_bytes_max);
    if (rc < 0) {
        fprintf(stderr, "millrace: the process that reads large bodies cannot be started: %s\n",
                strerror(-rc));
        return EXIT_CODE_FAILED;
    }
    rc = front_open(loop);
    if (rc != 0)
        return rc;
    if (pools_init(loop) < 0 || workers_init(loop) < 0)
        return memory_lacks(config);
    if (worker_memory_init(loop, reason) < 0)
        return memory_fail(reason);
    rc = reactor_open(&loop->reactor);
    if (rc < 0) {
        char text[400];
        uring_explain(rc, text, sizeof(text));
        fprintf(stderr, "millrace: %s\n", text);
        return EXIT_CODE_IO_URING;
    }
    return 0;
}

void loop_finish(struct loop *loop)
{
    /* First of all: nothing of ours belongs to the kernel afterwards. */
    reactor_close(&loop->reactor);
    for (uint32_t i = 0; loop->front.conns && i < loop->config->conn_count_max; i++)
        free(loop->front.conns[i].read_job);
    front_finish(&loop->front);
    for (uint32_t i = 0; loop->runs && i < loop->config->run_count_max; i++)
        if (loop->runs[i].id[0] != '\0') {
            loop->runs[i].state = RUN_FREE;
            loop->runs[i].conn_attached = false;
            run_destroy(loop, &loop->runs[i]);
        }
    for (uint32_t i = 0; loop->workers && i < loop->worker_count; i++) {
        struct worker *worker = &loop->workers[i];
        supervisor_abandon(worker);
        unfinished_end(worker);
        unfinished_free(loop, worker);
        cgroup_destroy(worker->group);
        free(worker->slots);
        free(worker->free_slots);
        free(worker->outputs);
    }
    spawner_close(&loop->spawner);
    reader_close(&loop->reading.reader);
    input_memory_finish(&loop->input);
    descriptor_close(&loop->reading.pack_fd);
    for (uint32_t i = 0; i < loop->pipeline_count; i++) {
        variables_finish(&loop->pipelines[i].variables);
        free(loop->pipelines[i].traceback);
        tickets_finish(&loop->pipelines[i].tickets);
    }
    history_finish(&loop->history);
    id_index_finish(&loop->run_index);
    reactor_finish(&loop->reactor);
    free(loop->runs);
    free(loop->newest);
    free(loop->workers);
    free(loop->record);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
}

struct worker *loop_worker(struct loop *loop, struct uring_ref ref)
{
    mr_assert(ref.index < loop->worker_count);
    struct worker *worker = &loop->workers[ref.index];
    return worker->generation == ref.generation ? worker : NULL;
}

/* ---- timers --------------------------------------------------------------------------------- */

static void on_timer(struct loop *loop, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_CONN:
        conn_on_timer(&loop->front, timer->owner);
        break;
    case TIMER_RUN:
        run_on_timer(loop, timer->owner);
        break;
    case TIMER_WORKER:
        supervisor_on_timer(loop, timer->owner);
        break;
    case TIMER_PIPELINE:
        pipeline_on_timer(loop, timer->owner);
        break;
    case TIMER_LISTENER:
        listener_on_timer(&loop->front);
        break;
    case TIMER_STOP:
        loop_on_stop_timer(loop);
        break;
    case TIMER_OUTPUT:
        supervisor_say_suppressed(loop);
        break;
    case TIMER_LAST_OUTPUT:
        supervisor_on_output_timer(loop, timer->owner);
        break;
    case TIMER_OFFER:
        break; /* the loop is awake, and looks who may be offered a run */
    case TIMER_NOISE:
        noise_on_timer(loop);
        break;
    case TIMER_SPAWNER:
        supervisor_on_spawner_timer(loop);
        break;
    case TIMER_READER:
        reading_on_timer(loop);
        break;
    case TIMER_KIND_COUNT:
        mr_unreachable("unreachable");
    }
}

static void timers_run(struct loop *loop)
{
    for (uint32_t i = 0; i < TIMERS_PER_PASS; i++) {
        struct timer *timer = timers_take(&loop->reactor.timers, loop->reactor.now_ms);
        if (!timer)
            return;
        if (i == 0)
            buckets_add(&loop->reactor.lateness, &bucket_scale_passes,
                        (loop->reactor.now_ms - timer->due_ms) * CLOCK_NS_PER_MS);
        on_timer(loop, timer);
    }
}

/* ---- events -------------------------------------------------------------------------------- */

static void signal_read(struct loop *loop)
{
    uring_read(loop->reactor.uring, loop->signal_fd, loop->signal_bytes, sizeof(loop->signal_bytes),
               (struct uring_ref){URING_SIGNAL, 0, 0});
}

/* SIGXCPU comes again after each second of processor time until the hard limit kills: runs have one
 * to end, and are cancelled then. */
static void on_signal_info(struct loop *loop, const struct signalfd_siginfo *info)
{
    bool is_limit = info->ssi_signo == SIGXCPU;
    if (is_limit && loop->state == LOOP_DRAINING)
        timer_set(&loop->reactor.timers, &loop->stop_timer, loop->reactor.now_ms);
    if (is_limit && loop->state != LOOP_SERVING)
        return;
    log_line(&loop->reactor.log, is_limit ? LEVEL_ERROR : LEVEL_INFO, "signal",
             "signal=%u sender=%u name=%s%s", info->ssi_signo, info->ssi_pid,
             signals_name((int)info->ssi_signo),
             is_limit ? " reason=\"the limit on processor time (ulimit -t, LimitCPU=) is reached\""
                      : "");
    if (is_limit)
        loop->exit_code = EXIT_CODE_FAILED;
    loop_stop(loop);
}

static void on_signal(struct loop *loop, const struct uring_event *event)
{
    if (event->result >= (int32_t)sizeof(struct signalfd_siginfo)) {
        struct signalfd_siginfo info;
        memcpy(&info, loop->signal_bytes, sizeof(info));
        on_signal_info(loop, &info);
    }
    if (loop->state != LOOP_STOPPED)
        signal_read(loop);
}

/* Every ring is looked at in each pass: that there is one is all that a bell does. */
static void on_bell(struct loop *loop, const struct uring_event *event)
{
    struct worker *worker = loop_worker(loop, event->ref);
    if (!worker || !worker_has_process(worker) || event->result == -ECANCELED)
        return;
    worker->bells_heard++;
    if (!event->more && !worker->is_paused)
        uring_poll(loop->reactor.uring, worker->own_bell_fd, event->ref);
}

static void on_event(struct loop *loop, const struct uring_event *event)
{
    switch (event->ref.op) {
    case URING_ACCEPT:
        listener_on_accept(&loop->front, event);
        break;
    case URING_RECV:
        conn_on_recv(&loop->front, event);
        break;
    case URING_SEND:
        conn_on_send(&loop->front, event);
        break;
    case URING_GONE:
        conn_on_gone(&loop->front, event);
        break;
    case URING_BELL:
        on_bell(loop, event);
        break;
    case URING_PIDFD:
        supervisor_on_pidfd(loop, event);
        break;
    case URING_SOCKET:
        supervisor_on_socket(loop, event);
        break;
    case URING_SPAWNER:
    case URING_SPAWNER_PIDFD:
        supervisor_on_spawner(loop, event);
        break;
    case URING_READER:
        reading_on_reader(loop, event);
        break;
    case URING_OUTPUT_PIPE:
        supervisor_on_output(loop, event);
        break;
    case URING_LOG:
        log_written(&loop->reactor.log, event->result);
        break;
    case URING_SIGNAL:
        on_signal(loop, event);
        break;
    case URING_CANCEL:
        break;
    case URING_NONE:
    case URING_OP_COUNT:
        mr_unreachable("unreachable");
    }
}

/* True: there may be more. Clients who send large bodies could fill all receive buffers each pass,
 * and what is in them has to be put somewhere. */
static bool events_handle(struct loop *loop)
{
    struct uring_event events[EVENTS_PER_REAP];
    uint64_t received = loop->front.counts.received_byte_count;
    for (uint32_t i = 0; i < REAPS_PER_PASS; i++) {
        uint32_t count = uring_reap(loop->reactor.uring, events, EVENTS_PER_REAP);
        for (uint32_t k = 0; k < count; k++)
            on_event(loop, &events[k]);
        if (count < EVENTS_PER_REAP)
            return false;
        if (loop->front.counts.received_byte_count - received >= RECEIVED_PER_PASS_BYTES)
            break;
    }
    return true;
}

/* ---- one pass ------------------------------------------------------------------------------ */

static bool worker_is_heard(const struct worker *worker)
{
    return worker->pid > 0 && !worker->is_corrupt && !worker->is_paused;
}

/* The sleeper's second look: whatever a worker may have published before it saw us asleep. */
static bool news_wait(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (worker_is_heard(&loop->workers[i]) && !ring_is_empty(&loop->workers[i].replies))
            return true;
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        if (pipeline_can_offer(loop, &loop->pipelines[i]))
            return true;
    return false;
}

/* Room in a request ring matters only to a run that waits for it. */
static uint32_t bell_interests(const struct loop *loop)
{
    uint32_t interests = DOORBELL_WORK;
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        if (loop->pipelines[i].queue_first)
            interests |= DOORBELL_SPACE;
    return interests;
}

static void bells_arm(struct loop *loop)
{
    uint32_t interests = bell_interests(loop);
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (worker_is_heard(&loop->workers[i]))
            doorbell_arm(&loop->workers[i].own_bell, interests);
}

static void bells_disarm(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (worker_is_heard(&loop->workers[i]))
            doorbell_disarm(&loop->workers[i].own_bell);
}

/* Submits what the last pass queued, and sleeps unless there is more to do at once. The sleeper's
 * protocol of shm/doorbell.h. */
static int loop_wait(struct loop *loop, bool busy)
{
    if (busy)
        return uring_wait(loop->reactor.uring, 0);
    uint64_t timeout_ns = UINT64_MAX;
    uint64_t next_ms = timers_next_ms(&loop->reactor.timers);
    if (next_ms != UINT64_MAX)
        timeout_ns =
            next_ms > loop->reactor.now_ms ? (next_ms - loop->reactor.now_ms) * 1000000 : 0;
    bells_arm(loop);
    if (news_wait(loop))
        timeout_ns = 0;
    else
        loop->reactor.wait_count++;
    int rc = uring_wait(loop->reactor.uring, timeout_ns);
    bells_disarm(loop);
    return rc;
}

static void log_write(struct loop *loop)
{
    const char *bytes;
    if (!log_waits(&loop->reactor.log))
        return;
    size_t count = log_take(&loop->reactor.log, &bytes);
    if (count > 0)
        uring_write(loop->reactor.uring, loop->reactor.log.fd, bytes, (uint32_t)count,
                    (struct uring_ref){URING_LOG, 0, 0});
}

/* What of its bells and records was good for nothing. One bell for records that are good for a run
 * is as it should be. */
static void noise_hear(struct loop *loop, struct worker *worker, uint32_t record_count)
{
    uint32_t records = worker->noise_records, bells = worker->bells_heard;
    worker->noise_records = worker->bells_heard = 0;
    if (bells > 0 && record_count > records)
        bells--;
    if (bells + records > 0)
        noise_of_worker(loop, worker, bells * NOISE_BELL + records * NOISE_RECORD);
}

static uint32_t hear(struct loop *loop, struct worker *worker)
{
    uint32_t count = worker_drain(loop, worker);
    if ((worker->bells_heard | worker->noise_records) != 0)
        noise_hear(loop, worker, count);
    return count;
}

bool loop_pass(struct loop *loop)
{
    uint32_t drained = 0, sent;
    loop->reactor.pass++;
    loop->reactor.pass_count++;
    reactor_clocks_read(&loop->reactor);
    bool more = events_handle(loop);
    for (uint32_t i = 0; i < loop->worker_count; i++)
        if (worker_is_heard(&loop->workers[i]))
            drained += hear(loop, &loop->workers[i]);
    for (uint32_t i = 0; i < loop->pipeline_count; i++)
        if (loop->pipelines[i].queue_first)
            pipeline_schedule(loop, &loop->pipelines[i]);
    timers_run(loop);
    if (!loop->start_is_said)
        loop_start_check(loop);
    if (loop->state != LOOP_SERVING)
        loop_stop_check(loop);
    sent = front_flush(&loop->front);
    if (loop->input.going_count > 0)
        more |= input_memory_sweep(&loop->input);
    for (uint32_t i = 0; i < loop->worker_count; i++)
        worker_ring(&loop->workers[i]);
    log_write(loop);
    return more || drained > 0 || sent > 0;
}

/* How long everything else had to wait for this pass. */
static void pass_time(struct loop *loop)
{
    buckets_add(&loop->reactor.pass_times, &bucket_scale_passes,
                clock_now_ns() - loop->reactor.now_ns);
}

/* The write of the log that is with the kernel ends before the rest is written directly. */
static void log_settle(struct loop *loop)
{
    struct uring_event events[EVENTS_PER_REAP];
    for (uint32_t i = 0; i < LOG_SETTLE_TRIES && loop->reactor.log.write_in_flight; i++) {
        if (uring_wait(loop->reactor.uring, 10 * 1000000) < 0)
            return;
        uint32_t count = uring_reap(loop->reactor.uring, events, EVENTS_PER_REAP);
        for (uint32_t k = 0; k < count; k++)
            if (events[k].ref.op == URING_LOG)
                log_written(&loop->reactor.log, events[k].result);
    }
}

void loop_run(struct loop *loop)
{
    bool busy = true;
    reactor_clocks_read(&loop->reactor);
    loop->reactor.started_ms = loop->reactor.now_ms;
    signal_read(loop);
    listener_arm(&loop->front);
    reading_start(loop);
    supervisor_start(loop);
    while (loop->state != LOOP_STOPPED) {
        int rc = loop_wait(loop, busy);
        if (rc < 0) {
            log_line(&loop->reactor.log, LEVEL_ERROR, "io_uring_failed", "error=\"%s\"",
                     strerror(-rc));
            loop->exit_code = EXIT_CODE_IO_URING;
            break;
        }
        busy = loop_pass(loop);
        pass_time(loop);
    }
    supervisor_say_suppressed(loop);
    log_settle(loop);
}
