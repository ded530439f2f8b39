/* SPDX-License-Identifier: MIT */
/*
 * attachment.c - checks what was inherited before anything is believed.
 */
#include "worker/engine/attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "shm/clock.h"

#define ATTACHMENT_EVENT_COUNT_MAX 4
/* What epoll says of slots: this and more. Of our own descriptors it says their number. */
#define ATTACHMENT_SLOT_FIRST (UINT64_C(1) << 32)

static int attachment_check_bell(int fd, const char *whose, char *reason, size_t reason_bytes);
static int attachment_check_socket(int fd, char *reason, size_t reason_bytes);
static int attachment_open_epoll(struct attachment *attachment);
static int attachment_wait(struct attachment *attachment, const struct timespec *timeout);
static void attachment_add_ready(struct attachment *attachment, uint32_t slot);
static void attachment_remove_ready(struct attachment *attachment, uint32_t slot);
static void attachment_empty_bell(struct attachment *attachment);

int attachment_init(struct attachment *out, char *reason, size_t reason_bytes)
{
    struct attachment attached = {
        .segment = {.fd = -1},
        .bell = {.fd = WORKER_FD_BELL},
        .dispatcher_bell = {.fd = WORKER_FD_DISPATCHER_BELL},
        .socket = WORKER_FD_SOCKET,
        .epoll = -1,
        .wake = -1,
    };
    char refusal[SEGMENT_REASON_BYTES];
    int rc = segment_attach(&attached.segment, WORKER_FD_SEGMENT, refusal);
    if (rc != 0) {
        snprintf(reason, reason_bytes, "cannot attach the segment at descriptor %d: %s%s",
                 WORKER_FD_SEGMENT, refusal, rc == -EPROTO ? "; " ATTACHMENT_UPGRADED : "");
        return rc;
    }
    rc = attachment_check_bell(WORKER_FD_BELL, "worker's", reason, reason_bytes);
    if (rc == 0)
        rc = attachment_check_bell(WORKER_FD_DISPATCHER_BELL, "dispatcher's", reason, reason_bytes);
    if (rc == 0)
        rc = attachment_check_socket(WORKER_FD_SOCKET, reason, reason_bytes);
    if (rc != 0)
        goto detach_segment;

    const struct segment *segment = &attached.segment;
    ring_rx_init(&attached.request, segment->request_ring, segment->options.request_ring_bytes);
    ring_tx_init(&attached.reply, segment->reply_ring, segment->options.reply_ring_bytes);
    attached.bell.shared = &segment->header->worker_bell;
    attached.dispatcher_bell.shared = &segment->header->dispatcher_bell;

    /* Children that user code forks must not write into the rings. */
    if (madvise(segment->header, segment->total_bytes, MADV_DONTFORK) == -1) {
        rc = -errno;
        snprintf(reason, reason_bytes, "madvise of the segment: %s", strerror(-rc));
        goto detach_segment;
    }
    rc = attachment_open_epoll(&attached);
    if (rc != 0) {
        snprintf(reason, reason_bytes, "epoll: %s", strerror(-rc));
        goto detach_segment;
    }
    *out = attached;
    return 0;

detach_segment:
    segment_detach(&attached.segment);
    return rc;
}

static int attachment_check_bell(int fd, const char *whose, char *reason, size_t reason_bytes)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1) {
        int rc = -errno;
        snprintf(reason, reason_bytes, "descriptor %d should be the %s doorbell: %s", fd, whose,
                 strerror(-rc));
        return rc;
    }
    if (!(flags & O_NONBLOCK)) {
        snprintf(reason, reason_bytes, "descriptor %d, the %s doorbell, would block", fd, whose);
        return -EINVAL;
    }
    return 0;
}

static int attachment_check_socket(int fd, char *reason, size_t reason_bytes)
{
    int type;
    socklen_t type_bytes = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) == -1) {
        int rc = -errno;
        snprintf(reason, reason_bytes, "descriptor %d should be the socket: %s", fd, strerror(-rc));
        return rc;
    }
    if (type != SOCK_SEQPACKET) {
        snprintf(reason, reason_bytes, "descriptor %d is a socket, but not of packets", fd);
        return -EPROTO;
    }
    return 0;
}

/* Edge-triggered: waiting messages do not wake again. */
static int attachment_open_epoll(struct attachment *attachment)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll == -1)
        return -errno;
    struct epoll_event bell = {.events = EPOLLIN | EPOLLET, .data.u64 = WORKER_FD_BELL};
    struct epoll_event socket = {
        .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
        .data.u64 = WORKER_FD_SOCKET,
    };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, WORKER_FD_BELL, &bell) == -1 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, WORKER_FD_SOCKET, &socket) == -1) {
        int rc = -errno;
        close(epoll);
        return rc;
    }
    attachment->epoll = epoll;
    return 0;
}

uint64_t attachment_step_budget(const struct attachment *attachment)
{
    /* relaxed: a word on its own. */
    return atomic_load_explicit(&attachment->segment.header->step_budget, memory_order_relaxed);
}

void attachment_say_capacity(struct attachment *attachment, uint32_t run_count)
{
    /* relaxed: it is looked at when READY was read. */
    atomic_store_explicit(&attachment->segment.header->capacity, run_count, memory_order_relaxed);
}

int attachment_sleep(struct attachment *attachment, uint64_t due_ns)
{
    struct timespec timeout = {0};
    if (due_ns != CLOCK_NEVER) {
        uint64_t now_ns = clock_now_ns();
        if (due_ns <= now_ns)
            return 0;
        timeout.tv_sec = (time_t)((due_ns - now_ns) / CLOCK_NS_PER_S);
        timeout.tv_nsec = (long)((due_ns - now_ns) % CLOCK_NS_PER_S);
    }
    const struct attachment_lock *lock = &attachment->lock;
    void *state = lock->give_back ? lock->give_back() : NULL;
    int rc = attachment_wait(attachment, due_ns == CLOCK_NEVER ? NULL : &timeout);
    if (lock->take)
        lock->take(state);
    return rc;
}

int attachment_poll(struct attachment *attachment)
{
    return attachment_wait(attachment, &(struct timespec){0});
}

/* epoll_wait() with a timeout in nanoseconds. Seccomp profiles and tools that are older than Linux
 * 5.11 do not know the call for it; then it takes two. */
static int attachment_epoll(int epoll, struct epoll_event events[ATTACHMENT_EVENT_COUNT_MAX],
                            const struct timespec *timeout)
{
    int count = epoll_pwait2(epoll, events, ATTACHMENT_EVENT_COUNT_MAX, timeout, NULL);
    if (count != -1 || (errno != ENOSYS && errno != EPERM))
        return count;
    struct pollfd ready = {.fd = epoll, .events = POLLIN};
    count = ppoll(&ready, 1, timeout, NULL);
    return count <= 0 ? count : epoll_wait(epoll, events, ATTACHMENT_EVENT_COUNT_MAX, 0);
}

static int attachment_wait(struct attachment *attachment, const struct timespec *timeout)
{
    struct epoll_event events[ATTACHMENT_EVENT_COUNT_MAX];
    attachment->look_count++;
    int count = attachment_epoll(attachment->epoll, events, timeout);
    if (count == -1) {
        mr_assert(errno == EINTR);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        uint64_t which = events[i].data.u64;
        if (which >= ATTACHMENT_SLOT_FIRST)
            attachment_add_ready(attachment, (uint32_t)(which - ATTACHMENT_SLOT_FIRST));
        if (which == (uint64_t)attachment->bell.fd)
            attachment_empty_bell(attachment);
        if (which == WORKER_FD_SOCKET && events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            return -EPIPE;
    }
    return 0;
}

/* A bell is a pipe: what is left in it would fill it one day, and a full one rings no more. */
static void attachment_empty_bell(struct attachment *attachment)
{
    char rings[512];
    while (read(attachment->bell.fd, rings, sizeof rings) == (ssize_t)sizeof rings)
        continue;
}

int attachment_add_wake(struct attachment *attachment)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd == -1)
        return -errno;
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.u64 = (uint64_t)fd};
    if (epoll_ctl(attachment->epoll, EPOLL_CTL_ADD, fd, &wake) == -1) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    attachment->wake = fd;
    return 0;
}

void attachment_wake(struct attachment *attachment)
{
    const uint64_t one = 1;
    ssize_t written = write(attachment->wake, &one, sizeof one);
    mr_assert(written == (ssize_t)sizeof one || errno == EAGAIN);
}

int attachment_watch(struct attachment *attachment, int fd, uint32_t events, uint32_t slot)
{
    struct epoll_event watch = {
        .events = (events & (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP)) | EPOLLONESHOT,
        .data.u64 = ATTACHMENT_SLOT_FIRST + slot,
    };
    mr_assert(slot < SLOT_COUNT_MAX);
    return epoll_ctl(attachment->epoll, EPOLL_CTL_ADD, fd, &watch) == -1 ? -errno : 0;
}

void attachment_unwatch(struct attachment *attachment, int fd, uint32_t slot)
{
    epoll_ctl(attachment->epoll, EPOLL_CTL_DEL, fd, NULL); /* user code may have closed it */
    attachment_remove_ready(attachment, slot);
}

bool attachment_take_ready(struct attachment *attachment, uint32_t *slot)
{
    for (uint32_t i = 0; attachment->ready_count > 0 && i < ARRAY_COUNT(attachment->ready); i++) {
        if (attachment->ready[i] == 0)
            continue;
        *slot = i * 64 + (uint32_t)__builtin_ctzll(attachment->ready[i]);
        attachment_remove_ready(attachment, *slot);
        return true;
    }
    return false;
}

static void attachment_add_ready(struct attachment *attachment, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (attachment->ready[slot / 64] & bit)
        return;
    attachment->ready[slot / 64] |= bit;
    attachment->ready_count++;
}

static void attachment_remove_ready(struct attachment *attachment, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (!(attachment->ready[slot / 64] & bit))
        return;
    attachment->ready[slot / 64] &= ~bit;
    attachment->ready_count--;
}
