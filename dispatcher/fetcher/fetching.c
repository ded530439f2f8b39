/* SPDX-License-Identifier: MIT */
/* fetching.c - who waits for the fetcher, what it is asked, and what is done when it fails. */
#include "dispatcher/fetcher/fetching.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dispatcher/fetcher/fetch_url.h"
#include "dispatcher/fetcher/fetcher.h"
#include "dispatcher/text/text.h"
#include "shm/descriptors.h"

/* One that ended, or could not be started, is followed by another so long afterwards. */
#define REOPEN_MS 200u

/* How often it is looked whether the last one is gone; before it is asked again what could not be
 * sent; and whether something is late. */
#define GONE_LOOK_MS 5u
#define ASK_AGAIN_MS 50u
#define LOOK_MS 1000u

/* Of what it says, in a pass; the rest in the next one. */
#define HEAR_COUNT_MAX (4u * FETCH_COUNT_MAX)
#define HEAR_AGAIN_MS 1u

/* Without a word, while it has something to do, it hangs; without anything to do, it goes. */
#define HANG_MS 30000u
#define IDLE_MS 60000u

static const enum fetch_kind kinds[] = {FETCH_GET, FETCH_POST};

static bool fetching_is_other(const struct config *a, const struct config *b);
static void fetching_rules_read(struct fetching *fetching);
static void fetching_wake(struct fetching *fetching, uint64_t delay_ms);
static void fetching_job_end(struct fetching *fetching, struct fetch_job *job);
static void fetching_lost(struct fetching *fetching, const char *reason);

int fetching_init(struct fetching *fetching, const struct config *config, struct reactor *reactor)
{
    *fetching =
        (struct fetching){.config = config, .reactor = reactor, .timer = {.kind = TIMER_FETCHER}};
    servant_init(&fetching->fetcher);
    fetching->rules = calloc(1, sizeof(*fetching->rules));
    if (!fetching->rules)
        return -ENOMEM;
    fetching_rules_read(fetching);
    return timers_reserve(&reactor->timers, 1);
}

void fetching_finish(struct fetching *fetching)
{
    servant_close(&fetching->fetcher);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        while (fetching->queues[kinds[i]].first)
            fetching_job_end(fetching, fetching->queues[kinds[i]].first);
    for (uint32_t i = 0; i < FETCH_COUNT_MAX; i++)
        if (fetching->places[i].job)
            fetching_job_end(fetching, fetching->places[i].job);
    free(fetching->rules);
    fetching->rules = NULL;
}

void fetching_follow(struct fetching *fetching, const struct config *config)
{
    const struct config *before = fetching->config;
    fetching->config = config;
    fetching_rules_read(fetching);
    if (fetching->fetcher.state != SERVANT_RUNNING)
        return;
    fetching->is_outdated |= fetching_is_other(before, config);
    fetching_wake(fetching, 0);
}

/* What the process was told when it began. */
static bool fetching_is_other(const struct config *a, const struct config *b)
{
    bool is_same =
        a->fetch_bytes_max == b->fetch_bytes_max && a->fetch_allow.count == b->fetch_allow.count;
    for (uint32_t i = 0; is_same && i < a->fetch_allow.count; i++)
        is_same = strcmp(a->fetch_allow.items[i], b->fetch_allow.items[i]) == 0;
    return !is_same;
}

static void fetching_rules_read(struct fetching *fetching)
{
    char reason[CLI_REASON_BYTES];
    const struct cli_list *allowed = &fetching->config->fetch_allow;
    fetching->is_off = false;
    fetching->rules->count = 0;
    for (uint32_t i = 0; i < allowed->count; i++) {
        if (fetch_rule_is_none(allowed->items[i])) {
            fetching->is_off = true;
            continue;
        }
        int rc = fetch_rule_parse(&fetching->rules->items[fetching->rules->count++],
                                  allowed->items[i], reason);
        mr_assert(rc == 0); /* it was read before */
    }
}

static struct uring_ref fetching_ref(const struct fetching *fetching)
{
    return (struct uring_ref){URING_FETCHER, 0, fetching->fetcher.generation};
}

static uint32_t fetching_busy_max(enum fetch_kind kind)
{
    return kind == FETCH_GET ? FETCH_GET_COUNT_MAX : FETCH_POST_COUNT_MAX;
}

static uint32_t fetching_busy_count(const struct fetching *fetching)
{
    return fetching->busy_counts[FETCH_GET] + fetching->busy_counts[FETCH_POST];
}

/* At the end of this pass at the soonest. */
static void fetching_wake(struct fetching *fetching, uint64_t delay_ms)
{
    struct timers *timers = &fetching->reactor->timers;
    uint64_t due_ms = fetching->reactor->now_ms + delay_ms;
    if (fetching->timer.position == 0 || fetching->timer.due_ms > due_ms)
        timer_set(timers, &fetching->timer, due_ms);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static int fetching_url_make(const struct fetching *fetching, const char *text, size_t bytes,
                             struct fetch_url *url, char reason[FETCH_REASON_BYTES])
{
    if (fetching->is_off) {
        snprintf(reason, FETCH_REASON_BYTES, "this server connects to no URLs");
        return -EPERM;
    }
    int rc = fetch_url_parse(url, text, bytes, reason);
    if (rc < 0)
        return rc;
    return fetch_url_check(url, fetching->rules, reason) < 0 ? -EACCES : 0;
}

int fetch_check(const struct fetching *fetching, const char *url, size_t url_bytes,
                char reason[FETCH_REASON_BYTES])
{
    struct fetch_url unused;
    return fetching_url_make(fetching, url, url_bytes, &unused, reason);
}

static void fetching_enqueue(struct fetching *fetching, struct fetch_job *job)
{
    struct fetch_queue *queue = &fetching->queues[job->kind];
    job->next = NULL;
    job->previous = queue->last;
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
    job->state = FETCH_JOB_WAITING;
    fetching->waiting_count++;
}

static void fetching_dequeue(struct fetching *fetching, struct fetch_job *job)
{
    struct fetch_queue *queue = &fetching->queues[job->kind];
    if (job->previous)
        job->previous->next = job->next;
    else
        queue->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        queue->last = job->previous;
    job->next = job->previous = NULL;
    mr_assert(fetching->waiting_count > 0);
    fetching->waiting_count--;
}

static bool fetching_has_room(const struct fetching *fetching, uint32_t share)
{
    uint32_t count = 0;
    if (fetching->waiting_count < FETCH_SHARE(FETCH_WAITING_COUNT_MAX))
        return true;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        for (const struct fetch_job *job = fetching->queues[kinds[i]].first; job; job = job->next)
            count += job->share == share;
    return fetching->waiting_count < FETCH_WAITING_COUNT_MAX &&
           count < FETCH_SHARE(FETCH_WAITING_COUNT_MAX);
}

int fetch_begin(struct fetching *fetching, struct fetch_job *job, enum fetch_kind kind,
                const struct fetch_options *options, char reason[FETCH_REASON_BYTES])
{
    struct fetch_url url;
    mr_assert(kind == FETCH_GET || kind == FETCH_POST);
    mr_assert(job->state == FETCH_JOB_NONE);
    int rc = fetching_url_make(fetching, options->url, options->url_bytes, &url, reason);
    if (rc < 0)
        return rc;
    if (!fetching_has_room(fetching, options->share)) {
        snprintf(reason, FETCH_REASON_BYTES, "%u other URLs wait already", fetching->waiting_count);
        return -EBUSY;
    }
    *job = (struct fetch_job){.kind = kind,
                              .ops = options->ops,
                              .owner = options->owner,
                              .url = text_duplicate(url.text, url.bytes),
                              .fd = options->fd,
                              .bytes = options->bytes,
                              .due_ms = fetching->reactor->now_ms + options->timeout_ms,
                              .slow_s = options->slow_s,
                              .share = options->share};
    if (!job->url) {
        snprintf(reason, FETCH_REASON_BYTES, "the server has no memory left");
        return -ENOMEM;
    }
    fetching_enqueue(fetching, job);
    fetching_wake(fetching, 0);
    return 0;
}

/* Whatever state it is in, it is not the fetcher's any more. */
static void fetching_job_end(struct fetching *fetching, struct fetch_job *job)
{
    if (job->state == FETCH_JOB_WAITING)
        fetching_dequeue(fetching, job);
    else if (job->state == FETCH_JOB_UNDER_WAY)
        fetching->places[job->place].job = NULL;
    job->state = FETCH_JOB_NONE;
    free(job->url);
    job->url = NULL;
}

void fetch_drop(struct fetching *fetching, struct fetch_job *job)
{
    if (job->state == FETCH_JOB_UNDER_WAY) {
        fetching->places[job->place].must_cancel = true;
        fetching_wake(fetching, 0);
    }
    fetching_job_end(fetching, job);
}

static void fetching_job_fail(struct fetching *fetching, struct fetch_job *job,
                              enum fetch_fault fault, uint32_t status, const char *reason)
{
    fetching->counts[job->kind][fault]++;
    fetching_job_end(fetching, job);
    job->ops->failed(job,
                     &(struct fetch_failure){.fault = fault, .status = status, .reason = reason});
}

/* ---- asking -------------------------------------------------------------------------------- */

static int fetching_rules_say(const struct fetching *fetching)
{
    const struct cli_list *allowed = &fetching->config->fetch_allow;
    for (uint32_t i = 0; i < allowed->count; i++) {
        size_t bytes = strlen(allowed->items[i]);
        struct fetch_request request = {
            .magic = FETCH_MAGIC, .kind = FETCH_ALLOW, .text_bytes = (uint32_t)bytes};
        int rc = servant_ask(&fetching->fetcher, &request, sizeof(request), allowed->items[i],
                             bytes, -1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* All that wait now: what is begun anew meanwhile comes behind them. */
static void fetching_waiting_fail(struct fetching *fetching, const char *reason)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct fetch_queue *queue = &fetching->queues[kinds[i]];
        for (uint32_t left = fetching->waiting_count; left > 0 && queue->first; left--)
            fetching_job_fail(fetching, queue->first, FETCH_FAULT_OURS, 0, reason);
    }
}

/* With something to do for it. */
static void fetching_open(struct fetching *fetching)
{
    char word[24];
    const struct config *config = fetching->config;
    struct log *log = &fetching->reactor->log;
    snprintf(word, sizeof(word), "%llu", (unsigned long long)config->fetch_bytes_max);
    fetching->opened_ms = fetching->heard_ms = fetching->reactor->now_ms;
    fetching->is_outdated = false;
    int rc = servant_open(&fetching->fetcher, FETCHER_NAME, word);
    if (rc < 0) {
        log_event(log, LEVEL_ERROR, "fetcher_failed", LOG_TEXT("error", strerror(-rc)));
        fetching_waiting_fail(fetching, "the process that does it cannot be started");
        return;
    }
    log_event(log, LEVEL_INFO, "fetcher_start", LOG_INTEGER("pid", fetching->fetcher.pid));
    uring_poll(fetching->reactor->uring, fetching->fetcher.socket, fetching_ref(fetching));
    if (fetching_rules_say(fetching) < 0)
        fetching_lost(fetching, "it does not take what it is told");
}

static uint32_t fetching_place_find(const struct fetching *fetching, uint64_t number)
{
    uint32_t i = 0;
    while (i < FETCH_COUNT_MAX && fetching->places[i].number != number)
        i++;
    return i;
}

static int fetching_job_ask(struct fetching *fetching, struct fetch_job *job)
{
    size_t bytes = strlen(job->url);
    uint64_t now_ms = fetching->reactor->now_ms;
    struct fetch_request request = {.magic = FETCH_MAGIC,
                                    .kind = job->kind,
                                    .number = fetching->number + 1,
                                    .bytes = job->bytes,
                                    .timeout_ms = (uint32_t)(job->due_ms - now_ms),
                                    .slow_s = job->slow_s,
                                    .text_bytes = (uint32_t)bytes};
    int rc = servant_ask(&fetching->fetcher, &request, sizeof(request), job->url, bytes, job->fd);
    if (rc < 0)
        return rc;
    uint32_t index = fetching_place_find(fetching, 0);
    mr_assert(index < FETCH_COUNT_MAX);
    fetching_dequeue(fetching, job);
    job->state = FETCH_JOB_UNDER_WAY;
    job->place = index;
    fetching->number++;
    if (fetching_busy_count(fetching) == 0)
        fetching->heard_ms = now_ms;
    fetching->busy_counts[job->kind]++;
    fetching->places[index] = (struct fetch_place){.number = fetching->number,
                                                   .job = job,
                                                   .kind = job->kind,
                                                   .share = job->share,
                                                   .bytes_max = job->bytes};
    return 0;
}

/* False: what it is told cannot be sent now. */
static bool fetching_ask_went(struct fetching *fetching, int rc)
{
    if (rc == -EPIPE)
        fetching_lost(fetching, "it ended");
    else if (rc < 0) /* its socket is full, or too many descriptors are on their way */
        fetching_wake(fetching, ASK_AGAIN_MS);
    return rc == 0;
}

static bool fetching_cancels_say(struct fetching *fetching)
{
    for (uint32_t i = 0; i < FETCH_COUNT_MAX; i++) {
        struct fetch_place *place = &fetching->places[i];
        if (!place->must_cancel)
            continue;
        struct fetch_request request = {
            .magic = FETCH_MAGIC, .kind = FETCH_CANCEL, .number = place->number};
        int rc = servant_ask(&fetching->fetcher, &request, sizeof(request), NULL, 0, -1);
        if (!fetching_ask_went(fetching, rc))
            return false;
        place->must_cancel = false;
    }
    return true;
}

static uint32_t fetching_share_count(const struct fetching *fetching, enum fetch_kind kind,
                                     uint32_t share)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FETCH_COUNT_MAX; i++)
        count += fetching->places[i].number > 0 && fetching->places[i].kind == kind &&
                 fetching->places[i].share == share;
    return count;
}

/* Whose turn it is; NULL: there is no place, or nobody waits who may have it. */
static struct fetch_job *fetching_turn_find(const struct fetching *fetching, enum fetch_kind kind)
{
    const uint32_t count_max = fetching_busy_max(kind);
    uint32_t least = FETCH_SHARE(count_max);
    struct fetch_job *found = NULL;
    if (fetching->busy_counts[kind] >= count_max)
        return NULL;
    for (struct fetch_job *job = fetching->queues[kind].first; job && least > 0; job = job->next) {
        uint32_t count = fetching_share_count(fetching, kind, job->share);
        if (count >= least)
            continue;
        least = count;
        found = job;
    }
    return found;
}

static void fetching_next_ask(struct fetching *fetching)
{
    struct fetch_job *job;
    if (fetching->fetcher.state != SERVANT_RUNNING || !fetching_cancels_say(fetching) ||
        fetching->is_outdated)
        return;
    /* Bounded: each turn fills a place. */
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        while ((job = fetching_turn_find(fetching, kinds[i])) != NULL)
            if (!fetching_ask_went(fetching, fetching_job_ask(fetching, job)))
                return;
}

/* ---- answers ------------------------------------------------------------------------------- */

static bool fetching_file_fits(const struct fetch_job *job, uint64_t bytes)
{
    struct stat file;
    return fstat(job->fd, &file) == 0 && file.st_size == (off_t)bytes;
}

/* What of an answer is wrong for the one it is for. */
static const char *fetching_place_check(const struct fetch_place *place,
                                        const struct fetch_answer *answer)
{
    bool is_file = place->kind == FETCH_GET;
    if (answer->kind == FETCH_FAILED)
        return NULL;
    if (is_file && (answer->bytes > place->bytes_max || answer->bytes < place->bytes))
        return "its bytes are too many, or fewer than before";
    if (answer->kind == FETCH_PROGRESS)
        return is_file ? NULL : "it says how far it is with what is no file";
    if (is_file && (answer->status < 200 || answer->status > 299))
        return "it has a file with a status that has none";
    return is_file && place->job && !fetching_file_fits(place->job, answer->bytes)
               ? "its file has another size"
               : NULL;
}

static void fetching_on_end(struct fetching *fetching, uint32_t index,
                            const struct fetch_answer *answer)
{
    struct fetch_place *place = &fetching->places[index];
    struct fetch_job *job = place->job;
    fetching->busy_counts[place->kind]--;
    *place = (struct fetch_place){.number = 0};
    if (!job)
        return;
    job->state = FETCH_JOB_NONE; /* it has no place any more */
    if (answer->kind == FETCH_FAILED) {
        fetching_job_fail(fetching, job, (enum fetch_fault)answer->fault, answer->status,
                          answer->reason);
        return;
    }
    fetching->counts[job->kind][FETCH_FAULT_NONE]++;
    fetching->byte_count += job->kind == FETCH_GET ? answer->bytes : 0;
    fetching_job_end(fetching, job);
    job->ops->done(job, &(struct fetch_result){.status = answer->status,
                                               .bytes = answer->bytes,
                                               .name = answer->name});
}

/* NULL, or what is wrong with it. */
static const char *fetching_on_answer(struct fetching *fetching, const struct fetch_answer *answer)
{
    const char *wrong = fetch_answer_check(answer);
    if (wrong || answer->kind == FETCH_ALIVE)
        return wrong;
    uint32_t index =
        answer->number > 0 ? fetching_place_find(fetching, answer->number) : FETCH_COUNT_MAX;
    if (index == FETCH_COUNT_MAX)
        return "it answers what was not asked";
    struct fetch_place *place = &fetching->places[index];
    wrong = fetching_place_check(place, answer);
    if (wrong)
        return wrong;
    if (answer->kind != FETCH_PROGRESS) {
        fetching_on_end(fetching, index, answer);
        return NULL;
    }
    place->bytes = answer->bytes;
    if (place->job && place->job->ops->progress)
        place->job->ops->progress(place->job, answer->bytes);
    return NULL;
}

/* False: it was given up. Bounded: what more it says is heard soon. */
static bool fetching_hear(struct fetching *fetching)
{
    static struct fetch_answer answer;
    for (uint32_t i = 0; i < HEAR_COUNT_MAX; i++) {
        int rc = servant_hear(&fetching->fetcher, &answer, sizeof(answer));
        if (rc == 0)
            return true;
        const char *wrong = rc == -EPIPE ? "it ended" : "it sent what is no answer";
        if (rc == 1)
            wrong = fetching_on_answer(fetching, &answer);
        if (wrong) {
            fetching_lost(fetching, wrong);
            return false;
        }
        fetching->heard_ms = fetching->reactor->now_ms;
    }
    fetching_wake(fetching, HEAR_AGAIN_MS);
    return true;
}

void fetching_on_fetcher(struct fetching *fetching, const struct uring_event *event)
{
    if (fetching->fetcher.state != SERVANT_RUNNING || event->result <= 0 ||
        event->ref.generation != fetching->fetcher.generation || !fetching_hear(fetching))
        return;
    if (!event->more)
        uring_poll(fetching->reactor->uring, fetching->fetcher.socket, event->ref);
    fetching_wake(fetching, 0);
}

/* ---- its end ------------------------------------------------------------------------------- */

static void fetching_end(struct fetching *fetching)
{
    uring_cancel(fetching->reactor->uring, fetching_ref(fetching));
    servant_kill(&fetching->fetcher);
    fetching_wake(fetching, GONE_LOOK_MS);
}

static void fetching_lost(struct fetching *fetching, const char *reason)
{
    log_event(&fetching->reactor->log, LEVEL_WARNING, "fetcher_lost",
              LOG_INTEGER("pid", fetching->fetcher.pid),
              LOG_NATURAL("under_way", fetching_busy_count(fetching)),
              LOG_NATURAL("waiting", fetching->waiting_count), LOG_TEXT("reason", reason));
    fetching->lost_count++;
    fetching_end(fetching);
    for (uint32_t i = 0; i < FETCH_COUNT_MAX; i++) {
        struct fetch_job *job = fetching->places[i].job;
        if (fetching->places[i].number > 0)
            fetching->busy_counts[fetching->places[i].kind]--;
        fetching->places[i] = (struct fetch_place){.number = 0};
        if (!job)
            continue;
        job->state = FETCH_JOB_NONE;
        fetching_job_fail(fetching, job, FETCH_FAULT_OURS, 0, "the process that does it failed");
    }
}

static struct fetch_job *fetching_late_find(const struct fetch_queue *queue, uint64_t now_ms)
{
    struct fetch_job *job = queue->first;
    while (job && job->due_ms > now_ms)
        job = job->next;
    return job;
}

/* Those that have waited for all of their time. Whoever is told may drop others. */
static void fetching_expire(struct fetching *fetching)
{
    struct fetch_job *job;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        while ((job = fetching_late_find(&fetching->queues[kinds[i]], fetching->reactor->now_ms)) !=
               NULL)
            fetching_job_fail(fetching, job, FETCH_FAULT_TIMEOUT, 0,
                              "its time was over before its turn came");
}

static void fetching_fetcher_look(struct fetching *fetching)
{
    uint64_t now_ms = fetching->reactor->now_ms;
    bool is_busy = fetching_busy_count(fetching) > 0;
    switch (fetching->fetcher.state) {
    case SERVANT_RUNNING:
        if (is_busy && now_ms >= fetching->heard_ms + HANG_MS)
            fetching_lost(fetching, "it says nothing");
        else if (!is_busy && (fetching->is_outdated || (fetching->waiting_count == 0 &&
                                                        now_ms >= fetching->heard_ms + IDLE_MS)))
            fetching_end(fetching);
        break;
    case SERVANT_ENDING:
        if (!servant_is_gone(&fetching->fetcher))
            fetching_wake(fetching, GONE_LOOK_MS);
        else if (fetching->waiting_count > 0)
            fetching_wake(fetching, 0);
        break;
    case SERVANT_NONE:
        if (fetching->waiting_count > 0 && now_ms >= fetching->opened_ms + REOPEN_MS)
            fetching_open(fetching);
        else if (fetching->waiting_count > 0)
            fetching_wake(fetching, fetching->opened_ms + REOPEN_MS - now_ms);
        break;
    case SERVANT_STATE_COUNT:
        mr_unreachable("a fetcher without a state");
    }
}

void fetching_on_timer(struct fetching *fetching)
{
    if (fetching->fetcher.state == SERVANT_RUNNING)
        (void)fetching_hear(fetching);
    fetching_expire(fetching);
    fetching_fetcher_look(fetching);
    fetching_next_ask(fetching);
    if (fetching->waiting_count > 0 || fetching_busy_count(fetching) > 0 ||
        fetching->fetcher.state == SERVANT_RUNNING)
        fetching_wake(fetching, LOOK_MS);
}
