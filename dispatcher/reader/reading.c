/* SPDX-License-Identifier: MIT */
/* reading.c - who waits for the reader, what it is asked, and what is done when it fails. */
#include "dispatcher/reader/reading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatcher/api/api.h"
#include "dispatcher/http/conn.h"
#include "dispatcher/http/response.h"
#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reactor/body.h"
#include "dispatcher/reader/read_job.h"
#include "dispatcher/server/loop.h"
#include "shm/descriptors.h"

/* A reader that ended is followed by another one so long after its start, at the soonest. */
#define REOPEN_MS 100u
#define REOPEN_FAILED_MS 1000u

/* Before it is asked again what could not be sent. */
#define ASK_AGAIN_MS 50u

/* How often it is looked whether the last one is gone. */
#define GONE_LOOK_MS 5u

/* What reading takes on the slower of two machines, per byte and per value. */
#define NS_PER_BYTE 3u
#define NS_PER_VALUE 180u

static const char stopping[] = "the server is stopping";

static void next_ask(struct loop *loop);

static struct uring_ref ref_of(const struct reading *reading)
{
    return (struct uring_ref){URING_READER, 0, reading->reader.generation};
}

void reading_init(struct reading *reading)
{
    *reading = (struct reading){.pack_fd = -1, .timer = {.kind = TIMER_READER}};
    reader_init(&reading->reader);
}

static void listen_to(struct loop *loop)
{
    struct reading *reading = &loop->reading;
    reading->opened_ms = loop->reactor.now_ms;
    reading->cannot_open = false;
    uring_poll(loop->reactor.uring, reading->reader.socket, ref_of(reading));
}

void reading_start(struct loop *loop)
{
    if (loop->reading.reader.state == READER_RUNNING)
        listen_to(loop);
}

/* ---- which bodies ------------------------------------------------------------------------- */

/* Values are told apart by these, and so are words of a text: an estimate from above. */
static uint32_t values_estimate(const char *body, size_t bytes)
{
    uint32_t count = 1;
    for (size_t i = 0; i < bytes; i++)
        count += (uint32_t)(body[i] == ',') + (uint32_t)((body[i] & 0xdf) == '[');
    return count;
}

bool reading_takes(struct loop *loop, const struct conn *conn, const char *body, size_t bytes)
{
    struct reading *reading = &loop->reading;
    if (conn->body.is_file || bytes > READ_INLINE_BYTES_MAX)
        return true;
    if (bytes <= READ_INLINE_TINY_BYTES)
        return false;
    uint32_t values = values_estimate(body, bytes);
    if (values > READ_INLINE_VALUE_COUNT_MAX)
        return true;
    uint64_t ns = bytes * NS_PER_BYTE + values * NS_PER_VALUE;
    if (reading->inline_pass != loop->reactor.pass) {
        reading->inline_pass = loop->reactor.pass;
        reading->inline_ns = 0;
    }
    if (ns > READ_INLINE_SMALL_NS && reading->inline_ns + ns > READ_INLINE_PASS_NS_MAX)
        return true;
    reading->inline_ns += ns;
    return false;
}

/* ---- who waits ---------------------------------------------------------------------------- */

static void enqueue(struct reading *reading, struct conn *conn)
{
    struct read_job *job = conn->read_job;
    job->next = NULL;
    job->previous = reading->last[job->level];
    if (job->previous)
        job->previous->read_job->next = conn;
    else
        reading->first[job->level] = conn;
    reading->last[job->level] = conn;
    reading->waiting_count++;
}

static void dequeue(struct reading *reading, struct conn *conn)
{
    struct read_job *job = conn->read_job;
    if (job->previous)
        job->previous->read_job->next = job->next;
    else
        reading->first[job->level] = job->next;
    if (job->next)
        job->next->read_job->previous = job->previous;
    else
        reading->last[job->level] = job->previous;
    job->next = job->previous = NULL;
    mr_assert(reading->waiting_count > 0);
    reading->waiting_count--;
}

/* At a level the one that came first. */
static struct conn *best_waiting(const struct reading *reading)
{
    struct conn *best = NULL;
    for (uint32_t i = 0; i < READ_LEVEL_COUNT; i++) {
        struct conn *first = reading->first[i];
        if (first && (!best || first->read_job->rank_ms < best->read_job->rank_ms))
            best = first;
    }
    return best;
}

/* A body's size as time that it came later. */
static void rank_set(struct read_job *job, uint64_t now_ms, uint64_t bytes)
{
    static const struct {
        uint64_t bytes, ms;
    } levels[READ_LEVEL_COUNT] = {
        {256 * 1024, 0}, {1024 * 1024, 64}, {4 * 1024 * 1024, 256}, {UINT64_MAX, 1024}};
    while (bytes > levels[job->level].bytes)
        job->level++;
    job->rank_ms = now_ms + levels[job->level].ms;
}

static uint64_t due_of(const struct loop *loop, const struct conn *conn)
{
    const struct config *config = loop->config;
    const uint32_t limits[] = {conn->request.timeout_ms, config->run_timeout_ms,
                               config->queue_timeout_ms};
    uint64_t due_ms = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++)
        if (limits[i] > 0 && loop->reactor.now_ms + limits[i] < due_ms)
            due_ms = loop->reactor.now_ms + limits[i];
    return due_ms;
}

/* ---- how it ends -------------------------------------------------------------------------- */

/* It is the connection's own again, which has been or is about to be answered. */
static void job_end(struct loop *loop, struct conn *conn)
{
    struct reading *reading = &loop->reading;
    if (!conn->read_job)
        return; /* the answer closed the connection */
    if (conn->read_job->state == READ_JOB_WAITING)
        dequeue(reading, conn);
    else if (reading->conn == conn)
        reading->conn = NULL;
    free(conn->read_job);
    conn->read_job = NULL;
    body_drop(&conn->body, &loop->input);
}

static void job_refuse(struct loop *loop, struct conn *conn, int status, const char *reason)
{
    char body[256];
    int count =
        snprintf(body, sizeof(body), "{\"detail\":\"The request was not read: %s.\"}\n", reason);
    mr_assert(count > 0 && (size_t)count < sizeof(body));
    job_end(loop, conn);
    front_count_refusal(&loop->front, REQUEST_REFUSAL_READER);
    response_send(&loop->front, conn,
                  &(struct response){.status = status,
                                     .body = body,
                                     .body_bytes = (size_t)count,
                                     .retry_after_s = status == 503 ? 1 : 0});
}

void reading_drop(struct loop *loop, struct conn *conn)
{
    job_end(loop, conn);
}

void reading_expire(struct loop *loop, struct conn *conn)
{
    job_refuse(loop, conn, 504, "its time was over before");
}

/* All that wait, and the one that the reader has. */
static void all_refuse(struct loop *loop, const char *reason)
{
    struct conn *conn;
    if (loop->reading.conn)
        job_refuse(loop, loop->reading.conn, 503, reason);
    while ((conn = best_waiting(&loop->reading)) != NULL)
        job_refuse(loop, conn, 503, reason);
}

void reading_stop(struct loop *loop)
{
    all_refuse(loop, stopping);
}

/* ---- asking ------------------------------------------------------------------------------- */

static int ask(struct loop *loop, enum read_kind kind, struct read_request request,
               const void *rest, size_t bytes, int fd)
{
    struct reading *reading = &loop->reading;
    request.magic = READ_MAGIC;
    request.kind = kind;
    request.number = reading->number;
    int rc = reader_ask(&reading->reader, &request, rest, bytes, fd);
    if (rc < 0 || kind == READ_DROP)
        return rc;
    reading->asked = kind;
    reading->was_put_off = false;
    timer_set(&loop->reactor.timers, &reading->timer, loop->reactor.now_ms + READ_TIMEOUT_MS);
    return 0;
}

/* Gives the body to the reader, which has it alone then: what its memory takes to be freed is not
 * the loop's time. */
static int body_ask(struct loop *loop, struct conn *conn)
{
    struct reading *reading = &loop->reading;
    struct read_request request = {.bytes = conn->body.kept.bytes};
    int fd = conn->body.fd, rc = 0;
    if (!conn->body.is_file) {
        fd = memfd_create("millrace-body", MFD_CLOEXEC);
        if (fd == -1)
            return -errno;
        rc = body_write(fd, conn->body.kept.data, conn->body.kept.bytes);
    }
    reading->number++;
    if (rc == 0)
        rc = ask(loop, READ_BODY, request, NULL, 0, fd);
    if (!conn->body.is_file)
        close(fd);
    else if (rc == 0)
        body_hand_over(&conn->body, &loop->input);
    return rc;
}

static int pack_ask(struct loop *loop, struct conn *conn)
{
    struct reading *reading = &loop->reading;
    const struct variables *variables = &loop->pipelines[conn->read_job->pipeline_index].variables;
    struct read_request request = {.bytes = variables->hello_bytes};
    memcpy(request.run_id, conn->read_job->run_id, RUN_ID_BYTES);
    reading->pack_fd = memfd_create("millrace-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (reading->pack_fd == -1)
        return -errno;
    return ask(loop, READ_PACK, request, variables->hello, variables->hello_bytes,
               reading->pack_fd);
}

/* What a reader cannot be asked for: the world's refusal, of this request alone. */
static void ask_failed(struct loop *loop, struct conn *conn, int rc)
{
    char reason[128];
    snprintf(reason, sizeof(reason), "the process that reads it cannot be asked (%s)",
             strerror(-rc));
    job_refuse(loop, conn, 503, reason);
}

/* Too many descriptors of this user are on their way through sockets, whoever sends them: that is
 * over some time. */
static void put_off(struct loop *loop)
{
    if (!loop->reading.was_put_off)
        log_line(&loop->reactor.log, LEVEL_WARNING, "reader_put_off", "waiting=%u reason=\"%s\"",
                 loop->reading.waiting_count, strerror(ETOOMANYREFS));
    loop->reading.was_put_off = true;
    timer_set(&loop->reactor.timers, &loop->reading.timer, loop->reactor.now_ms + ASK_AGAIN_MS);
}

/* The reader has the body, and could not be asked to pack it. */
static bool is_put_off(const struct reading *reading)
{
    return reading->asked == READ_NONE && reading->conn &&
           reading->conn->read_job->state == READ_JOB_PACKING;
}

static void lost(struct loop *loop, const char *reason);

static void next_ask(struct loop *loop)
{
    struct reading *reading = &loop->reading;
    struct conn *conn;
    if (is_put_off(reading))
        return;
    /* Bounded: each turn ends a job, or is the last. */
    while (reading->asked == READ_NONE && reading->reader.state == READER_RUNNING &&
           (conn = best_waiting(reading)) != NULL) {
        int rc = body_ask(loop, conn);
        if (rc == -EPIPE) {
            lost(loop, "it ended");
        } else if (rc == -ETOOMANYREFS) {
            put_off(loop);
            return;
        } else if (rc < 0) {
            ask_failed(loop, conn, rc);
        } else {
            dequeue(reading, conn);
            conn->read_job->state = READ_JOB_PARSING;
            reading->conn = conn;
        }
    }
}

void reading_begin(struct loop *loop, struct conn *conn, const char *body, size_t bytes,
                   enum run_mode mode)
{
    struct reading *reading = &loop->reading;
    struct read_job *job = calloc(1, sizeof(*job));
    int rc = job ? 0 : -ENOMEM;
    if (rc == 0 && conn->body.kept.bytes == 0)
        rc = body_append(&conn->body, &loop->input, body, bytes, loop->config->body_bytes_max);
    if (rc < 0) {
        free(job);
        front_count_refusal(&loop->front,
                            rc == -ENOBUFS ? REQUEST_REFUSAL_INPUT_MEMORY : REQUEST_REFUSAL_MEMORY);
        response_overload(&loop->front, conn);
        return;
    }
    loop->metrics.reader_body_count++;
    *job = (struct read_job){.state = READ_JOB_WAITING,
                             .mode = mode,
                             .created_at = loop->reactor.wall_s,
                             .created_ms = loop->reactor.now_ms,
                             .due_ms = due_of(loop, conn)};
    rank_set(job, loop->reactor.now_ms, conn->body.kept.bytes);
    conn->read_job = job;
    enqueue(reading, conn);
    conn_timer_update(&loop->front, conn);
    if (loop->state >= LOOP_STOPPING)
        job_refuse(loop, conn, 503, stopping);
    else if (reading->cannot_open)
        job_refuse(loop, conn, 503, "the process that reads it cannot be started");
    else
        next_ask(loop);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void pack_begin(struct loop *loop, struct conn *conn)
{
    int rc = pack_ask(loop, conn);
    if (rc == -EPIPE) {
        lost(loop, "it ended");
    } else if (rc < 0) {
        descriptor_close(&loop->reading.pack_fd);
        if (rc == -ETOOMANYREFS)
            put_off(loop);
        else
            ask_failed(loop, conn, rc);
    }
}

/* What was put off. Where that fails for good, the next one's turn has come. */
static void pack_again(struct loop *loop)
{
    pack_begin(loop, loop->reading.conn);
    next_ask(loop);
}

static void on_body(struct loop *loop, struct conn *conn, const struct read_answer *answer)
{
    struct api_error error = {0};
    struct run_request request = {.async_run = answer->async_run,
                                  .wait_for_resources = answer->wait_for_resources,
                                  .final_line = answer->final_line};
    if (answer->has_pipeline)
        request.pipeline = answer->pipeline;
    if (answer->result == -EINVAL)
        read_answer_error(answer, &error);
    if (!api_run_read(loop, conn, &request, answer->result, &error)) {
        job_end(loop, conn);
        return;
    }
    conn->read_job->state = READ_JOB_PACKING;
    pack_begin(loop, conn);
}

/* The whole payload of a checked size, as memory. */
static int payload_copy(int fd, size_t bytes, uint8_t **out)
{
    uint8_t *payload = malloc(bytes);
    if (!payload)
        return -ENOMEM;
    for (size_t done = 0; done < bytes;) {
        ssize_t count = pread(fd, payload + done, bytes - done, (off_t)done);
        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0) {
            free(payload);
            return -ENOMEM;
        }
        done += (size_t)count;
    }
    *out = payload;
    return 0;
}

static void on_packed(struct loop *loop, struct conn *conn, const struct read_answer *answer,
                      int *fd)
{
    struct api_error error = {0};
    struct run_payload payload = {.bytes = answer->bytes, .fd = -1};
    int rc = answer->result;
    if (rc == -EINVAL)
        read_answer_error(answer, &error);
    if (rc == 0 && payload.bytes <= READ_COPY_BYTES_MAX)
        rc = payload_copy(*fd, payload.bytes, &payload.memory);
    else if (rc == 0 && !input_memory_fits_file(&loop->input))
        rc = -ENOMEM;
    else if (rc == 0)
        payload.fd = *fd, *fd = -1;
    api_run_packed(loop, conn, &payload, rc, &error);
    job_end(loop, conn);
}

/* False: the reader has been given up. */
static bool on_answer(struct loop *loop, const struct read_answer *answer)
{
    struct reading *reading = &loop->reading;
    enum read_kind asked = reading->asked;
    const char *wrong = asked == READ_NONE ? "it answers what was not asked"
                                           : read_answer_check(answer, asked, reading->number);
    if (!wrong && asked == READ_PACK && answer->result == 0 &&
        !read_file_is_sealed(reading->pack_fd, answer->bytes))
        wrong = "what it packed can still be changed, or has another size";
    if (wrong) {
        lost(loop, wrong);
        return false;
    }
    struct conn *conn = reading->conn;
    int fd = reading->pack_fd;
    reading->asked = READ_NONE;
    reading->pack_fd = -1;
    timer_clear(&loop->reactor.timers, &reading->timer);
    if (asked == READ_PACK && conn)
        on_packed(loop, conn, answer, &fd);
    else if (asked == READ_BODY && conn)
        on_body(loop, conn, answer);
    if (fd >= 0 && !conn) { /* it may be large */
        input_memory_take_file(&loop->input);
        input_memory_drop(&loop->input, &(struct input_file){.fd = fd, .is_sealed = true});
        fd = -1;
    }
    descriptor_close(&fd);
    /* It holds a body that nobody wants. */
    if (asked == READ_BODY && answer->result == 0 && reading->asked == READ_NONE &&
        !is_put_off(reading) && reading->reader.state == READER_RUNNING &&
        ask(loop, READ_DROP, (struct read_request){0}, NULL, 0, -1) < 0)
        lost(loop, "it ended");
    next_ask(loop);
    return reading->reader.state == READER_RUNNING;
}

/* ---- its end ------------------------------------------------------------------------------ */

static void lost(struct loop *loop, const char *reason)
{
    struct reading *reading = &loop->reading;
    struct conn *conn = reading->conn;
    log_line(&loop->reactor.log, LEVEL_WARNING, "reader_lost", "pid=%d waiting=%u reason=\"%s\"",
             (int)reading->reader.pid, reading->waiting_count, reason);
    loop->metrics.reader_lost_count++;
    uring_cancel(loop->reactor.uring, ref_of(reading));
    reader_kill(&reading->reader);
    reading->asked = READ_NONE;
    descriptor_close(&reading->pack_fd);
    timer_set(&loop->reactor.timers, &reading->timer, loop->reactor.now_ms + GONE_LOOK_MS);
    if (conn)
        job_refuse(loop, conn, 500, "the process that read it failed");
}

static void reopen(struct loop *loop)
{
    struct reading *reading = &loop->reading;
    if (loop->state >= LOOP_STOPPING) {
        all_refuse(loop, stopping);
        return;
    }
    int rc = reader_open(&reading->reader, loop->config->body_bytes_max);
    if (rc < 0) {
        log_line(&loop->reactor.log, LEVEL_ERROR, "reader_failed", "error=\"%s\"", strerror(-rc));
        reading->cannot_open = true;
        all_refuse(loop, "the process that reads it cannot be started");
        timer_set(&loop->reactor.timers, &reading->timer, loop->reactor.now_ms + REOPEN_FAILED_MS);
        return;
    }
    log_line(&loop->reactor.log, LEVEL_INFO, "reader_start", "pid=%d", (int)reading->reader.pid);
    listen_to(loop);
    next_ask(loop);
}

void reading_on_timer(struct loop *loop)
{
    struct reading *reading = &loop->reading;
    struct reader *reader = &reading->reader;
    uint64_t open_ms = reading->opened_ms + REOPEN_MS;
    if (reader->state == READER_RUNNING && reading->asked != READ_NONE)
        lost(loop, "it did not answer in time");
    else if (is_put_off(reading))
        pack_again(loop);
    else if (reader->state == READER_RUNNING)
        next_ask(loop);
    else if (reader->state == READER_ENDING && !reader_is_gone(reader))
        timer_set(&loop->reactor.timers, &reading->timer, loop->reactor.now_ms + GONE_LOOK_MS);
    else if (reader->state == READER_NONE && loop->reactor.now_ms < open_ms)
        timer_set(&loop->reactor.timers, &reading->timer, open_ms);
    else if (reader->state == READER_NONE)
        reopen(loop);
}

void reading_on_reader(struct loop *loop, const struct uring_event *event)
{
    struct reading *reading = &loop->reading;
    struct read_answer answer;
    if (reading->reader.state != READER_RUNNING || event->result <= 0 ||
        event->ref.generation != reading->reader.generation)
        return;
    /* One answer at most is awaited, so what follows it is a fault, and ends this. */
    for (;;) {
        int rc = reader_hear(&reading->reader, &answer);
        if (rc == 0)
            break;
        if (rc < 0) {
            lost(loop, rc == -EPIPE ? "it ended" : "it sent what is no answer");
            return;
        }
        if (!on_answer(loop, &answer))
            return;
    }
    if (!event->more)
        uring_poll(loop->reactor.uring, reading->reader.socket, event->ref);
}
