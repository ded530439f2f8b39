/* SPDX-License-Identifier: MIT */
/* worker_start.c - a channel, pipes, and a request for a process on the other ends of them. */
#include "dispatcher/workers/worker_start.h"

#include <errno.h>
#include <fcntl.h>

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/output.h"
#include "dispatcher/workers/template_ask.h"
#include "dispatcher/workers/worker_device.h"
#include "shm/descriptors.h"

/* What the child gets beside its channel's segment and our bell; closed here once it is on its
 * way. */
struct start_ends {
    struct channel_ends channel;
    int stdout_fd, stderr_fd;
};

static void start_ends_close(struct start_ends *ends);
static int start_process_prepare(struct fleet *fleet, struct worker *worker,
                                 struct start_ends *ends);
static void start_slots_reset(struct worker *worker);
static void start_socket_close(struct fleet *fleet, struct worker *worker);

void worker_channel_close(struct worker *worker)
{
    if (worker->pool->calls)
        channel_collect_calls(&worker->channel, worker->pool->calls);
    worker->pending_rings = 0; /* the bell goes with the segment, and so does its ring */
    worker->is_full = false;
    descriptor_close(&worker->pidfd);
    channel_close(&worker->channel);
}

int worker_start(struct fleet *fleet, struct worker *worker)
{
    struct start_ends ends = {{-1, -1}, -1, -1};
    int rc = start_process_prepare(fleet, worker, &ends);
    start_ends_close(&ends);
    return rc;
}

void worker_watch(struct fleet *fleet, struct worker *worker)
{
    worker->is_corrupt = worker->is_full = false;
    worker->wrong = NULL;
    worker->full_until_ms = 0;
    worker->was_oom = false;
    worker->is_paused = worker->is_noisy = false;
    worker->bells_heard = worker->noise_records = 0;
    worker->noise = worker->printing = (struct noise){0};
    worker->pending_rings = 0;
    worker->crash = (struct crash_report){0};
    worker->is_asked_where = false;
    worker->run_count = 0;
    start_slots_reset(worker);
    uring_poll(fleet->reactor->uring, worker->pidfd, fleet_ref(worker, URING_PIDFD));
    uring_poll(fleet->reactor->uring, worker->channel.socket, fleet_ref(worker, URING_SOCKET));
    uring_poll(fleet->reactor->uring, worker->channel.own_bell.fd, fleet_ref(worker, URING_BELL));
    output_begin(fleet, worker);
}

void worker_unwatch(struct fleet *fleet, struct worker *worker)
{
    uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_SOCKET));
    uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_BELL));
}

/* The eventfd is never read: a new poll tells at once of a bell that ever rang. */
void worker_rewatch(struct fleet *fleet, struct worker *worker)
{
    uring_poll(fleet->reactor->uring, worker->channel.socket, fleet_ref(worker, URING_SOCKET));
    uring_poll(fleet->reactor->uring, worker->channel.own_bell.fd, fleet_ref(worker, URING_BELL));
}

void worker_release(struct fleet *fleet, struct worker *worker)
{
    if (worker->pid > 0) {
        uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_SOCKET));
        uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_PIDFD));
        uring_cancel(fleet->reactor->uring, fleet_ref(worker, URING_BELL));
        output_end(fleet, worker);
    } else {
        output_close(output_of(worker));
    }
    start_socket_close(fleet, worker);
    worker_channel_close(worker);
    unfinished_end(&worker->unfinished);
    unfinished_free(&worker->unfinished, &worker->pool->unfinished);
    worker->pid = 0;
    worker->reserved_bytes = 0;
    worker->is_paused = worker->is_stale = false;
    worker->wrong = NULL;
    worker->exec_error = 0;
    worker->kill_reason[0] = '\0';
}

static void start_ends_close(struct start_ends *ends)
{
    channel_ends_close(&ends->channel);
    descriptor_close(&ends->stdout_fd);
    descriptor_close(&ends->stderr_fd);
}

static int start_pipe_open(int *read_end, int *write_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == -1)
        return -errno;
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

static int start_output_open(struct worker *worker, struct start_ends *ends)
{
    struct output *output = output_of(worker);
    int rc = start_pipe_open(&output->pipes[0].fd, &ends->stdout_fd);
    return rc < 0 ? rc : start_pipe_open(&output->pipes[1].fd, &ends->stderr_fd);
}

static void start_slots_reset(struct worker *worker)
{
    uint32_t count = worker->concurrency;
    worker->free_count = count;
    worker->capacity = count; /* until it says so */
    worker->active_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        worker->slots[i].run = NULL;
        worker->slots[i].run_id = NULL;
        worker->free_slots[i] = count - 1 - i;
    }
}

static uid_t start_own_user(const struct config *config, const struct pipeline_config *pipeline,
                            const struct worker *worker)
{
    return pipeline->confinement.owner == OWNER_EACH ? config->own_users.first + worker->index : 0;
}

static int start_process_ask(struct fleet *fleet, struct worker *worker,
                             const struct start_ends *ends)
{
    const struct config *config = fleet->config;
    const struct pipeline_config *source = worker->pool->config;
    struct device_variables variables = {.count = 0};
    struct worker_spawn_options options = {
        .worker_path = config->worker_path,
        .confine = source->confine,
        .cgroup = worker->group ? worker->group->path : NULL,
        .own_user = start_own_user(config, source, worker),
        .strict = source->confinement.seccomp == SECCOMP_STRICT,
        .python_path = source->python_path,
        .python_folder = source->python_folder,
        .python_threads = source->python_path && source->options.python_threads,
        .environment = &source->environment,
        .index = worker->number,
        .place = worker->index,
        .segment_fd = worker->channel.segment.fd,
        .worker_bell_fd = ends->channel.bell,
        .dispatcher_bell_fd = worker->channel.own_bell.fd,
        .socket_fd = ends->channel.socket,
        .stdout_fd = ends->stdout_fd,
        .stderr_fd = ends->stderr_fd,
    };
    if (worker->is_template)
        template_say(worker, &options);
    worker_spawn_set_pipeline(&options, source);
    int rc = worker_device_say(worker, &options, &variables);
    if (rc == 0)
        rc = worker->is_copy
                 ? template_ask(worker, &options)
                 : spawner_ask(&fleet->spawner, &options, worker->index, worker->generation);
    device_variables_finish(&variables);
    return rc;
}

static int start_process_prepare(struct fleet *fleet, struct worker *worker,
                                 struct start_ends *ends)
{
    const struct pipeline_options *options = &worker->pool->config->options;
    int rc =
        channel_open(&worker->channel, &ends->channel,
                     &(struct segment_options){.slot_count = worker->concurrency,
                                               .request_ring_bytes = options->request_ring_bytes,
                                               .reply_ring_bytes = options->reply_ring_bytes,
                                               .window_bytes = worker->window_bytes});
    if (rc == 0)
        rc = start_output_open(worker, ends);
    if (rc < 0)
        return rc;
    channel_set_step_budget(&worker->channel, options->step_budget);
    worker_device_draw(worker);
    /* Holds the place of the pidfd, so that there is a descriptor for it when it comes. */
    worker->pidfd = fcntl(worker->channel.own_bell.fd, F_DUPFD_CLOEXEC, 0);
    if (worker->pidfd == -1)
        return -errno;
    return start_process_ask(fleet, worker, ends);
}

/* With the socket goes what the worker has sent and nobody has read. The spawner has its last
 * descriptor, if there is one. */
static void start_socket_close(struct fleet *fleet, struct worker *worker)
{
    if (worker->channel.socket >= 0 && worker->channel.takes_descriptors) {
        int rc = spawner_let_close(&fleet->spawner, worker->channel.socket);
        (void)rc; /* without a spawner it is ours to close */
    }
    descriptor_close(&worker->channel.socket);
}
