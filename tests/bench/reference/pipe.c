/* SPDX-License-Identifier: MIT */
/*
 * pipe.c - values come from a process of its own, through a pipe; this side makes lines of them and
 * gathers what is for one client.
 *
 *     parent  -- commands -->  worker         a pipe each way
 *             <-- frames ----
 *
 * One pipe carries the values of all clients, as one ring does. It is read as long as no client has
 * more waiting than BACKLOG_BYTES_MAX: a client that does not read holds up the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "millrace/check.h"
#include "tests/bench/reference/sources.h"

#define PIPE_BYTES (1 << 20) /* the most that the kernel gives to anyone */
#define READ_BYTES (256u * 1024)
#define BACKLOG_BYTES_MAX (1u << 20)

static struct side {
    int commands, frames;
    bool is_readable; /* no read has come to the end of the pipe yet */
    struct due slow;  /* the client for which reading stopped; a generation of 0: none */
    char *bytes;      /* READ_BYTES */
    struct due *fed;  /* clients that got bytes in this pass */
    size_t fed_count; /* at most one for each frame that READ_BYTES hold */
    struct pipe_frame frame;
    size_t frame_count; /* bytes of its head that have come */
    uint32_t left;      /* bytes of its value that have not */
} side;

static void command_send(uint32_t kind, const struct client *client)
{
    const struct pipe_command command = {.kind = kind,
                                         .owner = (uint32_t)client->fd,
                                         .generation = client->generation,
                                         .text_bytes = (uint32_t)client->stream.text_bytes,
                                         .total = client->stream.total,
                                         .pace_ns = client->stream.pace_ns,
                                         .start_ns = client->stream.start_ns};
    ssize_t count = write(side.commands, &command, sizeof(command));
    mr_assert(count == (ssize_t)sizeof(command));
}

static bool begin(struct server *server, struct client *client)
{
    (void)server;
    command_send(PIPE_BEGIN, client);
    return true;
}

static void leave(struct server *server, struct client *client)
{
    (void)server;
    command_send(PIPE_LEAVE, client);
}

static bool go_on(struct server *server, struct client *client)
{
    (void)server;
    return buffer_send(&client->out, client->fd) >= 0;
}

/* ---- frames become lines ---- */

static struct client *frame_client(const struct server *server)
{
    return server_find(server, side.frame.owner, side.frame.generation);
}

static void frame_begin(struct server *server)
{
    struct client *client = frame_client(server);
    side.left = side.frame.bytes;
    if (!client)
        return;
    if (!client->is_marked) {
        client->is_marked = true;
        side.fed[side.fed_count++] =
            (struct due){.owner = side.frame.owner, .generation = side.frame.generation};
    }
    if (side.frame.kind == PIPE_END) {
        server_end_answer(client);
        return;
    }
    client->stream.next++;
    char *out = buffer_chunk_room(&client->out, LINE_PREFIX_BYTES_MAX + side.left);
    mr_assert(out);
    buffer_commit(&client->out, source_put_prefix(server, client, out));
}

static void frame_feed(struct server *server, const char *bytes, size_t count)
{
    struct client *client = frame_client(server);
    side.left -= (uint32_t)count;
    if (!client)
        return;
    char *out = buffer_chunk_room(&client->out, count + line_bytes_max(0));
    mr_assert(out);
    memcpy(out, bytes, count);
    out += count;
    buffer_commit(&client->out, side.left == 0 ? line_put_tail(out) : out);
}

/* Takes what was read, wherever it begins and ends. */
static void frames_take(struct server *server, const char *bytes, size_t count)
{
    while (count > 0) {
        size_t taken;
        if (side.left > 0) {
            taken = count < side.left ? count : side.left;
            frame_feed(server, bytes, taken);
        } else {
            size_t missing = sizeof(side.frame) - side.frame_count;
            taken = count < missing ? count : missing;
            memcpy((char *)&side.frame + side.frame_count, bytes, taken);
            side.frame_count += taken;
            if (side.frame_count == sizeof(side.frame)) {
                side.frame_count = 0;
                frame_begin(server);
            }
        }
        bytes += taken;
        count -= taken;
    }
}

/* ---- a pass ---- */

/* One call for each client that got something. */
static void fed_send(struct server *server)
{
    for (size_t i = 0; i < side.fed_count; i++) {
        struct client *client = server_find(server, side.fed[i].owner, side.fed[i].generation);
        if (!client)
            continue;
        client->is_marked = false;
        if (buffer_send(&client->out, client->fd) < 0)
            server_close(server, client);
        else if (buffer_waiting(&client->out) > BACKLOG_BYTES_MAX)
            side.slow = side.fed[i];
    }
    side.fed_count = 0;
}

static bool is_held_up(const struct server *server)
{
    const struct client *client = side.slow.generation == 0
                                      ? NULL
                                      : server_find(server, side.slow.owner, side.slow.generation);
    if (client && buffer_waiting(&client->out) > BACKLOG_BYTES_MAX / 2)
        return true;
    side.slow.generation = 0;
    return false;
}

static bool pass(struct server *server, bool has_input)
{
    side.is_readable |= has_input;
    if (!side.is_readable || is_held_up(server))
        return false;
    ssize_t count = read(side.frames, side.bytes, READ_BYTES);
    mr_assert(count > 0 || (count == -1 && errno == EAGAIN));
    side.is_readable = count == (ssize_t)READ_BYTES;
    if (count > 0)
        frames_take(server, side.bytes, (size_t)count);
    fed_send(server);
    return side.is_readable && side.slow.generation == 0;
}

const struct source *source_pipe(bool is_batched)
{
    static struct source source = {begin, go_on, leave, pass, .fd = -1};
    int commands[2], frames[2];
    mr_assert(pipe2(commands, O_CLOEXEC) == 0);
    mr_assert(pipe2(frames, O_CLOEXEC) == 0);
    fcntl(commands[1], F_SETPIPE_SZ, PIPE_BYTES);
    fcntl(frames[1], F_SETPIPE_SZ, PIPE_BYTES);
    pid_t pid = fork();
    mr_assert(pid != -1);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(commands[1]);
        close(frames[0]);
        pipe_worker_run(commands[0], frames[1], is_batched);
    }
    close(commands[0]);
    close(frames[1]);
    mr_assert(fcntl(frames[0], F_SETFL, O_NONBLOCK) == 0);
    side.commands = commands[1];
    side.frames = source.fd = frames[0];
    side.bytes = malloc(READ_BYTES);
    side.fed = calloc(READ_BYTES / sizeof(struct pipe_frame) + 1, sizeof(side.fed[0]));
    mr_assert(side.bytes && side.fed);
    return &source;
}
