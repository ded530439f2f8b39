/* SPDX-License-Identifier: MIT */
/*
 * stage_spawner.h - the spawner of the stage: the functions of spawner.h, without a process.
 *
 * A worker that is asked for exists at once, and the answer is there in the next pass, unless
 * stage.spawner_is_silent.
 */
#ifndef TESTS_DISPATCHER_STAGE_SPAWNER_H
#define TESTS_DISPATCHER_STAGE_SPAWNER_H

#ifndef TESTS_DISPATCHER_STAGE_H
#error "stage.h includes this"
#endif

#define STAGE_SPAWNER_PID 2000000

static inline void stage_answer(uint32_t kind, uint32_t index, uint32_t generation, int error)
{
    mr_assert(stage.answer_count < ARRAY_COUNT(stage.answers));
    stage.answers[stage.answer_count++] = (struct spawn_answer){
        .magic = SPAWN_MAGIC,
        .kind = kind,
        .index = index,
        .generation = generation,
        .pid = kind == SPAWN_STARTED ? STAGE_PID + (pid_t)index : 0,
        .error = error,
    };
    if (stage.on_spawner.op != URING_NONE && !stage.spawner_is_silent)
        stage_event((struct uring_event){.ref = stage.on_spawner, .result = POLLIN, .more = true});
}

/* It says what it has kept back. */
static inline void stage_spawner_speaks(void)
{
    stage.spawner_is_silent = false;
    stage_event((struct uring_event){.ref = stage.on_spawner, .result = POLLIN, .more = true});
}

/* It is gone. What it had said before is still there, silence is not. */
static inline void stage_spawner_dies(void)
{
    stage.spawner_lives = false;
    stage_complete(&stage.on_spawner, POLLIN | POLLHUP);
}

static inline void stage_worker_forget(uint32_t index)
{
    struct stage_worker *worker = &stage.workers[index];
    worker->lives = false;
    close(worker->socket);
    close(worker->pidfd);
    segment_detach(&worker->segment);
    worker->socket = worker->pidfd = -1;
}

void spawner_init(struct spawner *spawner, struct own_users own_users)
{
    *spawner = (struct spawner){.socket = -1, .pidfd = -1, .own_users = own_users};
}

int spawner_open(struct spawner *spawner)
{
    mr_assert(spawner->state == SPAWNER_NONE);
    if (stage.spawner_error)
        return -(int)stage.spawner_error;
    spawner->state = SPAWNER_RUNNING;
    spawner->pid = STAGE_SPAWNER_PID;
    spawner->generation++;
    spawner->asked_count = 0;
    stage.spawner_lives = true;
    stage.spawner_is_silent = false;
    stage.answer_count = 0;
    stage.spawner_count++;
    return 0;
}

int spawner_ask(struct spawner *spawner, const struct worker_spawn_options *options, uint32_t index,
                uint32_t generation)
{
    struct stage_worker *worker = &stage.workers[index];
    if (spawner->state != SPAWNER_RUNNING || !stage.spawner_lives)
        return -EPIPE;
    mr_assert(spawner->asked_count < SPAWNER_ASKED_COUNT_MAX);
    mr_assert(!worker->lives);
    spawner->asked_count++;
    stage.environment = options->environment;
    if (stage.spawn_error) {
        stage_answer(SPAWN_FAILED, index, generation, (int)stage.spawn_error);
        return 0;
    }
    struct stage_worker last = *worker;
    *worker = (struct stage_worker){.lives = true};
    memcpy(worker->on_pipe, last.on_pipe, sizeof(last.on_pipe)); /* those of its output go on */
    worker->pidfd = eventfd(0, EFD_CLOEXEC);
    worker->socket = fcntl(options->socket_fd, F_DUPFD_CLOEXEC, 0);
    mr_assert(worker->pidfd >= 0 && worker->socket >= 0);
    int fd = fcntl(options->segment_fd, F_DUPFD_CLOEXEC, 0);
    char reason[SEGMENT_REASON_BYTES];
    mr_assert(segment_attach(&worker->segment, fd, reason) == 0);
    const struct segment *segment = &worker->segment;
    ring_tx_init(&worker->replies, segment->reply_ring, segment->options.reply_ring_bytes);
    ring_rx_init(&worker->requests, segment->request_ring, segment->options.request_ring_bytes);
    stage.spawn_count++;
    stage_answer(SPAWN_STARTED, index, generation, 0);
    return 0;
}

int spawner_let_close(const struct spawner *spawner, int fd)
{
    mr_assert(fd >= 0);
    stage.let_close_count++;
    return spawner->state == SPAWNER_RUNNING ? 0 : -EPIPE;
}

int spawner_peek(const struct spawner *spawner, struct spawn_answer *out)
{
    mr_assert(spawner->state == SPAWNER_RUNNING);
    if (stage.answer_count == 0 || stage.spawner_is_silent)
        return stage.spawner_lives ? 0 : -EPIPE;
    *out = stage.answers[0];
    return 1;
}

void spawner_take(struct spawner *spawner, int *pidfd)
{
    const struct spawn_answer *answer = &stage.answers[0];
    *pidfd = -1;
    if (answer->kind == SPAWN_STARTED && !stage.pidfd_is_lost)
        *pidfd = fcntl(stage.workers[answer->index].pidfd, F_DUPFD_CLOEXEC, 0);
    if (answer->kind == SPAWN_STARTED || answer->kind == SPAWN_FAILED)
        spawner->asked_count--;
    stage.answer_count--;
    memmove(stage.answers, stage.answers + 1, stage.answer_count * sizeof(*answer));
}

void spawner_kill(struct spawner *spawner)
{
    mr_assert(spawner->state == SPAWNER_RUNNING);
    for (uint32_t i = 0; i < stage.answer_count; i++)
        if (stage.answers[i].kind == SPAWN_STARTED)
            stage_worker_forget(stage.answers[i].index);
    stage.answer_count = 0;
    spawner->state = SPAWNER_ENDING;
    stage.spawner_kill_count++;
}

bool spawner_is_gone(struct spawner *spawner, bool (*is_known)(const void *context, pid_t pid),
                     const void *context)
{
    mr_assert(spawner->state == SPAWNER_ENDING);
    mr_assert(!is_known(context, STAGE_SPAWNER_PID));
    if (stage.spawner_stays)
        return false;
    spawner->state = SPAWNER_NONE;
    return true;
}

void spawner_close(struct spawner *spawner)
{
    spawner->state = SPAWNER_NONE;
}

#endif
