/* SPDX-License-Identifier: MIT */
/* reading.c - who waits for the reader, what it is asked, and what is done when it fails. */
#include "dispatcher/reader/reading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reactor/body.h"
#include "dispatcher/reader/read_job.h"
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

static void reading_next_ask(struct reading *reading);

static void reading_listen_to(struct reading *reading);
static uint32_t reading_values_estimate(const char *data, size_t bytes);
static void reading_job_end(struct reading *reading, struct read_job *job);
static void reading_job_refuse(struct reading *reading, struct read_job *job, int status,
                               const char *reason);
static void reading_all_refuse(struct reading *reading, const char *reason);
static void reading_lost(struct reading *reading, const char *reason);
static void reading_reopen(struct reading *reading);

int reading_init(struct reading *reading, const struct reading_options *options)
{
    *reading = (struct reading){.config = options->config,
                                .reactor = options->reactor,
                                .input = options->input,
                                .ops = options->ops,
                                .pack_fd = -1,
                                .timer = {.kind = TIMER_READER}};
    servant_init(&reading->reader);
    return timers_reserve(&reading->reactor->timers, 1);
}

void reading_finish(struct reading *reading)
{
    servant_close(&reading->reader);
    descriptor_close(&reading->pack_fd);
}

void reading_start(struct reading *reading)
{
    if (reading->reader.state == SERVANT_RUNNING)
        reading_listen_to(reading);
}

static struct uring_ref reading_ref(const struct reading *reading)
{
    return (struct uring_ref){URING_READER, 0, reading->reader.generation};
}

static void reading_listen_to(struct reading *reading)
{
    reading->opened_ms = reading->reactor->now_ms;
    reading->cannot_open = false;
    uring_poll(reading->reactor->uring, reading->reader.socket, reading_ref(reading));
}

/* ---- which bodies ------------------------------------------------------------------------- */

bool reading_takes(struct reading *reading, const struct body *body, const char *data, size_t bytes)
{
    if (body->is_file || bytes > READ_INLINE_BYTES_MAX)
        return true;
    if (bytes <= READ_INLINE_TINY_BYTES)
        return false;
    uint32_t values = reading_values_estimate(data, bytes);
    if (values > READ_INLINE_VALUE_COUNT_MAX)
        return true;
    uint64_t ns = bytes * NS_PER_BYTE + values * NS_PER_VALUE;
    if (reading->inline_pass != reading->reactor->pass) {
        reading->inline_pass = reading->reactor->pass;
        reading->inline_ns = 0;
    }
    if (ns > READ_INLINE_SMALL_NS && reading->inline_ns + ns > READ_INLINE_PASS_NS_MAX)
        return true;
    reading->inline_ns += ns;
    return false;
}

/* Values are told apart by these, and so are words of a text: an estimate from above. */
static uint32_t reading_values_estimate(const char *data, size_t bytes)
{
    uint32_t count = 1;
    for (size_t i = 0; i < bytes; i++)
        count += (uint32_t)(data[i] == ',') + (uint32_t)((data[i] & 0xdf) == '[');
    return count;
}

/* ---- who waits ---------------------------------------------------------------------------- */

static void reading_enqueue(struct reading *reading, struct read_job *job)
{
    job->next = NULL;
    job->previous = reading->last[job->level];
    if (job->previous)
        job->previous->next = job;
    else
        reading->first[job->level] = job;
    reading->last[job->level] = job;
    reading->waiting_count++;
}

static void reading_dequeue(struct reading *reading, struct read_job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        reading->first[job->level] = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        reading->last[job->level] = job->previous;
    job->next = job->previous = NULL;
    mr_assert(reading->waiting_count > 0);
    reading->waiting_count--;
}

/* At a level the one that came first. */
static struct read_job *reading_best_waiting(const struct reading *reading)
{
    struct read_job *best = NULL;
    for (uint32_t i = 0; i < READ_LEVEL_COUNT; i++) {
        struct read_job *first = reading->first[i];
        if (first && (!best || first->rank_ms < best->rank_ms))
            best = first;
    }
    return best;
}

/* A body's size as time that it came later. */
static void reading_rank_set(struct read_job *job, uint64_t now_ms, uint64_t bytes)
{
    static const struct {
        uint64_t bytes, ms;
    } levels[READ_LEVEL_COUNT] = {
        {256 * 1024, 0}, {1024 * 1024, 64}, {4 * 1024 * 1024, 256}, {UINT64_MAX, 1024}};
    while (bytes > levels[job->level].bytes)
        job->level++;
    job->rank_ms = now_ms + levels[job->level].ms;
}

/* ---- how it ends -------------------------------------------------------------------------- */

void reading_drop(struct reading *reading, struct read_job *job)
{
    reading_job_end(reading, job);
}

void reading_expire(struct reading *reading, struct read_job *job)
{
    reading_job_refuse(reading, job, 504, "its time was over before");
}

void reading_stop(struct reading *reading)
{
    reading_all_refuse(reading, stopping);
}

/* The reader has nothing to do with it any more. */
static void reading_job_end(struct reading *reading, struct read_job *job)
{
    if (job->state == READ_JOB_WAITING)
        reading_dequeue(reading, job);
    else if (reading->job == job)
        reading->job = NULL;
    job->state = READ_JOB_NONE;
    body_drop(&job->body, reading->input);
}

static void reading_job_refuse(struct reading *reading, struct read_job *job, int status,
                               const char *reason)
{
    reading_job_end(reading, job);
    reading->ops->refused(job, status, reason);
}

/* All that wait, and the one that the reader has. */
static void reading_all_refuse(struct reading *reading, const char *reason)
{
    struct read_job *job;
    if (reading->job)
        reading_job_refuse(reading, reading->job, 503, reason);
    while ((job = reading_best_waiting(reading)) != NULL)
        reading_job_refuse(reading, job, 503, reason);
}

/* ---- asking ------------------------------------------------------------------------------- */

static int reading_ask(struct reading *reading, enum read_kind kind, struct read_request request,
                       const void *rest, size_t bytes, int fd)
{
    request.magic = READ_MAGIC;
    request.kind = kind;
    request.number = reading->number;
    int rc = reader_ask(&reading->reader, &request, rest, bytes, fd);
    if (rc < 0 || kind == READ_DROP)
        return rc;
    reading->asked = kind;
    reading->was_put_off = false;
    timer_set(&reading->reactor->timers, &reading->timer,
              reading->reactor->now_ms + READ_TIMEOUT_MS);
    return 0;
}

/* Gives the body to the reader, which has it alone then: what its memory takes to be freed is not
 * the loop's time. */
static int reading_body_ask(struct reading *reading, struct read_job *job)
{
    struct read_request request = {.bytes = job->body.kept.bytes};
    int fd = job->body.fd, rc = 0;
    if (!job->body.is_file) {
        fd = memfd_create("millrace-body", MFD_CLOEXEC);
        if (fd == -1)
            return -errno;
        rc = body_write(fd, job->body.kept.data, job->body.kept.bytes);
    }
    reading->number++;
    if (rc == 0)
        rc = reading_ask(reading, READ_BODY, request, NULL, 0, fd);
    if (!job->body.is_file)
        close(fd);
    else if (rc == 0)
        body_hand_over(&job->body, reading->input);
    return rc;
}

static int reading_pack_ask(struct reading *reading, struct read_job *job)
{
    const struct variables *variables = job->variables;
    struct read_request request = {.bytes = variables->hello_bytes};
    memcpy(request.run_id, job->birth.id, RUN_ID_BYTES);
    reading->pack_fd = memfd_create("millrace-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (reading->pack_fd == -1)
        return -errno;
    return reading_ask(reading, READ_PACK, request, variables->hello, variables->hello_bytes,
                       reading->pack_fd);
}

/* What a reader cannot be asked for: the world's refusal, of this request alone. */
static void reading_ask_failed(struct reading *reading, struct read_job *job, int rc)
{
    char reason[128];
    snprintf(reason, sizeof(reason), "the process that reads it cannot be asked (%s)",
             strerror(-rc));
    reading_job_refuse(reading, job, 503, reason);
}

/* Too many descriptors of this user are on their way through sockets, whoever sends them: that is
 * over some time. */
static void reading_put_off(struct reading *reading)
{
    if (!reading->was_put_off)
        log_event(&reading->reactor->log, LEVEL_WARNING, "reader_put_off",
                  LOG_NATURAL("waiting", reading->waiting_count),
                  LOG_TEXT("reason", strerror(ETOOMANYREFS)));
    reading->was_put_off = true;
    timer_set(&reading->reactor->timers, &reading->timer, reading->reactor->now_ms + ASK_AGAIN_MS);
}

/* The reader has the body, and could not be asked to pack it. */
static bool reading_is_put_off(const struct reading *reading)
{
    return reading->asked == READ_NONE && reading->job && reading->job->state == READ_JOB_PACKING;
}

static void reading_lost(struct reading *reading, const char *reason);

static void reading_next_ask(struct reading *reading)
{
    struct read_job *job;
    if (reading_is_put_off(reading))
        return;
    /* Bounded: each turn ends a job, or is the last. */
    while (reading->asked == READ_NONE && reading->reader.state == SERVANT_RUNNING &&
           (job = reading_best_waiting(reading)) != NULL) {
        int rc = reading_body_ask(reading, job);
        if (rc == -EPIPE) {
            reading_lost(reading, "it ended");
        } else if (rc == -ETOOMANYREFS) {
            reading_put_off(reading);
            return;
        } else if (rc < 0) {
            reading_ask_failed(reading, job, rc);
        } else {
            reading_dequeue(reading, job);
            job->state = READ_JOB_PARSING;
            reading->job = job;
        }
    }
}

void reading_begin(struct reading *reading, struct read_job *job)
{
    reading->body_count++;
    job->state = READ_JOB_WAITING;
    job->level = 0;
    uint64_t now_ms = reading->reactor->now_ms;
    job->due_ms = job->timeout_ms > 0 ? now_ms + job->timeout_ms : UINT64_MAX;
    reading_rank_set(job, now_ms, job->body.kept.bytes);
    reading_enqueue(reading, job);
    if (reading->is_stopping)
        reading_job_refuse(reading, job, 503, stopping);
    else if (reading->cannot_open)
        reading_job_refuse(reading, job, 503, "the process that reads it cannot be started");
    else
        reading_next_ask(reading);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void reading_pack_begin(struct reading *reading, struct read_job *job)
{
    int rc = reading_pack_ask(reading, job);
    if (rc == -EPIPE) {
        reading_lost(reading, "it ended");
    } else if (rc < 0) {
        descriptor_close(&reading->pack_fd);
        if (rc == -ETOOMANYREFS)
            reading_put_off(reading);
        else
            reading_ask_failed(reading, job, rc);
    }
}

/* What was put off. Where that fails for good, the next one's turn has come. */
static void reading_pack_again(struct reading *reading)
{
    reading_pack_begin(reading, reading->job);
    reading_next_ask(reading);
}

static void reading_on_body(struct reading *reading, struct read_job *job,
                            const struct read_answer *answer)
{
    struct api_error error = {0};
    struct run_request request = {.async_run = answer->async_run,
                                  .wait_for_resources = answer->wait_for_resources,
                                  .final_line = answer->final_line,
                                  .scheduling = {.class = answer->class}};
    if (answer->has_pipeline)
        request.pipeline = answer->pipeline;
    if (answer->has_callback_url)
        request.callback_url = answer->callback_url;
    if (answer->tenant[0] != '\0')
        request.scheduling.tenant = answer->tenant;
    if (answer->affinity[0] != '\0')
        request.scheduling.affinity = answer->affinity;
    if (answer->result == -EINVAL)
        read_answer_error(answer, &error);
    /* Its owner may give it back when it is answered. */
    struct body body = job->body;
    job->body = (struct body){0};
    reading->job = NULL;
    if (!reading->ops->parsed(job, &request, answer->result, &error)) {
        body_drop(&body, reading->input);
        return;
    }
    reading->job = job;
    job->body = body;
    job->state = READ_JOB_PACKING;
    reading_pack_begin(reading, job);
}

/* The whole payload of a checked size, as memory. */
static int reading_payload_copy(int fd, size_t bytes, uint8_t **out)
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

static void reading_on_packed(struct reading *reading, struct read_job *job,
                              const struct read_answer *answer, int *fd)
{
    struct api_error error = {0};
    struct read_payload payload = {
        .bytes = answer->bytes, .reference_bytes = answer->reference_bytes, .fd = -1};
    const size_t bytes = payload.bytes + payload.reference_bytes;
    int rc = answer->result;
    if (rc == -EINVAL)
        read_answer_error(answer, &error);
    if (rc == 0 && bytes <= READ_COPY_BYTES_MAX)
        rc = reading_payload_copy(*fd, bytes, &payload.memory);
    else if (rc == 0 && !input_memory_fits_file(reading->input))
        rc = -ENOMEM;
    else if (rc == 0)
        payload.fd = *fd, *fd = -1;
    struct body body = job->body;
    job->body = (struct body){0};
    reading->job = NULL;
    job->state = READ_JOB_NONE;
    payload.body_room = body.kept.room;
    reading->ops->packed(job, &payload, rc, &error);
    body_drop(&body, reading->input);
}

/* False: the reader has been given up. */
static bool reading_on_answer(struct reading *reading, const struct read_answer *answer)
{
    enum read_kind asked = reading->asked;
    const char *wrong = asked == READ_NONE ? "it answers what was not asked"
                                           : read_answer_check(answer, asked, reading->number);
    if (!wrong && asked == READ_PACK && answer->result == 0 &&
        !read_file_is_sealed(reading->pack_fd, answer->bytes + answer->reference_bytes))
        wrong = "what it packed can still be changed, or has another size";
    if (wrong) {
        reading_lost(reading, wrong);
        return false;
    }
    struct read_job *job = reading->job;
    int fd = reading->pack_fd;
    reading->asked = READ_NONE;
    reading->pack_fd = -1;
    timer_clear(&reading->reactor->timers, &reading->timer);
    if (asked == READ_PACK && job)
        reading_on_packed(reading, job, answer, &fd);
    else if (asked == READ_BODY && job)
        reading_on_body(reading, job, answer);
    if (fd >= 0 && !job) { /* it may be large */
        input_memory_take_file(reading->input);
        input_memory_drop(reading->input, &(struct input_file){.fd = fd, .is_sealed = true});
        fd = -1;
    }
    descriptor_close(&fd);
    /* It holds a body that nobody wants. */
    if (asked == READ_BODY && answer->result == 0 && reading->asked == READ_NONE &&
        !reading_is_put_off(reading) && reading->reader.state == SERVANT_RUNNING &&
        reading_ask(reading, READ_DROP, (struct read_request){0}, NULL, 0, -1) < 0)
        reading_lost(reading, "it ended");
    reading_next_ask(reading);
    return reading->reader.state == SERVANT_RUNNING;
}

/* ---- its end ------------------------------------------------------------------------------ */

void reading_on_timer(struct reading *reading)
{
    struct servant *reader = &reading->reader;
    uint64_t open_ms = reading->opened_ms + REOPEN_MS;
    if (reader->state == SERVANT_RUNNING && reading->asked != READ_NONE)
        reading_lost(reading, "it did not answer in time");
    else if (reading_is_put_off(reading))
        reading_pack_again(reading);
    else if (reader->state == SERVANT_RUNNING)
        reading_next_ask(reading);
    else if (reader->state == SERVANT_ENDING && !servant_is_gone(reader))
        timer_set(&reading->reactor->timers, &reading->timer,
                  reading->reactor->now_ms + GONE_LOOK_MS);
    else if (reader->state == SERVANT_NONE && reading->reactor->now_ms < open_ms)
        timer_set(&reading->reactor->timers, &reading->timer, open_ms);
    else if (reader->state == SERVANT_NONE)
        reading_reopen(reading);
}

void reading_on_reader(struct reading *reading, const struct uring_event *event)
{
    if (reading->reader.state != SERVANT_RUNNING || event->result <= 0 ||
        event->ref.generation != reading->reader.generation)
        return;
    /* One answer at most is awaited, so what follows it is a fault, and ends this. */
    for (;;) {
        int rc = reader_hear(&reading->reader, &reading->answer);
        if (rc == 0)
            break;
        if (rc < 0) {
            reading_lost(reading, rc == -EPIPE ? "it ended" : "it sent what is no answer");
            return;
        }
        if (!reading_on_answer(reading, &reading->answer))
            return;
    }
    if (!event->more)
        uring_poll(reading->reactor->uring, reading->reader.socket, event->ref);
}

static void reading_lost(struct reading *reading, const char *reason)
{
    struct read_job *job = reading->job;
    log_event(&reading->reactor->log, LEVEL_WARNING, "reader_lost",
              LOG_INTEGER("pid", reading->reader.pid),
              LOG_NATURAL("waiting", reading->waiting_count), LOG_TEXT("reason", reason));
    reading->lost_count++;
    uring_cancel(reading->reactor->uring, reading_ref(reading));
    servant_kill(&reading->reader);
    reading->asked = READ_NONE;
    descriptor_close(&reading->pack_fd);
    timer_set(&reading->reactor->timers, &reading->timer, reading->reactor->now_ms + GONE_LOOK_MS);
    if (job)
        reading_job_refuse(reading, job, 500, "the process that read it failed");
}

static void reading_reopen(struct reading *reading)
{
    if (reading->is_stopping) {
        reading_all_refuse(reading, stopping);
        return;
    }
    int rc = reader_open(&reading->reader, reading->config->body_bytes_max);
    if (rc < 0) {
        log_event(&reading->reactor->log, LEVEL_ERROR, "reader_failed",
                  LOG_TEXT("error", strerror(-rc)));
        reading->cannot_open = true;
        reading_all_refuse(reading, "the process that reads it cannot be started");
        timer_set(&reading->reactor->timers, &reading->timer,
                  reading->reactor->now_ms + REOPEN_FAILED_MS);
        return;
    }
    log_event(&reading->reactor->log, LEVEL_INFO, "reader_start",
              LOG_INTEGER("pid", reading->reader.pid));
    reading_listen_to(reading);
    reading_next_ask(reading);
}
