/* SPDX-License-Identifier: MIT */
/*
 * segment.h - the sealed memfd a dispatcher and one worker share: made, mapped, checked.
 */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include <stdint.h>

#include "millrace/check.h"
#include "millrace/layout.h"
#include "shm/doorbell.h"
#include "shm/ring.h"

#define SEGMENT_REASON_BYTES 160u

/* What a segment is made of. All sizes are bytes; rings are powers of two. */
struct segment_options {
    uint32_t slot_count;
    uint32_t request_ring_bytes;
    uint32_t reply_ring_bytes;
    uint32_t window_bytes;
};

/* One process's private view of a mapped segment: pointers into it, and copies of its constants
 * that the peer cannot change. */
struct segment {
    int fd; /* owned; -1 when none */
    uint64_t total_bytes;
    struct segment_options options;
    struct segment_header *header;
    struct slot_shared *slots;
    struct ring_shared *request_ring;
    struct ring_shared *reply_ring;
};

/* Makes, sizes, fills, seals (shrink, grow, seal) and maps a segment. Dispatcher only. Returns 0 or
 * -EINVAL (options out of bounds), -errno. On success `out` owns fd and mapping. */
int segment_create(struct segment *out, const struct segment_options *options) MUST_USE;

/* Maps the segment behind `fd` and checks every field of its header, seals included. Worker only.
 * Takes ownership of `fd` on success. Each result has one right reaction:
 *   0         attached
 *   -EBADF    `fd` is not a memfd (nothing was inherited)
 *   -EPERM    it is not sealed
 *   -EPROTO   another layout version
 *   -EINVAL   magic, sizes or offsets are wrong
 *   -errno    mmap failed
 * Where it fails, `reason` says in one sentence why, for the log. */
int segment_attach(struct segment *out, int fd, char reason[static SEGMENT_REASON_BYTES]) MUST_USE;

/* Unmaps and closes. Safe on a segment that is { .fd = -1 }. */
void segment_detach(struct segment *segment);

/* Bytes a segment with these options occupies; 0 when they are out of bounds. */
uint64_t segment_bytes(const struct segment_options *options);

#endif
