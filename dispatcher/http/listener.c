/* SPDX-License-Identifier: MIT */
/* listener.c - listening sockets; what happens when descriptors run out. */
#include "dispatcher/http/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/http/front.h"
#include "dispatcher/http/transport.h"

#define ACCEPT_RETRY_MS 50u
/* A server that was killed may keep its address for a moment: the kernel ends its io_uring, which
 * holds the socket, behind it. */
#define LISTEN_TRY_COUNT 40u
#define LISTEN_RETRY_MS 50
#define BACKLOG 4096

static int listener_split_address(const char *address, char *host, size_t host_bytes,
                                  const char **port);
static void listener_format_name(struct listener *listener);
static int listener_socket(const struct addrinfo *info);
static int listener_socket_patiently(const struct addrinfo *info);
static struct uring_ref listener_ref(const struct front *front, const struct listener *listener);

int listener_open(struct listener *out, const char *address, bool is_patient, char *reason,
                  size_t reason_bytes)
{
    char host[64];
    const char *port;
    struct addrinfo *info = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int rc = listener_split_address(address, host, sizeof host, &port);
    if (rc < 0) {
        snprintf(reason, reason_bytes, "%s: not ADDRESS:PORT", address);
        return rc;
    }
    int error = getaddrinfo(host[0] ? host : NULL, port, &hints, &info);
    if (error != 0) {
        snprintf(reason, reason_bytes, "%s: %s", address, gai_strerror(error));
        return -EINVAL;
    }
    int fd = is_patient ? listener_socket_patiently(info) : listener_socket(info);
    freeaddrinfo(info);
    if (fd < 0) {
        snprintf(reason, reason_bytes, "%s: %s%s", address, strerror(-fd),
                 fd == -EADDRINUSE ? "; another server listens there, use --listen" : "");
        return fd;
    }
    *out = (struct listener){
        .fd = fd, .generation = out->generation + 1, .transport = &transport_plain};
    snprintf(out->address, sizeof out->address, "%s", address);
    listener_format_name(out);
    return 0;
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

void listener_arm(struct front *front)
{
    for (uint32_t i = 0; i < front->listener_count; i++) {
        struct listener *listener = &front->listeners[i];
        if (listener->accept_queued || listener->fd < 0)
            continue;
        uring_accept(front->reactor->uring, listener->fd, listener_ref(front, listener));
        listener->accept_queued = true;
    }
}

static void listener_admit(struct front *front, int fd, const struct transport *transport)
{
    if (!front->ops->admits || front->ops->admits(front->owner, fd))
        conn_open(front, fd, transport);
    else
        conn_refuse_peer(front, fd, transport);
}

void listener_on_accept(struct front *front, const struct uring_event *event)
{
    uint32_t at = event->ref.index - front->index_base;
    mr_assert(at < LISTENER_COUNT_MAX);
    struct listener *listener = &front->listeners[at];
    bool is_its = event->ref.generation == listener->generation;
    if (!event->more && is_its)
        listener->accept_queued = false;
    if (event->result >= 0) {
        listener_admit(front, event->result, listener->transport);
    } else if (!is_its) {
        return;
    } else if (event->result == -EMFILE || event->result == -ENFILE || event->result == -ENOBUFS ||
               event->result == -ENOMEM) {
        /* The connection stays in the backlog. Asking again at once would spin. */
        front->counts.accept_failed_count++;
        log_event(&front->reactor->log, LEVEL_WARNING, "accept_failed",
                  LOG_TEXT("error", strerror(-event->result)),
                  LOG_NATURAL("retry_ms", ACCEPT_RETRY_MS));
        timer_set(&front->reactor->timers, &front->accept_timer,
                  front->reactor->now_ms + ACCEPT_RETRY_MS);
        return;
    }
    if (!event->more)
        listener_on_timer(front);
}

void listener_on_timer(struct front *front)
{
    if (!front->is_draining)
        listener_arm(front);
}

void listener_disarm(struct front *front)
{
    timer_clear(&front->reactor->timers, &front->accept_timer);
    for (uint32_t i = 0; i < front->listener_count; i++)
        listener_end(front, i);
}

void listener_end(struct front *front, uint32_t index)
{
    struct listener *listener = &front->listeners[index];
    if (listener->accept_queued)
        uring_cancel(front->reactor->uring, listener_ref(front, listener));
    listener->accept_queued = false;
    listener_close(listener);
}

/* Splits at the last colon; brackets around an IPv6 address are taken off. */
static int listener_split_address(const char *address, char *host, size_t host_bytes,
                                  const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == '\0')
        return -EINVAL;
    const char *from = address;
    size_t count = (size_t)(colon - address);
    if (count >= 2 && from[0] == '[' && from[count - 1] == ']') {
        from++;
        count -= 2;
    }
    if (count >= host_bytes)
        return -EINVAL;
    memcpy(host, from, count);
    host[count] = '\0';
    *port = colon + 1;
    return 0;
}

static void listener_format_name(struct listener *listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t bytes = sizeof bound;
    char host[64], port[8];
    if (getsockname(listener->fd, (struct sockaddr *)&bound, &bytes) == -1 ||
        getnameinfo((struct sockaddr *)&bound, bytes, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(listener->name, sizeof listener->name, "?");
    else
        snprintf(listener->name, sizeof listener->name,
                 bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int listener_socket(const struct addrinfo *info)
{
    int on = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd == -1)
        return -errno;
    /* Accepted sockets inherit TCP_NODELAY. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == -1 || listen(fd, BACKLOG) == -1) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* Before there is a loop that must not wait. */
static int listener_socket_patiently(const struct addrinfo *info)
{
    int fd = listener_socket(info);
    for (uint32_t i = 1; fd == -EADDRINUSE && i < LISTEN_TRY_COUNT; i++) {
        poll(NULL, 0, LISTEN_RETRY_MS);
        fd = listener_socket(info);
    }
    return fd;
}

static struct uring_ref listener_ref(const struct front *front, const struct listener *listener)
{
    uint32_t at = (uint32_t)(listener - front->listeners);
    return (struct uring_ref){URING_ACCEPT, front->index_base + at, listener->generation};
}
