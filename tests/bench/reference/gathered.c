/* SPDX-License-Identifier: MIT */
/*
 * gathered.c - the least that a server can do: one process makes lines where it sends them.
 *
 * No isolation, no pipeline, no msgpack: what millrace costs beyond this is the price of its
 * processes and of its ring. Lines gather in a buffer that leaves by one call when it is full or
 * when nothing more is due; or, to show what gathering is worth, each leaves by a call of its own.
 *
 * A client that is being answered is in one of three places: its socket is full and an event will
 * say when it no longer is; its next line waits for its time; or it is ready for another turn.
 */
#include "tests/bench/reference/sources.h"

#include <stdlib.h>

#include "millrace/check.h"

/* Calls that a client may take before others have their turn. */
#define TURN_SEND_COUNT_MAX 4
#define TURN_SEND_COUNT_MAX_SINGLE 64

static struct ready {
    struct due *clients; /* their times are not used */
    size_t count, room;
} ready;
static bool is_single;

char *source_put_prefix(const struct server *server, struct client *client, char *out)
{
    if (client->prefix_pass != server->pass) {
        line_prefix_renew(&client->prefix, server->wall);
        client->prefix_pass = server->pass;
    }
    return line_put_prefix(out, &client->prefix);
}

static struct due due_of(const struct client *client, uint64_t time_ns)
{
    return (struct due){
        .time_ns = time_ns, .owner = (uint32_t)client->fd, .generation = client->generation};
}

static void ready_add(const struct server *server, const struct client *client)
{
    if (!ready.clients) {
        ready.room = server->client_count_max;
        ready.clients = calloc(ready.room, sizeof(ready.clients[0]));
        mr_assert(ready.clients);
    }
    mr_assert(ready.count < ready.room);
    ready.clients[ready.count++] = due_of(client, 0);
}

/* The lines that are due, as many as go into one call, and the end behind the last. False without
 * memory. */
static bool fill(const struct server *server, struct client *client)
{
    struct stream *stream = &client->stream;
    const char *text = stream_text(stream->text_bytes);
    size_t bytes_max = line_bytes_max(stream->text_bytes);
    while (stream_is_due(stream, server->now_ns) && !buffer_is_full(&client->out, bytes_max)) {
        char *out = buffer_chunk_room(&client->out, bytes_max);
        if (!out)
            return false;
        out = source_put_prefix(server, client, out);
        out = line_put_value(out, stream->next++, line_now_ns(), text, stream->text_bytes);
        buffer_commit(&client->out, line_put_tail(out));
        if (is_single)
            break;
    }
    if (stream->next == stream->total)
        server_end_answer(client);
    return true;
}

/* One turn. */
static bool go_on(struct server *server, struct client *client)
{
    const struct stream *stream = &client->stream;
    int send_count_max = is_single ? TURN_SEND_COUNT_MAX_SINGLE : TURN_SEND_COUNT_MAX;
    for (int i = 0; i < send_count_max; i++) {
        if (client->is_answering && buffer_waiting(&client->out) == 0 && !fill(server, client))
            return false;
        if (buffer_waiting(&client->out) == 0)
            break;
        int rc = buffer_send(&client->out, client->fd);
        if (rc <= 0)
            return rc == 0;
    }
    if (client->is_answering && stream->pace_ns > 0 && !stream_is_due(stream, server->now_ns))
        due_add(&server->due, due_of(client, stream_due_ns(stream)));
    else if (client->is_answering)
        ready_add(server, client);
    return true;
}

/* The head waits for the first line when that is due. */
static bool begin(struct server *server, struct client *client)
{
    server->now_ns = line_now_ns();
    if (client->stream.total > 0 && !fill(server, client))
        return false;
    if (client->stream.total == 0)
        server_end_answer(client);
    return go_on(server, client);
}

static void leave(struct server *server, struct client *client)
{
    (void)server;
    (void)client;
}

static bool pass(struct server *server, bool has_input)
{
    (void)has_input;
    struct due due;
    size_t count = ready.count;
    ready.count = 0;
    for (size_t i = 0; i < count; i++) {
        /* Those that want another turn are put where this one has been read. */
        struct due one = ready.clients[i];
        struct client *client = server_find(server, one.owner, one.generation);
        if (client && !go_on(server, client))
            server_close(server, client);
    }
    while (due_take(&server->due, server->now_ns, &due)) {
        struct client *client = server_find(server, due.owner, due.generation);
        if (client && !go_on(server, client))
            server_close(server, client);
    }
    return ready.count > 0;
}

const struct source *source_gathered(void)
{
    static const struct source source = {begin, go_on, leave, pass, .fd = -1};
    return &source;
}

const struct source *source_single(void)
{
    is_single = true;
    return source_gathered();
}
