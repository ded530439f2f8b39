/* SPDX-License-Identifier: MIT */
/*
 * stage_client.h - the clients of the stage: what they say, and what the kernel has taken of their
 * answers.
 */
#ifndef TESTS_DISPATCHER_STAGE_CLIENT_H
#define TESTS_DISPATCHER_STAGE_CLIENT_H

#ifndef TESTS_DISPATCHER_STAGE_H
#error "stage.h includes this"
#endif

/* A pass, after which everything is as it should be. */
static inline bool stage_loop_pass(void)
{
    bool more = server_pass(stage.server);
    server_check(stage.server);
    return more;
}

static inline uint32_t stage_connect_by(const struct transport *transport)
{
    uint32_t index = stage.server->front.free->index;
    struct stage_client *client = &stage.clients[index];
    free(client->bytes);
    *client = (struct stage_client){0};
    conn_open(&stage.server->front, open("/dev/null", O_RDWR | O_CLOEXEC), transport);
    return index;
}

static inline uint32_t stage_connect(void)
{
    return stage_connect_by(&transport_plain);
}

/* Bytes from the client, as many as one receive can hold. */
static inline void stage_say_bytes(uint32_t index, const char *bytes, size_t count)
{
    struct stage_client *client = &stage.clients[index];
    mr_assert(client->recv.op == URING_RECV);
    mr_assert(count <= sizeof(stage.receive));
    memcpy(stage.receive, bytes, count);
    stage_event((struct uring_event){.ref = client->recv,
                                     .result = (int32_t)count,
                                     .more = !client->recv_is_single,
                                     .has_buffer = true});
    if (client->recv_is_single)
        client->recv = (struct uring_ref){URING_NONE, 0, 0};
    stage_loop_pass();
}

/* POST with this JSON body; `minor` of the version. */
static inline void stage_say(uint32_t index, const char *path, const char *body, int minor)
{
    char text[2048];
    int count = snprintf(text, sizeof(text),
                         "POST %s HTTP/1.%d\r\nHost: a\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\n\r\n%s",
                         path, minor, strlen(body), body);
    mr_assert(count > 0 && (size_t)count < sizeof(text));
    stage_say_bytes(index, text, (size_t)count);
}

static inline size_t stage_sending_bytes(uint32_t index)
{
    const struct stage_client *client = &stage.clients[index];
    size_t bytes = 0;
    for (size_t i = 0; client->send.op != URING_NONE && i < client->message->msg_iovlen; i++)
        bytes += client->message->msg_iov[i].iov_len;
    return bytes;
}

/* The kernel takes `count` of the bytes that are being sent, or fails with a negative errno. */
static inline void stage_sent(uint32_t index, ssize_t count)
{
    struct stage_client *client = &stage.clients[index];
    mr_assert(client->send.op == URING_SEND);
    size_t left = count > 0 ? (size_t)count : 0;
    if (client->count + left > client->room) {
        client->room = 2 * (client->count + left);
        client->bytes = realloc(client->bytes, client->room);
        mr_assert(client->bytes);
    }
    for (size_t i = 0; left > 0; i++) {
        mr_assert(i < client->message->msg_iovlen);
        const struct iovec *vector = &client->message->msg_iov[i];
        size_t part = vector->iov_len < left ? vector->iov_len : left;
        memcpy(client->bytes + client->count, vector->iov_base, part);
        client->count += part;
        left -= part;
    }
    stage_complete(&client->send, (int32_t)count);
}

/* The client closes its side. Of a connection that is not received from the loop hears it by the
 * poll for just that. */
static inline void stage_hang_up(uint32_t index)
{
    struct stage_client *client = &stage.clients[index];
    if (client->recv.op == URING_RECV)
        stage_complete(&client->recv, 0);
    else
        stage_complete(&client->gone, POLLRDHUP);
}

static inline bool stage_is_closed(uint32_t index)
{
    return stage.server->front.conns[index].state == CONN_FREE;
}

#endif
