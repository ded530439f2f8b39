/* SPDX-License-Identifier: MIT */
/*
 * layout.h - every byte that two processes share, who writes it, who reads it, and in which order.
 *
 * One segment (a sealed memfd) for each worker. The creator is the dispatcher; the worker attaches.
 *
 *      0 +----------------+
 *        | header         |  constants, magic; the two doorbells' sleep words, counts
 *   4096 +----------------+
 *        | slot 0..n-1    |  one run's place each, 128 bytes
 *        +----------------+  page boundary
 *        | request ring   |  dispatcher writes, worker reads
 *        +----------------+  page boundary
 *        | reply ring     |  worker writes, dispatcher reads
 *        +----------------+
 *
 * Nothing here is a pointer, a descriptor, a size_t, a bool, an enum or a lock. The dispatcher
 * keeps private copies of all constants and never reads them back: a worker may overwrite any byte.
 *
 * The memory-order labels (R1, A1, ...) are explained in docs/internals/memory.md.
 *
 * Layout versions, oldest first:
 *   1  first layout
 *   2  crash report in the header
 *   3  the sleep word says what its sleeper waits for
 *   4  count of cancel words in the header
 *   5  the text of a crash report may begin with an exception
 *   6  calls for many runs at once are counted in the header
 *   7  step budget of an engine
 *   8  capacity of an engine
 */
#ifndef MILLRACE_LAYOUT_H
#define MILLRACE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LAYOUT_VERSION 8u
#define SEGMENT_MAGIC UINT64_C(0x454341524c4c494d) /* the bytes "MILLRACE" */

/*
 * Doorbell: the sleep word of one process on this segment (shm/doorbell.h).
 *
 *  offset  size  field   writer           reader  order / meaning
 *       0     4  asleep  sleeper; waker   both    S1<->S2: DOORBELL_ bits the sleeper waits for;
 *                                                0 = awake. Else ring after publishing
 *       4   124  -                                one writer's line, and its neighbour
 */
enum doorbell_news {
    DOORBELL_WORK = 1,   /* a record, a cancel word */
    DOORBELL_WINDOW = 2, /* a delivered count moved */
    DOORBELL_SPACE = 4,  /* bytes of a ring were given back */
    DOORBELL_ANY = 7
};

struct doorbell_shared {
    _Atomic uint32_t asleep;
    uint8_t pad[124];
};

/*
 * Crash report: what a worker's signal handler saw, 2048 bytes.
 *
 *  offset  size  field       writer  reader      order / meaning
 *       0     4  number      worker  dispatcher  of the signal; 0 = none
 *       4     4  code        worker  dispatcher  si_code
 *       8     8  address     worker  dispatcher  si_addr of a fault, else 0
 *      16     4  text_bytes  worker  dispatcher  of text; checked like every length
 *      20     4  sender      worker  dispatcher  process that sent it; 0: the kernel, or itself
 *      24  2024  text        worker  dispatcher  a frame a line, innermost first; before them, if
 *                                                a C++ exception was it, a line with this word
 */
#define CRASH_TEXT_BYTES 2024u
#define CRASH_UNCAUGHT "uncaught "

struct crash_shared {
    uint32_t number;
    int32_t code;
    uint64_t address;
    uint32_t text_bytes;
    uint32_t sender;
    char text[CRASH_TEXT_BYTES];
};

/*
 * Calls of the pipeline's code for many runs at once, counted (shm/calls.h), 288 bytes. They are
 * only shown: nothing is decided by them.
 *
 *  offset  size  field        writer  reader      order / meaning
 *       0     8  time_ns      worker  dispatcher  relaxed: that all calls took together
 *       8     8  item_count   worker  dispatcher  relaxed: items of all calls together
 *      16   144  time_counts  worker  dispatcher  relaxed: calls that took [0] up to 100 us, [1] up
 *                                                 to 200 us, ... [16] 6.5536 s; [17] longer
 *     160   128  item_counts  worker  dispatcher  relaxed: calls with [0] no items, [1] one, [2] 2,
 *                                                 [3] up to 4, ... [14] 8192; [15] more
 */
#define CALLS_TIME_COUNT 18u
#define CALLS_ITEM_COUNT 16u

struct calls_shared {
    _Atomic uint64_t time_ns;
    _Atomic uint64_t item_count;
    _Atomic uint64_t time_counts[CALLS_TIME_COUNT];
    _Atomic uint64_t item_counts[CALLS_ITEM_COUNT];
};

/*
 * Segment header, at offset 0, 4096 bytes. The constants are written once, before the worker
 * exists.
 *
 *  offset  size  field                 writer   reader   order / meaning
 *       0     8  magic                 creator  worker   SEGMENT_MAGIC
 *       8     4  layout_version        creator  worker   LAYOUT_VERSION
 *      12     4  header_bytes          creator  worker   sizeof(struct segment_header)
 *      16     8  total_bytes           creator  worker   equals the memfd's size
 *      24     8  build_id              creator  worker   BUILD_ID of the dispatcher
 *      32     8  created_ns            creator  worker   CLOCK_MONOTONIC, for people
 *      40     4  slot_count            creator  worker   1 .. SLOT_COUNT_MAX
 *      44     4  request_ring_bytes    creator  worker   capacity, a power of two
 *      48     4  reply_ring_bytes      creator  worker   capacity, a power of two
 *      52     4  window_bytes          creator  worker   charge a run may have undelivered
 *      56     8  slots_offset          creator  worker   of struct slot_shared[slot_count]
 *      64     8  request_ring_offset   creator  worker   of struct ring_shared
 *      72     8  reply_ring_offset     creator  worker   of struct ring_shared
 *     128   128  worker_bell           both     both     the worker sleeps on this one
 *     256   128  dispatcher_bell       both     both     the dispatcher sleeps on this one
 *     384  2048  crash                 worker   dispatch.  plain: read after the worker's end
 *    2432     8  cancel_count          dispatch. worker  R6->A6: cancel words stored so far
 *    2440     8  step_budget           dispatch. worker   relaxed: of an engine, units of its own
 *                                                         that a step may take up; 0: not said
 *    2448   112  -                                       the dispatcher's line ends
 *    2560   288  steps                 worker   dispatch.  of an engine; items: values emitted
 *    2848   288  batches               worker   dispatch.  of batched pipes; items: runs
 *    3136     8  capacity              worker   dispatch.  relaxed, before READY: runs it takes
 *                                                         at once; 0: as many as come
 *    3144   952  -                                       zero, for later versions
 */
struct segment_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t header_bytes;
    uint64_t total_bytes;
    uint64_t build_id;
    uint64_t created_ns;
    uint32_t slot_count;
    uint32_t request_ring_bytes;
    uint32_t reply_ring_bytes;
    uint32_t window_bytes;
    uint64_t slots_offset;
    uint64_t request_ring_offset;
    uint64_t reply_ring_offset;
    uint8_t pad0[48];
    struct doorbell_shared worker_bell;
    struct doorbell_shared dispatcher_bell;
    struct crash_shared crash;
    _Atomic uint64_t cancel_count;
    _Atomic uint64_t step_budget;
    uint8_t pad1[112];
    struct calls_shared steps;
    struct calls_shared batches;
    _Atomic uint64_t capacity;
    uint8_t pad2[952];
};

/*
 * Slot: one run's place on a worker, 128 bytes. The dispatcher's half and the worker's half lie on
 * different cache lines.
 *
 *  offset  size  field      writer      reader      order / meaning
 *       0     8  word       both        both        R3->A3: (generation << 8) | state, by CAS
 *       8     8  cancel     dispatcher  worker      R4->A4: (generation << 8) | reason; 0 = none
 *      16     8  delivered  dispatcher  worker      R5->A5: charge delivered to the client so far
 *      64     8  progress   worker      dispatcher  relaxed: CLOCK_MONOTONIC ns of the last step
 *
 * States, and who may take each arrow (always by CAS on `word`):
 *
 *   FREE     -> OFFERED   dispatcher   new generation; before the START record is committed
 *   OFFERED  -> RUNNING   worker       when it takes the START record
 *   OFFERED  -> REVOKED   dispatcher   cancelled before the worker looked; it never starts
 *   RUNNING  -> ENDED     worker       before it commits the END or ERROR record
 *   REVOKED  -> ENDED     worker       likewise, without having run
 *   ENDED    -> FREE      dispatcher   after the END or ERROR record was drained
 */
enum slot_state {
    SLOT_FREE = 0,
    SLOT_OFFERED,
    SLOT_RUNNING,
    SLOT_REVOKED,
    SLOT_ENDED,
    SLOT_STATE_COUNT
};

struct slot_shared {
    _Atomic uint64_t word;
    _Atomic uint64_t cancel;
    _Atomic uint64_t delivered;
    uint8_t pad0[40];
    _Atomic uint64_t progress;
    uint8_t pad1[56];
};

/*
 * Record ring: single producer, single consumer, `capacity` bytes of data after the control words.
 * Positions are 64-bit and free-running; only offsets into the data are masked.
 *
 *  offset  size  field     writer    reader    order / meaning
 *       0     8  tail      producer  consumer  R1->A1: position after the last committed record
 *     128     8  head      consumer  producer  R2->A2: position of the first byte still in use
 *     256     4  capacity  creator   worker    constant once shared; a power of two
 *     384     -  data      producer  consumer  ordered by R1/A1 and R2/A2
 */
struct ring_shared {
    _Atomic uint64_t tail;
    uint8_t pad0[120];
    _Atomic uint64_t head;
    uint8_t pad1[120];
    uint32_t capacity;
    uint8_t pad2[124];
    uint8_t data[];
};

/*
 * Record: a header and `bytes` of payload, padded to RECORD_ALIGN, contiguous in the ring. Where
 * the rest before the wrap is too small, a RECORD_PAD fills it. Headers start at multiples of
 * RECORD_ALIGN, so one always fits before the wrap.
 *
 *  offset  size  field       meaning
 *       0     4  bytes       payload bytes after this header
 *       4     2  slot        slot index; 0 where a kind has none
 *       6     1  kind        enum record_kind (protocol.h)
 *       7     1  flags       RECORD_MORE ...
 *       8     4  generation  the slot's, as in its word
 *      12     4  sequence    of this slot and generation, from 0, each record one more
 */
struct record {
    uint32_t bytes;
    uint16_t slot;
    uint8_t kind;
    uint8_t flags;
    uint32_t generation;
    uint32_t sequence;
};

#define RECORD_ALIGN 16u

/* clang-format off */
_Static_assert(sizeof(struct doorbell_shared) == 128, "layout table");
_Static_assert(offsetof(struct segment_header, total_bytes) == 16, "layout table");
_Static_assert(offsetof(struct segment_header, slot_count) == 40, "layout table");
_Static_assert(offsetof(struct segment_header, slots_offset) == 56, "layout table");
_Static_assert(offsetof(struct segment_header, worker_bell) == 128, "layout table");
_Static_assert(offsetof(struct segment_header, dispatcher_bell) == 256, "layout table");
_Static_assert(sizeof(struct crash_shared) == 2048, "layout table");
_Static_assert(offsetof(struct segment_header, crash) == 384, "layout table");
_Static_assert(offsetof(struct segment_header, cancel_count) == 2432, "layout table");
_Static_assert(offsetof(struct calls_shared, time_counts) == 16, "layout table");
_Static_assert(offsetof(struct calls_shared, item_counts) == 160, "layout table");
_Static_assert(sizeof(struct calls_shared) == 288, "layout table");
_Static_assert(offsetof(struct segment_header, step_budget) == 2440, "layout table");
_Static_assert(offsetof(struct segment_header, steps) == 2560, "layout table");
_Static_assert(offsetof(struct segment_header, batches) == 2848, "layout table");
_Static_assert(offsetof(struct segment_header, capacity) == 3136, "layout table");
_Static_assert(sizeof(struct segment_header) == 4096, "layout table");
_Static_assert(offsetof(struct slot_shared, delivered) == 16, "layout table");
_Static_assert(offsetof(struct slot_shared, progress) == 64, "layout table");
_Static_assert(sizeof(struct slot_shared) == 128, "layout table");
_Static_assert(offsetof(struct ring_shared, head) == 128, "layout table");
_Static_assert(offsetof(struct ring_shared, capacity) == 256, "layout table");
_Static_assert(offsetof(struct ring_shared, data) == 384, "layout table");
_Static_assert(sizeof(struct record) == RECORD_ALIGN, "a header fits before every wrap");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared words must be lock-free to cross processes");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "shared words must be lock-free to cross processes");
/* clang-format on */

#endif
