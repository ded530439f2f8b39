/* SPDX-License-Identifier: MIT */
/* template_ask.c - whether a worker is to be a copy, and the message that asks for it. */
#include "dispatcher/workers/template_ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/config/preload.h"
#include "dispatcher/workers/fleet.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"

enum template_advice template_advise(const struct worker *worker)
{
    const struct pool_template *template = &worker->pool->template;
    const struct worker *self = template->worker;
    if (!self || worker == self || template->is_refused || template->has_failed ||
        worker->failed_as_copy)
        return TEMPLATE_NONE;
    if (self->state != WORKER_READY || template->asked_count == TEMPLATE_ASKED_COUNT_MAX)
        return TEMPLATE_WAIT;
    return TEMPLATE_COPY;
}

void template_note_end(struct worker *worker)
{
    bool is_ended = worker->end == WORKER_END_STOPPED || worker->end == WORKER_END_DEVICE_LOST;
    worker->failed_as_copy |= worker->is_copy && worker->ready_ms == 0 && !is_ended;
}

/* Copies have the user of their template, and outlive it. */
void template_say(const struct worker *self, struct worker_spawn_options *options)
{
    const struct worker_pool *pool = self->pool;
    options->preload = preload_words[pool->config->options.preload];
    for (uint32_t i = 0; i < pool->place_count; i++)
        options->user_is_shared |= worker_has_process(pool->places[i]) && pool->places[i]->is_copy;
}

static void template_text_add(struct iovec *part, const char *text)
{
    /* sendmsg only reads; its type cannot say so. */
    union {
        const char *read_only;
        void *as_iovec_wants;
    } pointer = {.read_only = text ? text : ""};
    *part = (struct iovec){pointer.as_iovec_wants, strlen(pointer.read_only) + 1};
}

/* What opens /dev/stdout or /dev/stderr opens these pipes again, and then asks whose they are. A
 * worker that changes its user gives them to it; a copy has that user already, and may not. */
static void template_give_output(const struct worker *self,
                                 const struct worker_spawn_options *options)
{
    char path[32];
    struct stat process;
    snprintf(path, sizeof path, "/proc/%d", (int)self->pid);
    if (stat(path, &process) == -1 || process.st_uid == geteuid())
        return;
    int rc = fchown(options->stdout_fd, process.st_uid, process.st_gid);
    if (rc == 0)
        rc = fchown(options->stderr_fd, process.st_uid, process.st_gid);
    (void)rc; /* then it cannot open them */
}

int template_ask(struct worker *worker, const struct worker_spawn_options *options)
{
    struct pool_template *template = &worker->pool->template;
    const struct device_variables *variables = options->device_variables;
    struct message_fork fork = {.place = worker->index,
                                .generation = worker->generation,
                                .index = options->index,
                                .variable_count = variables->count};
    struct iovec parts[1 + MESSAGE_FORK_TEXT_COUNT + DEVICE_VARIABLE_COUNT_MAX];
    size_t count = 1 + MESSAGE_FORK_TEXT_COUNT;
    int fds[START_FD_COUNT];
    if (options->device_nodes)
        fork.flags |= FORK_HAS_DEVICE_NODES;
    worker_spawn_fds(options, fds);
    parts[0] = (struct iovec){&fork, sizeof fork};
    template_text_add(&parts[1], options->cores);
    template_text_add(&parts[2], options->memory_nodes);
    template_text_add(&parts[3], options->device_nodes);
    for (uint32_t i = 0; i < variables->count; i++)
        template_text_add(&parts[count++], variables->items[i]);
    template_give_output(template->worker, options);
    int rc = channel_send(&template->worker->channel, &(struct message){.kind = MESSAGE_FORK},
                          &(struct packet){parts, count, fds, START_FD_COUNT});
    if (rc == 0)
        template->asked_count++;
    return rc == -ECONNRESET ? -EPIPE : rc; /* it has ended, with questions that it had not read */
}
