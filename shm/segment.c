/* SPDX-License-Identifier: MIT */
/*
 * segment.c - makes, maps and checks the memfd that a dispatcher and one worker share.
 *
 * The sizes in the options say where everything lies; the offsets in the header are there to be
 * compared, not to be followed.
 */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/version.h"
#include "millrace/limits.h"
#include "shm/clock.h"

/* Linux 6.3; glibc 2.36 has no name for it yet. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEGMENT_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEGMENT_PAGE_BYTES 4096u

/* Where everything lies. */
struct segment_plan {
    uint64_t slots_offset;
    uint64_t request_ring_offset;
    uint64_t reply_ring_offset;
    uint64_t total_bytes;
};

static uint64_t segment_page_up(uint64_t bytes)
{
    return (bytes + SEGMENT_PAGE_BYTES - 1) & ~(uint64_t)(SEGMENT_PAGE_BYTES - 1);
}

static bool segment_ring_bytes_are_sound(uint32_t bytes)
{
    return bytes >= RING_BYTES_MIN && bytes <= RING_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

/* False when the options are out of bounds. */
static bool segment_plan(const struct segment_options *options, struct segment_plan *plan)
{
    if (options->slot_count == 0 || options->slot_count > SLOT_COUNT_MAX ||
        !segment_ring_bytes_are_sound(options->request_ring_bytes) ||
        !segment_ring_bytes_are_sound(options->reply_ring_bytes) || options->window_bytes == 0)
        return false;

    uint64_t slots_bytes = (uint64_t)options->slot_count * sizeof(struct slot_shared);
    plan->slots_offset = sizeof(struct segment_header);
    plan->request_ring_offset = segment_page_up(plan->slots_offset + slots_bytes);
    plan->reply_ring_offset = segment_page_up(
        plan->request_ring_offset + sizeof(struct ring_shared) + options->request_ring_bytes);
    plan->total_bytes = segment_page_up(plan->reply_ring_offset + sizeof(struct ring_shared) +
                                        options->reply_ring_bytes);
    return true;
}

uint64_t segment_bytes(const struct segment_options *options)
{
    struct segment_plan plan;
    return segment_plan(options, &plan) ? plan.total_bytes : 0;
}

/* Fills the view of a mapping that follows the plan. */
static void segment_view(struct segment *out, int fd, uint8_t *base,
                         const struct segment_options *options, const struct segment_plan *plan)
{
    *out = (struct segment){
        .fd = fd,
        .total_bytes = plan->total_bytes,
        .options = *options,
        .header = (void *)base,
        .slots = (void *)(base + plan->slots_offset),
        .request_ring = (void *)(base + plan->request_ring_offset),
        .reply_ring = (void *)(base + plan->reply_ring_offset),
    };
}

static void segment_fill(const struct segment *segment, const struct segment_plan *plan)
{
    struct segment_header *header = segment->header;
    header->magic = SEGMENT_MAGIC;
    header->layout_version = LAYOUT_VERSION;
    header->header_bytes = sizeof *header;
    header->total_bytes = plan->total_bytes;
    header->build_id = BUILD_ID;
    header->created_ns = clock_now_ns();
    header->slot_count = segment->options.slot_count;
    header->request_ring_bytes = segment->options.request_ring_bytes;
    header->reply_ring_bytes = segment->options.reply_ring_bytes;
    header->window_bytes = segment->options.window_bytes;
    header->slots_offset = plan->slots_offset;
    header->request_ring_offset = plan->request_ring_offset;
    header->reply_ring_offset = plan->reply_ring_offset;
    ring_format(segment->request_ring, segment->options.request_ring_bytes);
    ring_format(segment->reply_ring, segment->options.reply_ring_bytes);
}

/* An empty memfd that may be sealed, not executable where the kernel knows that word. */
static int segment_open(void)
{
    int fd = memfd_create("millrace", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd == -1 && errno == EINVAL)
        fd = memfd_create("millrace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

int segment_create(struct segment *out, const struct segment_options *options)
{
    int rc;
    struct segment_plan plan;
    if (!segment_plan(options, &plan))
        return -EINVAL;

    int fd = segment_open();
    if (fd == -1)
        return -errno;
    /* Unlike ftruncate() it takes the pages now: later no touch of them can fail (SIGBUS). */
    if (fallocate(fd, 0, 0, (off_t)plan.total_bytes) == -1) {
        rc = -errno;
        goto close_fd;
    }
    if (fcntl(fd, F_ADD_SEALS, SEGMENT_SEALS) == -1) {
        rc = -errno;
        goto close_fd;
    }
    void *base =
        mmap(NULL, plan.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (base == MAP_FAILED) {
        rc = -errno;
        goto close_fd;
    }
    segment_view(out, fd, base, options, &plan);
    segment_fill(out, &plan);
    return 0;

close_fd:
    close(fd);
    return rc;
}

/* Writes the sentence and hands on the result. `reason` has SEGMENT_REASON_BYTES. */
__attribute__((format(printf, 3, 4))) static int segment_refuse(char *reason, int rc,
                                                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, SEGMENT_REASON_BYTES, format, arguments);
    va_end(arguments);
    return rc;
}

/* Checks the descriptor itself: a memfd, sealed, large enough for a header. */
static int segment_check_fd(int fd, char *reason, uint64_t *total_bytes)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals == -1)
        return segment_refuse(reason, -EBADF, "descriptor %d is not a memfd", fd);
    if ((seals & SEGMENT_SEALS) != SEGMENT_SEALS)
        return segment_refuse(reason, -EPERM, "the memfd is not sealed (seals 0x%x)",
                              (unsigned)seals);

    struct stat status;
    if (fstat(fd, &status) == -1) {
        int rc = -errno;
        return segment_refuse(reason, rc, "fstat: %s", strerror(-rc));
    }
    if (status.st_size < (off_t)sizeof(struct segment_header))
        return segment_refuse(reason, -EINVAL,
                              "the memfd has %" PRId64 " bytes, less than a header",
                              (int64_t)status.st_size);
    *total_bytes = (uint64_t)status.st_size;
    return 0;
}

/* Checks a private copy of the header against the size of the memfd and against itself. */
static int segment_check_header(const struct segment_header *header, uint64_t total_bytes,
                                char *reason, struct segment_options *options,
                                struct segment_plan *plan)
{
    if (header->magic != SEGMENT_MAGIC)
        return segment_refuse(reason, -EINVAL, "magic is 0x%016" PRIx64, header->magic);
    if (header->layout_version != LAYOUT_VERSION)
        return segment_refuse(reason, -EPROTO,
                              "layout version is %" PRIu32 ", this program speaks %u",
                              header->layout_version, LAYOUT_VERSION);
    if (header->header_bytes != sizeof *header)
        return segment_refuse(reason, -EINVAL, "header_bytes is %" PRIu32, header->header_bytes);
    if (header->total_bytes != total_bytes)
        return segment_refuse(reason, -EINVAL, "total_bytes is %" PRIu64 ", the memfd has %" PRIu64,
                              header->total_bytes, total_bytes);

    *options = (struct segment_options){
        .slot_count = header->slot_count,
        .request_ring_bytes = header->request_ring_bytes,
        .reply_ring_bytes = header->reply_ring_bytes,
        .window_bytes = header->window_bytes,
    };
    if (!segment_plan(options, plan))
        return segment_refuse(reason, -EINVAL,
                              "slot_count %" PRIu32 ", request_ring_bytes %" PRIu32
                              ", reply_ring_bytes %" PRIu32 " or window_bytes %" PRIu32
                              " is out of bounds",
                              header->slot_count, header->request_ring_bytes,
                              header->reply_ring_bytes, header->window_bytes);
    if (plan->total_bytes != total_bytes)
        return segment_refuse(reason, -EINVAL,
                              "the sizes add up to %" PRIu64 " bytes, not %" PRIu64,
                              plan->total_bytes, total_bytes);
    if (header->slots_offset != plan->slots_offset)
        return segment_refuse(reason, -EINVAL, "slots_offset is %" PRIu64, header->slots_offset);
    if (header->request_ring_offset != plan->request_ring_offset)
        return segment_refuse(reason, -EINVAL, "request_ring_offset is %" PRIu64,
                              header->request_ring_offset);
    if (header->reply_ring_offset != plan->reply_ring_offset)
        return segment_refuse(reason, -EINVAL, "reply_ring_offset is %" PRIu64,
                              header->reply_ring_offset);
    return 0;
}

/* Checks the control words that the creator wrote into each ring. */
static int segment_check_rings(const struct segment *segment, char *reason)
{
    if (segment->request_ring->capacity != segment->options.request_ring_bytes)
        return segment_refuse(reason, -EINVAL, "the request ring's capacity is %" PRIu32,
                              segment->request_ring->capacity);
    if (segment->reply_ring->capacity != segment->options.reply_ring_bytes)
        return segment_refuse(reason, -EINVAL, "the reply ring's capacity is %" PRIu32,
                              segment->reply_ring->capacity);
    return 0;
}

int segment_attach(struct segment *out, int fd, char reason[static SEGMENT_REASON_BYTES])
{
    uint64_t total_bytes = 0;
    int rc = segment_check_fd(fd, reason, &total_bytes);
    if (rc != 0)
        return rc;

    void *base = mmap(NULL, total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (base == MAP_FAILED) {
        rc = -errno;
        return segment_refuse(reason, rc, "mmap: %s", strerror(-rc));
    }

    struct segment_header header;
    struct segment_options options;
    struct segment_plan plan;
    struct segment segment;
    memcpy(&header, base, offsetof(struct segment_header, worker_bell));
    rc = segment_check_header(&header, total_bytes, reason, &options, &plan);
    if (rc != 0)
        goto unmap;
    segment_view(&segment, fd, base, &options, &plan);
    rc = segment_check_rings(&segment, reason);
    if (rc != 0)
        goto unmap;
    *out = segment;
    return 0;

unmap:
    munmap(base, total_bytes);
    return rc;
}

void segment_detach(struct segment *segment)
{
    if (segment->fd == -1)
        return;
    munmap(segment->header, segment->total_bytes);
    close(segment->fd);
    *segment = (struct segment){.fd = -1};
}
