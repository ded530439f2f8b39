/* SPDX-License-Identifier: MIT */
/* pipe_worker.c - the process behind the pipes: commands become streams, and streams frames. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "millrace/check.h"
#include "tests/bench/reference/sources.h"

#define WRITE_BYTES (64u * 1024)
/* Values that a stream may make before others have their turn. */
#define TURN_VALUE_COUNT 64
#define COMMAND_COUNT 256
#define NS_PER_S 1000000000
/* Each stream once, and those of a batch of commands that are over but not yet left out. */
#define READY_COUNT_MAX(work_count_max) ((work_count_max) + COMMAND_COUNT)

struct work {
    struct stream stream;
    uint32_t generation;
    bool is_live;
};

static struct worker {
    int commands, frames;
    struct work *works; /* by owner */
    size_t work_count_max;
    struct due *ready; /* streams that can go on at once; their times are not used */
    size_t ready_count;
    struct due_queue due;
    bool is_batched;
    char *out; /* frames on their way */
    size_t count, room;
} worker;

static void out_write(void)
{
    for (size_t at = 0; at < worker.count;) {
        ssize_t count = write(worker.frames, worker.out + at, worker.count - at);
        mr_assert(count > 0);
        at += (size_t)count;
    }
    worker.count = 0;
}

/* Room for a frame with so many bytes. */
static char *out_room(size_t bytes)
{
    bytes += sizeof(struct pipe_frame);
    if (worker.count > 0 && worker.count + bytes > WRITE_BYTES)
        out_write();
    if (bytes > worker.room) {
        worker.room = bytes > WRITE_BYTES ? bytes : WRITE_BYTES;
        worker.out = realloc(worker.out, worker.room);
        mr_assert(worker.out);
    }
    return worker.out + worker.count;
}

static void frame_put(uint32_t kind, uint32_t owner, struct work *work)
{
    struct stream *stream = &work->stream;
    size_t bytes_max = kind == PIPE_VALUE ? line_value_bytes_max(stream->text_bytes) : 0;
    char *out = out_room(bytes_max), *value = out + sizeof(struct pipe_frame), *end = value;
    if (kind == PIPE_VALUE)
        end = line_put_value(value, stream->next++, line_now_ns(), stream_text(stream->text_bytes),
                             stream->text_bytes);
    const struct pipe_frame frame = {.kind = kind,
                                     .owner = owner,
                                     .generation = work->generation,
                                     .bytes = (uint32_t)(end - value)};
    memcpy(out, &frame, sizeof(frame));
    worker.count = (size_t)(end - worker.out);
}

/* One turn of a stream. */
static void work_go_on(uint32_t owner, uint64_t now_ns)
{
    struct work *work = &worker.works[owner];
    struct stream *stream = &work->stream;
    for (int i = 0; i < TURN_VALUE_COUNT && stream_is_due(stream, now_ns); i++) {
        frame_put(PIPE_VALUE, owner, work);
        if (!worker.is_batched)
            out_write();
    }
    if (stream->next == stream->total) {
        frame_put(PIPE_END, owner, work);
        work->is_live = false;
    } else {
        struct due due = {.owner = owner, .generation = work->generation};
        if (stream_is_due(stream, now_ns)) {
            worker.ready[worker.ready_count++] = due;
        } else {
            due.time_ns = stream_due_ns(stream);
            due_add(&worker.due, due);
        }
    }
}

static void command_take(const struct pipe_command *command)
{
    mr_assert(command->owner < worker.work_count_max);
    struct work *work = &worker.works[command->owner];
    if (command->kind == PIPE_LEAVE) {
        work->is_live = false;
        return;
    }
    *work = (struct work){.generation = command->generation,
                          .is_live = true,
                          .stream = {.total = command->total,
                                     .start_ns = command->start_ns,
                                     .pace_ns = command->pace_ns,
                                     .text_bytes = command->text_bytes}};
    work_go_on(command->owner, line_now_ns());
}

/* Waits for commands only when nothing else is to be done, and not longer than until the next line
 * is due. */
static void commands_read(void)
{
    struct pipe_command commands[COMMAND_COUNT];
    struct pollfd input = {.fd = worker.commands, .events = POLLIN};
    int64_t wait_ns = worker.ready_count > 0 ? 0 : due_wait_ns(&worker.due, line_now_ns());
    struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    if (ppoll(&input, 1, wait_ns < 0 ? NULL : &wait, NULL) <= 0)
        return;
    ssize_t count = read(worker.commands, commands, sizeof(commands));
    if (count <= 0)
        _exit(0);
    mr_assert((size_t)count % sizeof(commands[0]) == 0);
    for (size_t i = 0; i < (size_t)count / sizeof(commands[0]); i++)
        command_take(&commands[i]);
}

static void turn_give(struct due due, uint64_t now_ns)
{
    const struct work *work = &worker.works[due.owner];
    if (work->is_live && work->generation == due.generation)
        work_go_on(due.owner, now_ns);
}

/* Streams that were ready when the pass began, each once; then those whose time has come. */
static void works_go_on(void)
{
    struct due due;
    size_t count = worker.ready_count;
    uint64_t now_ns = line_now_ns();
    worker.ready_count = 0;
    for (size_t i = 0; i < count; i++)
        turn_give(worker.ready[i], now_ns);
    while (due_take(&worker.due, now_ns, &due))
        turn_give(due, now_ns);
}

void pipe_worker_run(int commands, int frames, bool is_batched)
{
    worker = (struct worker){.commands = commands,
                             .frames = frames,
                             .is_batched = is_batched,
                             .work_count_max = listener_descriptor_count()};
    worker.works = calloc(worker.work_count_max, sizeof(worker.works[0]));
    worker.ready = calloc(READY_COUNT_MAX(worker.work_count_max), sizeof(worker.ready[0]));
    mr_assert(worker.works && worker.ready);
    for (;;) {
        works_go_on();
        if (worker.ready_count == 0 && worker.count > 0)
            out_write();
        commands_read();
    }
}
