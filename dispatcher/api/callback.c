/* SPDX-License-Identifier: MIT */
/* callback.c - when results are posted, and what is made of the answers. */
#include "dispatcher/api/callback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dispatcher/reactor/body.h"
#include "shm/descriptors.h"

#define RETRY_FACTOR 4u

struct callback {
    struct callback *next, *previous;
    char run_id[RUN_ID_BYTES];
    uint32_t owner;
    char *url; /* owned */
    struct text body;
    uint32_t attempt_count;
    bool is_posting;
    bool is_last; /* no other attempt follows this one */
    uint64_t due_ms;
    struct fetch_job job;
    int fd; /* of what is posted; -1 */
    struct callbacks *callbacks;
};

static void callback_post_end(struct callback *callback);
static void callback_end(struct callback *callback, enum callback_end end, const char *reason);

int callbacks_init(struct callbacks *callbacks, struct reactor *reactor, struct fetching *fetching)
{
    *callbacks = (struct callbacks){
        .reactor = reactor, .fetching = fetching, .timer = {.kind = TIMER_CALLBACK}};
    return timers_reserve(&reactor->timers, 1);
}

static void callback_free(struct callback *callback)
{
    descriptor_close(&callback->fd);
    text_finish(&callback->body);
    free(callback->url);
    free(callback);
}

void callbacks_finish(struct callbacks *callbacks)
{
    while (callbacks->first) {
        struct callback *callback = callbacks->first;
        callbacks->first = callback->next;
        callback_post_end(callback);
        callback_free(callback);
    }
}

const char *callback_end_name(enum callback_end end)
{
    static const char *const names[CALLBACK_END_COUNT] = {
        [CALLBACK_DELIVERED] = "delivered",
        [CALLBACK_REFUSED] = "refused",
        [CALLBACK_GIVEN_UP] = "given_up",
        [CALLBACK_DROPPED] = "dropped",
    };
    mr_assert(end < CALLBACK_END_COUNT);
    return names[end];
}

/* ---- who waits ----------------------------------------------------------------------------- */

static void callbacks_append(struct callbacks *callbacks, struct callback *callback)
{
    callback->next = NULL;
    callback->previous = callbacks->last;
    if (callbacks->last)
        callbacks->last->next = callback;
    else
        callbacks->first = callback;
    callbacks->last = callback;
}

static void callbacks_remove(struct callbacks *callbacks, struct callback *callback)
{
    if (callback->previous)
        callback->previous->next = callback->next;
    else
        callbacks->first = callback->next;
    if (callback->next)
        callback->next->previous = callback->previous;
    else
        callbacks->last = callback->previous;
}

static void callbacks_wake(struct callbacks *callbacks, uint64_t due_ms)
{
    if (callbacks->timer.position == 0 || callbacks->timer.due_ms > due_ms)
        timer_set(&callbacks->reactor->timers, &callbacks->timer, due_ms);
}

static bool callbacks_have_room(const struct callbacks *callbacks, uint32_t owner,
                                const struct text *body)
{
    uint32_t count = 0;
    uint64_t bytes = body->count;
    for (const struct callback *other = callbacks->first; other; other = other->next)
        if (other->owner == owner) {
            count++;
            bytes += other->body.count;
        }
    return (count == 0 || (count < FETCH_SHARE(CALLBACK_COUNT_MAX) &&
                           bytes <= FETCH_SHARE(CALLBACK_BYTES_MAX))) &&
           (callbacks->count == 0 || (callbacks->count < CALLBACK_COUNT_MAX &&
                                      callbacks->bytes + body->count <= CALLBACK_BYTES_MAX));
}

void callback_begin(struct callbacks *callbacks, const char *run_id, uint32_t owner, char *url,
                    struct text *body)
{
    struct callback *callback = callbacks_have_room(callbacks, owner, body) && !body->failed
                                    ? calloc(1, sizeof(*callback))
                                    : NULL;
    if (!callback) {
        callbacks->counts[CALLBACK_DROPPED]++;
        log_event(&callbacks->reactor->log, LEVEL_WARNING, "callback_lost", LOG_WORD("run", run_id),
                  LOG_WORD("end", callback_end_name(CALLBACK_DROPPED)), LOG_NATURAL("attempts", 0),
                  LOG_TEXT("reason", "there is no room for more results that wait"));
        text_finish(body);
        free(url);
        return;
    }
    callback->callbacks = callbacks;
    snprintf(callback->run_id, sizeof(callback->run_id), "%s", run_id);
    callback->owner = owner;
    callback->url = url;
    text_trim(body, 0);
    callback->body = *body;
    *body = (struct text){0};
    callback->fd = -1;
    callback->due_ms = callbacks->reactor->now_ms;
    callback->is_last = callbacks->is_stopping;
    callbacks->count++;
    callbacks->bytes += callback->body.count;
    callbacks_append(callbacks, callback);
    callbacks_wake(callbacks, callback->due_ms);
}

void callbacks_hurry(struct callbacks *callbacks)
{
    callbacks->is_stopping = true;
    for (struct callback *callback = callbacks->first; callback; callback = callback->next)
        if (!callback->is_posting) {
            callback->is_last = true;
            callback->due_ms = callbacks->reactor->now_ms;
            callbacks_wake(callbacks, callback->due_ms);
        }
}

void callbacks_give_up(struct callbacks *callbacks)
{
    while (callbacks->first)
        callback_end(callbacks->first, CALLBACK_GIVEN_UP, "the server stopped");
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void callback_post_end(struct callback *callback)
{
    if (callback->is_posting)
        callback->callbacks->posting_count--;
    fetch_drop(callback->callbacks->fetching, &callback->job);
    descriptor_close(&callback->fd);
    callback->is_posting = false;
}

static void callback_end(struct callback *callback, enum callback_end end, const char *reason)
{
    struct callbacks *callbacks = callback->callbacks;
    callback_post_end(callback);
    if (end == CALLBACK_DELIVERED)
        log_event(&callbacks->reactor->log, LEVEL_DEBUG, "callback_delivered",
                  LOG_WORD("run", callback->run_id),
                  LOG_NATURAL("attempts", callback->attempt_count));
    else
        log_event(&callbacks->reactor->log, LEVEL_WARNING, "callback_lost",
                  LOG_WORD("run", callback->run_id), LOG_WORD("end", callback_end_name(end)),
                  LOG_NATURAL("attempts", callback->attempt_count), LOG_TEXT("reason", reason));
    callbacks->counts[end]++;
    callbacks->count--;
    callbacks->bytes -= callback->body.count;
    callbacks_remove(callbacks, callback);
    callback_free(callback);
    if (callbacks->count > 0)
        callbacks_wake(callbacks, callbacks->reactor->now_ms);
    callbacks->reactor->has_chores = true; /* a stop may wait for it */
}

/* It failed as it need not the next time. */
static void callback_retry(struct callback *callback, const char *reason)
{
    struct callbacks *callbacks = callback->callbacks;
    if (callback->is_last || callback->attempt_count >= CALLBACK_ATTEMPT_COUNT_MAX) {
        callback_end(callback, CALLBACK_GIVEN_UP, reason);
        return;
    }
    uint64_t delay_ms = CALLBACK_RETRY_MS;
    for (uint32_t i = 1; i < callback->attempt_count; i++)
        delay_ms *= RETRY_FACTOR;
    log_event(&callbacks->reactor->log, LEVEL_INFO, "callback_failed",
              LOG_WORD("run", callback->run_id), LOG_NATURAL("attempts", callback->attempt_count),
              LOG_TEXT("reason", reason));
    callbacks->retry_count++;
    callback_post_end(callback);
    callback->is_last = callbacks->is_stopping;
    callback->due_ms = callbacks->reactor->now_ms + (callbacks->is_stopping ? 0 : delay_ms);
    /* Those that were not tried yet come first. */
    callbacks_remove(callbacks, callback);
    callbacks_append(callbacks, callback);
    callbacks_wake(callbacks, callbacks->reactor->now_ms);
}

/* ---- posting ------------------------------------------------------------------------------- */

static void on_done(struct fetch_job *job, const struct fetch_result *result)
{
    struct callback *callback = job->owner;
    uint32_t status = result->status;
    char reason[64];
    snprintf(reason, sizeof(reason), "it was answered with status %u", status);
    if (status >= 200 && status <= 299)
        callback_end(callback, CALLBACK_DELIVERED, NULL);
    else if (status == 408 || status == 429 || status >= 500)
        callback_retry(callback, reason);
    else
        callback_end(callback, CALLBACK_REFUSED, reason);
}

static void on_failed(struct fetch_job *job, const struct fetch_failure *failure)
{
    struct callback *callback = job->owner;
    if (failure->fault == FETCH_FAULT_URL || failure->fault == FETCH_FAULT_ADDRESS)
        callback_end(callback, CALLBACK_REFUSED, failure->reason);
    else
        callback_retry(callback, failure->reason);
}

static const struct fetch_ops fetch_ops = {.done = on_done, .failed = on_failed};

static int callback_fetch_begin(struct callback *callback, char reason[FETCH_REASON_BYTES])
{
    callback->fd = memfd_create("millrace-callback", MFD_CLOEXEC);
    if (callback->fd == -1 ||
        body_write(callback->fd, callback->body.bytes, callback->body.count) < 0) {
        snprintf(reason, FETCH_REASON_BYTES, "the server has no memory or no descriptors left");
        return -ENOMEM;
    }
    return fetch_begin(callback->callbacks->fetching, &callback->job, FETCH_POST,
                       &(struct fetch_options){.url = callback->url,
                                               .url_bytes = strlen(callback->url),
                                               .fd = callback->fd,
                                               .bytes = callback->body.count,
                                               .timeout_ms = FETCH_POST_TIMEOUT_MS,
                                               .share = callback->owner,
                                               .ops = &fetch_ops,
                                               .owner = callback},
                       reason);
}

static void callback_post(struct callback *callback)
{
    char reason[FETCH_REASON_BYTES];
    callback->attempt_count++;
    int rc = callback_fetch_begin(callback, reason);
    if (rc == 0) {
        callback->is_posting = true;
        callback->callbacks->posting_count++;
    } else if (rc == -ENOMEM || rc == -EBUSY) {
        callback_retry(callback, reason);
    } else {
        callback_end(callback, CALLBACK_REFUSED, reason);
    }
}

/* Whose results are being posted. */
struct posting {
    uint32_t owners[FETCH_POST_COUNT_MAX];
    uint32_t count;
};

static void callbacks_posting_list(const struct callbacks *callbacks, struct posting *out)
{
    out->count = 0;
    for (const struct callback *callback = callbacks->first; callback; callback = callback->next)
        if (callback->is_posting)
            out->owners[out->count++] = callback->owner;
}

static uint32_t callback_posting_count(const struct posting *posting, uint32_t owner)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < posting->count; i++)
        count += posting->owners[i] == owner;
    return count;
}

/* Of those that are due the first one of whose owner fewest are posted; NULL: there is none, and
 * when the next will be due. */
static struct callback *callbacks_due_find(const struct callbacks *callbacks, uint64_t *next_ms)
{
    struct posting posting;
    struct callback *found = NULL;
    uint32_t least = FETCH_SHARE(FETCH_POST_COUNT_MAX);
    callbacks_posting_list(callbacks, &posting);
    *next_ms = UINT64_MAX;
    for (struct callback *callback = callbacks->first; callback && least > 0;
         callback = callback->next) {
        if (callback->is_posting)
            continue;
        uint32_t count = callback_posting_count(&posting, callback->owner);
        if (callback->due_ms > callbacks->reactor->now_ms) {
            *next_ms = callback->due_ms < *next_ms ? callback->due_ms : *next_ms;
        } else if (count < least) {
            least = count;
            found = callback;
        }
    }
    return found;
}

void callbacks_on_timer(struct callbacks *callbacks)
{
    uint64_t next_ms = UINT64_MAX;
    struct callback *due = NULL;
    /* Bounded: each is posted, gone, or not due any more. */
    while (callbacks->posting_count < FETCH_POST_COUNT_MAX &&
           (due = callbacks_due_find(callbacks, &next_ms)) != NULL)
        callback_post(due);
    if (callbacks->posting_count < FETCH_POST_COUNT_MAX && next_ms != UINT64_MAX)
        callbacks_wake(callbacks, next_ms);
}
