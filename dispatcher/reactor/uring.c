/* SPDX-License-Identifier: MIT */
/* uring.c - the one wrapper around liburing (Debian 12 has 2.3). */
#include "dispatcher/reactor/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define RECEIVE_GROUP 0

struct uring {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers; /* shared with the kernel */
    char *buffer_bytes;
    struct uring_options options;
    uint64_t enter_count;
    unsigned setup_flags;
};

static int uring_buffers_create(struct uring *uring);
static int uring_sysctl_disabled(void);
static struct io_uring_sqe *uring_sqe_get(struct uring *uring, struct uring_ref ref);
static uint64_t uring_ref_pack(struct uring_ref ref);
static struct uring_ref uring_ref_unpack(uint64_t data);

int uring_create(struct uring **out, const struct uring_options *options)
{
    /* The best set of flags first; older kernels refuse unknown ones with EINVAL. */
    static const unsigned flag_sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    struct uring *uring = calloc(1, sizeof(*uring));
    if (!uring)
        return -ENOMEM;
    uring->options = *options;
    int rc = -EINVAL;
    for (size_t i = 0; i < ARRAY_COUNT(flag_sets) && rc == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flag_sets[i] | IORING_SETUP_CQSIZE |
                                                  IORING_SETUP_SUBMIT_ALL,
                                         .cq_entries = options->entries * 8};
        uring->setup_flags = params.flags;
        rc = io_uring_queue_init_params(options->entries, &uring->ring, &params);
    }
    if (rc < 0)
        goto free_uring;
    rc = uring_buffers_create(uring);
    if (rc < 0)
        goto exit_ring;
    *out = uring;
    return 0;

exit_ring:
    io_uring_queue_exit(&uring->ring);
    if (uring->buffers)
        munmap(uring->buffers, options->receive_buffer_count * sizeof(struct io_uring_buf));
    if (uring->buffer_bytes)
        munmap(uring->buffer_bytes,
               (size_t)options->receive_buffer_count * options->receive_buffer_bytes);
free_uring:
    free(uring);
    return rc;
}

void uring_destroy(struct uring *uring)
{
    if (!uring)
        return;
    io_uring_queue_exit(&uring->ring);
    munmap(uring->buffers, uring->options.receive_buffer_count * sizeof(struct io_uring_buf));
    munmap(uring->buffer_bytes,
           (size_t)uring->options.receive_buffer_count * uring->options.receive_buffer_bytes);
    free(uring);
}

void uring_explain(int error, char *text, size_t text_bytes)
{
    struct utsname system = {.release = "?"};
    uname(&system);
    int disabled = uring_sysctl_disabled();
    if (error == -EPERM && disabled > 0)
        snprintf(text, text_bytes,
                 "io_uring is switched off: kernel.io_uring_disabled=%d; run "
                 "`sysctl kernel.io_uring_disabled=0`%s",
                 disabled, disabled == 1 ? " or join the group of kernel.io_uring_group" : "");
    else if (error == -EPERM || error == -EACCES)
        snprintf(text, text_bytes,
                 "io_uring is refused (%s), usually by a container's seccomp profile: allow "
                 "io_uring_setup, io_uring_enter and io_uring_register in it",
                 strerror(-error));
    else if (error == -ENOSYS || error == -EINVAL)
        snprintf(text, text_bytes,
                 "this kernel (%s) lacks the io_uring features millrace needs (%s), or a seccomp "
                 "profile hides them: Linux 6.1 or later is required",
                 system.release, strerror(-error));
    else if (error == -ENOMEM)
        snprintf(text, text_bytes,
                 "not enough memory for io_uring: raise the locked-memory limit (ulimit -l, "
                 "LimitMEMLOCK=) or that on address space (ulimit -v), or free some");
    else
        snprintf(text, text_bytes, "io_uring cannot be set up: %s", strerror(-error));
}

const char *uring_features(const struct uring *uring)
{
    if (uring->setup_flags & IORING_SETUP_DEFER_TASKRUN)
        return "single_issuer,defer_taskrun";
    return uring->setup_flags & IORING_SETUP_COOP_TASKRUN ? "coop_taskrun" : "none";
}

/* Descriptors given to accept, recv, send, read and write are blocking ones: with O_NONBLOCK
 * io_uring answers EAGAIN instead of waiting on its own. The loop itself never waits either way. */
void uring_accept(struct uring *uring, int fd, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
}

void uring_recv(struct uring *uring, int fd, struct uring_ref ref, bool is_single)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    if (is_single)
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RECEIVE_GROUP;
}

void uring_send(struct uring *uring, int fd, const struct msghdr *message, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_sendmsg(sqe, fd, message, MSG_NOSIGNAL);
}

void uring_poll(struct uring *uring, int fd, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
}

void uring_poll_gone(struct uring *uring, int fd, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_poll_add(sqe, fd, POLLRDHUP);
}

void uring_read(struct uring *uring, int fd, void *bytes, uint32_t count, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_read(sqe, fd, bytes, count, (uint64_t)-1);
}

void uring_write(struct uring *uring, int fd, const void *bytes, uint32_t count,
                 struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_write(sqe, fd, bytes, count, (uint64_t)-1);
}

void uring_open(struct uring *uring, const char *path, int flags, unsigned mode,
                struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_openat(sqe, AT_FDCWD, path, flags, mode);
    sqe->flags |= IOSQE_ASYNC;
}

void uring_close(struct uring *uring, int fd, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = uring_sqe_get(uring, ref);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_ASYNC;
}

void uring_cancel(struct uring *uring, struct uring_ref ref)
{
    struct uring_ref own = {.op = URING_CANCEL};
    struct io_uring_sqe *sqe = uring_sqe_get(uring, own);
    io_uring_prep_cancel64(sqe, uring_ref_pack(ref), 0);
}

int uring_wait(struct uring *uring, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe = NULL;
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / 1000000000),
                                        .tv_nsec = (int64_t)(timeout_ns % 1000000000)};
    uring->enter_count++;
    int rc;
    if (timeout_ns == 0)
        rc = io_uring_submit_and_get_events(&uring->ring);
    else if (timeout_ns == UINT64_MAX)
        rc = io_uring_submit_and_wait(&uring->ring, 1);
    else
        rc = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL);
    /* EBUSY: completions must be reaped first, which is what the caller does next. */
    if (rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN)
        return 0;
    return rc;
}

uint32_t uring_reap(struct uring *uring, struct uring_event *events, uint32_t count)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    uint32_t n = 0;
    io_uring_for_each_cqe(&uring->ring, head, cqe)
    {
        if (n == count)
            break;
        events[n++] = (struct uring_event){
            .ref = uring_ref_unpack(cqe->user_data),
            .result = cqe->res,
            .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
            .has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0,
            .buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT),
        };
    }
    io_uring_cq_advance(&uring->ring, n);
    return n;
}

const char *uring_buffer(const struct uring *uring, uint16_t buffer)
{
    mr_assert(buffer < uring->options.receive_buffer_count);
    return uring->buffer_bytes + (size_t)buffer * uring->options.receive_buffer_bytes;
}

void uring_buffer_return(struct uring *uring, uint16_t buffer)
{
    uint32_t count = uring->options.receive_buffer_count;
    uint32_t bytes = uring->options.receive_buffer_bytes;
    mr_assert(buffer < count);
    io_uring_buf_ring_add(uring->buffers, uring->buffer_bytes + (size_t)buffer * bytes, bytes,
                          buffer, io_uring_buf_ring_mask(count), 0);
    io_uring_buf_ring_advance(uring->buffers, 1);
}

uint64_t uring_enter_count(const struct uring *uring)
{
    return uring->enter_count;
}

static uint64_t uring_ref_pack(struct uring_ref ref)
{
    mr_assert(ref.index < (1u << 24));
    return ((uint64_t)ref.generation << 32) | ((uint64_t)ref.index << 8) | (uint64_t)ref.op;
}

static struct uring_ref uring_ref_unpack(uint64_t data)
{
    return (struct uring_ref){.op = (enum uring_op)(data & 0xff),
                              .index = (uint32_t)(data >> 8) & 0xffffffu,
                              .generation = (uint32_t)(data >> 32)};
}

static int uring_buffers_create(struct uring *uring)
{
    uint32_t count = uring->options.receive_buffer_count;
    uint32_t bytes = uring->options.receive_buffer_bytes;
    size_t ring_bytes = count * sizeof(struct io_uring_buf);
    void *ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return -errno;
    void *memory = mmap(NULL, (size_t)count * bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        int rc = -errno;
        munmap(ring, ring_bytes);
        return rc;
    }
    uring->buffers = ring;
    uring->buffer_bytes = memory;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring, .ring_entries = count, .bgid = RECEIVE_GROUP};
    int rc = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (rc < 0)
        return rc;
    io_uring_buf_ring_init(uring->buffers);
    for (uint32_t i = 0; i < count; i++)
        io_uring_buf_ring_add(uring->buffers, uring->buffer_bytes + (size_t)i * bytes, bytes,
                              (unsigned short)i, io_uring_buf_ring_mask(count), (int)i);
    io_uring_buf_ring_advance(uring->buffers, (int)count);
    return 0;
}

/* kernel.io_uring_disabled, since Linux 6.6: 0 everyone, 1 a group or CAP_SYS_ADMIN, 2 nobody. */
static int uring_sysctl_disabled(void)
{
    char text[8] = {0};
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return 0;
    ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    return count > 0 ? text[0] - '0' : 0;
}

/* A full submission queue is handed over early; the kernel always takes at least one entry. */
static struct io_uring_sqe *uring_sqe_get(struct uring *uring, struct uring_ref ref)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    for (int i = 0; !sqe && i < 1000; i++) {
        uring->enter_count++;
        io_uring_submit(&uring->ring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    mr_assert(sqe);
    /* The io_uring_prep_ helpers leave user_data as it is. */
    sqe->user_data = uring_ref_pack(ref);
    return sqe;
}
