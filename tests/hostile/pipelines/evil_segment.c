/* SPDX-License-Identifier: MIT */
/*
 * evil_segment.c - scribbles over the memory that a worker shares with the dispatcher, and writes
 * records into it that no worker writes.
 */
#include "evil.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <millrace/layout.h>
#include <millrace/protocol.h>

#define FRAGMENT_BYTES 262080u
#define SCRIBBLE_PAUSE_NS 20000

struct view {
    struct segment_header *header;
    uint64_t bytes;
    struct segment_header constants; /* as they were before anybody scribbled */
    struct slot_shared *slots;
    struct ring_shared *requests;
    struct ring_shared *replies;
};

/* The segment, mapped once more: this worker's own view of it stays where it is. */
static int view_open(struct view *out)
{
    struct stat file;
    if (fstat(WORKER_FD_SEGMENT, &file) == -1)
        return -errno;
    void *memory =
        mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_SEGMENT, 0);
    if (memory == MAP_FAILED)
        return -errno;
    struct segment_header *header = memory;
    char *base = memory;
    *out = (struct view){header,
                         (uint64_t)file.st_size,
                         *header,
                         (struct slot_shared *)(base + header->slots_offset),
                         (struct ring_shared *)(base + header->request_ring_offset),
                         (struct ring_shared *)(base + header->reply_ring_offset)};
    return 0;
}

static uint64_t chance_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    uint64_t mixed = *state ^ (*state >> 29);
    /* Near values find more than wild ones. */
    return mixed % 4 == 0 ? mixed : mixed % 3 == 0 ? mixed % 64 : UINT64_MAX - mixed % 64;
}

/* ---- scribbling ------------------------------------------------------------------------------ */

static void scribble_tail(struct view *view, uint64_t value)
{
    atomic_fetch_add(&view->replies->tail, value);
}

static void scribble_head(struct view *view, uint64_t value)
{
    atomic_fetch_add(&view->replies->head, value);
}

/* Some record's header in the reply ring. */
static struct record *record_near(struct view *view, uint64_t value)
{
    uint64_t place = atomic_load(&view->replies->head) + value % 8 * RECORD_ALIGN;
    place &= (view->constants.reply_ring_bytes - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
    return (struct record *)(view->replies->data + place);
}

static void scribble_length(struct view *view, uint64_t value)
{
    record_near(view, value)->bytes = (uint32_t)value;
}

static void scribble_kind(struct view *view, uint64_t value)
{
    struct record *record = record_near(view, value);
    record->kind = (uint8_t)value;
    record->flags = (uint8_t)(value >> 8);
}

static void scribble_slot(struct view *view, uint64_t value)
{
    record_near(view, value)->slot = (uint16_t)value;
}

static void scribble_generation(struct view *view, uint64_t value)
{
    record_near(view, value)->generation = (uint32_t)value;
}

static void scribble_sequence(struct view *view, uint64_t value)
{
    record_near(view, value)->sequence = (uint32_t)value;
}

static struct slot_shared *slot_of(struct view *view, uint64_t value)
{
    return &view->slots[value % view->constants.slot_count];
}

static void scribble_words(struct view *view, uint64_t value)
{
    atomic_store(&slot_of(view, value)->word, value);
}

static void scribble_delivered(struct view *view, uint64_t value)
{
    atomic_store(&slot_of(view, value)->delivered, value);
}

static void scribble_progress(struct view *view, uint64_t value)
{
    atomic_store(&slot_of(view, value)->progress, value);
}

static void scribble_cancel(struct view *view, uint64_t value)
{
    atomic_store(&slot_of(view, value)->cancel, value);
    atomic_store(&view->header->cancel_count, value);
}

static void scribble_crash(struct view *view, uint64_t value)
{
    struct crash_shared *crash = &view->header->crash;
    memset(crash, (int)(value & 0xff), sizeof(*crash));
    crash->text_bytes = (uint32_t)value;
}

static void scribble_bells(struct view *view, uint64_t value)
{
    atomic_store(&view->header->worker_bell.asleep, (uint32_t)value);
    atomic_store(&view->header->dispatcher_bell.asleep, (uint32_t)value);
}

static void scribble_requests(struct view *view, uint64_t value)
{
    atomic_fetch_add(&view->requests->head, value);
    atomic_fetch_add(&view->requests->tail, value);
    view->requests->data[value % view->constants.request_ring_bytes] = (uint8_t)value;
}

static void scribble_constants(struct view *view, uint64_t value)
{
    memset(view->header, (int)(value & 0xff), offsetof(struct segment_header, pad0));
    view->requests->capacity = view->replies->capacity = (uint32_t)value;
}

static void scribble_payload(struct view *view, uint64_t value)
{
    view->replies->data[value % view->constants.reply_ring_bytes] = (uint8_t)(value >> 8);
}

static void scribble_anything(struct view *view, uint64_t value)
{
    uint64_t place = (value >> 3) % (view->bytes / sizeof(value));
    memcpy((char *)view->header + place * sizeof(value), &value, sizeof(value));
}

static void scribble_holes(struct view *view, uint64_t value)
{
    (void)view;
    fallocate(WORKER_FD_SEGMENT, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              (off_t)(value % 64 * 4096), 4096);
}

static const struct pattern {
    const char *name;
    void (*scribble)(struct view *view, uint64_t value);
} patterns[] = {
    {"tail", scribble_tail},           {"head", scribble_head},
    {"length", scribble_length},       {"kind", scribble_kind},
    {"slot", scribble_slot},           {"generation", scribble_generation},
    {"sequence", scribble_sequence},   {"words", scribble_words},
    {"delivered", scribble_delivered}, {"progress", scribble_progress},
    {"cancel", scribble_cancel},       {"crash", scribble_crash},
    {"bells", scribble_bells},         {"requests", scribble_requests},
    {"constants", scribble_constants}, {"payload", scribble_payload},
    {"anything", scribble_anything},   {"holes", scribble_holes},
};

struct scribbler {
    struct view view;
    void (*scribble)(struct view *view, uint64_t value);
    uint64_t state;
    long count;
};

static void *scribbler_run(void *argument)
{
    struct scribbler *scribbler = argument;
    static const struct timespec rest = {0, SCRIBBLE_PAUSE_NS};
    for (long i = 0; i < scribbler->count; i++) {
        scribbler->scribble(&scribbler->view, chance_next(&scribbler->state));
        nanosleep(&rest, NULL);
    }
    munmap(scribbler->view.header, scribbler->view.bytes);
    free(scribbler);
    return NULL;
}

/* scribble PATTERN SEED COUNT: beside a stream of chunks, by a thread of its own. */
static int scribble(struct evil *evil)
{
    const char *name = evil_word(evil, 1, "anything");
    struct scribbler *scribbler = calloc(1, sizeof(*scribbler));
    pthread_t thread;
    if (!scribbler)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        if (strcmp(patterns[i].name, name) == 0)
            scribbler->scribble = patterns[i].scribble;
    int rc = scribbler->scribble ? view_open(&scribbler->view) : -EINVAL;
    scribbler->state = (uint64_t)evil_number(evil, 2, 1);
    scribbler->count = evil_number(evil, 3, 1000);
    if (rc == 0)
        rc = -pthread_create(&thread, NULL, scribbler_run, scribbler);
    if (rc < 0) {
        free(scribbler);
        return rc;
    }
    pthread_detach(thread);
    evil->chunk_count = evil_number(evil, 4, 5000);
    evil->chunk_bytes = 100;
    return 0;
}

/* ---- records that no worker writes ----------------------------------------------------------- */

/* Behind what is in the ring; false when it has no room. */
static bool record_append(struct view *view, struct record record)
{
    struct ring_shared *ring = view->replies;
    uint64_t capacity = view->constants.reply_ring_bytes;
    uint64_t tail = atomic_load(&ring->tail);
    uint64_t bytes =
        (sizeof(record) + record.bytes + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
    uint64_t offset = tail & (capacity - 1);
    uint64_t padding = capacity - offset < bytes ? capacity - offset : 0;
    if (tail - atomic_load(&ring->head) + padding + bytes > capacity)
        return false;
    if (padding > 0) {
        struct record pad = {.bytes = (uint32_t)(padding - sizeof(pad)), .kind = RECORD_PAD};
        memcpy(ring->data + offset, &pad, sizeof(pad));
        tail += padding;
    }
    memcpy(ring->data + (tail & (capacity - 1)), &record, sizeof(record));
    atomic_store_explicit(&ring->tail, tail + bytes, memory_order_release);
    uint64_t one = 1;
    return write(WORKER_FD_DISPATCHER_BELL, &one, sizeof(one)) == (ssize_t)sizeof(one);
}

static void rest_briefly(void)
{
    static const struct timespec rest = {0, 1000000};
    nanosleep(&rest, NULL);
}

/* The first slot whose run this worker has. */
static int slot_running(struct view *view, struct record *out)
{
    for (uint32_t i = 0; i < view->constants.slot_count; i++) {
        uint64_t word = atomic_load(&view->slots[i].word);
        if ((word & 0xff) != SLOT_RUNNING)
            continue;
        out->slot = (uint16_t)i;
        out->generation = (uint32_t)(word >> 8);
        return 0;
    }
    return -ESRCH;
}

/* Pieces of a value of this slot's run, as many as are said; the count of those that went. */
static long pieces_append(struct view *view, uint32_t slot, long count)
{
    uint64_t word = atomic_load(&view->slots[slot].word);
    struct record record = {.bytes = FRAGMENT_BYTES,
                            .slot = (uint16_t)slot,
                            .kind = RECORD_CHUNK,
                            .flags = RECORD_MORE,
                            .generation = (uint32_t)(word >> 8)};
    long sent = 0;
    /* A run that has answered has sent one record. */
    record.sequence = atomic_load(&view->slots[slot].delivered) > 0;
    if ((word & 0xff) != SLOT_RUNNING)
        return 0;
    for (int patience = 2000; patience > 0 && sent < count; patience--) {
        if (record_append(view, record)) {
            record.sequence++;
            sent++;
        } else {
            rest_briefly();
        }
    }
    return sent;
}

/* Every run of this worker holds a value that is never whole. Word 1: of how many pieces. */
static int fragments(struct evil *evil)
{
    struct view view;
    int rc = view_open(&view);
    for (uint32_t slot = 0; rc == 0 && slot < view.constants.slot_count; slot++)
        pieces_append(&view, slot, evil_number(evil, 1, 255));
    /* The ring is no more what this worker believes it to be: nothing but waiting is left to do. */
    while (rc == 0)
        pause();
    return rc;
}

/* A step that is said to have been in the future, and then none any more. */
/* Two to the power of word 1 in nanoseconds from now: 42 is more than an hour. */
static int progress_forge(struct evil *evil)
{
    struct view view;
    struct timespec now;
    struct record running = {0};
    int rc = view_open(&view);
    if (rc == 0)
        rc = slot_running(&view, &running);
    if (rc < 0)
        return rc;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&view.slots[running.slot].progress,
                 (uint64_t)now.tv_sec * 1000000000u + (UINT64_C(1) << evil_number(evil, 1, 62)));
    for (;;)
        pause();
}

/* One record with whatever is said: kind, flags, slot, generation, sequence, bytes. */
static int record_forge(struct evil *evil)
{
    struct view view;
    struct record record = {0};
    int rc = view_open(&view);
    if (rc == 0)
        rc = slot_running(&view, &record);
    if (rc < 0)
        return rc;
    record.kind = (uint8_t)evil_number(evil, 1, RECORD_END);
    record.flags = (uint8_t)evil_number(evil, 2, 0);
    record.slot = (uint16_t)evil_number(evil, 3, record.slot);
    record.generation = (uint32_t)evil_number(evil, 4, (long)record.generation);
    record.sequence = (uint32_t)evil_number(evil, 5, 0);
    record.bytes = (uint32_t)evil_number(evil, 6, 0);
    record_append(&view, record);
    for (;;)
        pause();
}

/* Log records as large as can be, for the time that word 1 says, in ms. Nothing is written but
 * their heads. */
static int flood_large(struct evil *evil)
{
    const struct record record = {.bytes = FRAGMENT_BYTES, .slot = UINT16_MAX, .kind = RECORD_LOG};
    struct timespec now;
    struct view view;
    int rc = view_open(&view);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + evil_number(evil, 1, 1000);
    while (rc == 0 && now.tv_sec * 1000 + now.tv_nsec / 1000000 < end_ms) {
        record_append(&view, record);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    while (rc == 0)
        pause();
    return rc;
}

/* ---- the file behind it, and the bells ------------------------------------------------------- */

static int seal(struct evil *evil)
{
    (void)evil;
    return SAID(fcntl(WORKER_FD_SEGMENT, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
}

static int truncate_segment(struct evil *evil)
{
    (void)evil;
    return SAID(ftruncate(WORKER_FD_SEGMENT, 4096));
}

static int mode_change(struct evil *evil)
{
    (void)evil;
    return SAID(fchmod(WORKER_FD_SEGMENT, 0));
}

static int lease_segment(struct evil *evil)
{
    (void)evil;
    return SAID(fcntl(WORKER_FD_SEGMENT, F_SETLEASE, F_WRLCK));
}

static int bell_block(struct evil *evil)
{
    (void)evil;
    if (fcntl(WORKER_FD_BELL, F_SETFL, 0) == -1)
        return -errno;
    return SAID(fcntl(WORKER_FD_DISPATCHER_BELL, F_SETFL, 0));
}

static int bell_shrink(struct evil *evil)
{
    (void)evil;
    return SAID(fcntl(WORKER_FD_BELL, F_SETPIPE_SZ, 4096));
}

/* The pipe on which the dispatcher rings, opened for writing, is full. */
static int bell_fill(struct evil *evil)
{
    static char block[4096];
    char path[64];
    (void)evil;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", WORKER_FD_BELL);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    while (write(fd, block, sizeof(block)) > 0) {
    }
    while (write(fd, block, 1) > 0) {
    }
    close(fd);
    return 0;
}

/* The count on which the dispatcher sleeps is as large as it can be: the next ring does not fit. */
static int bell_overflow(struct evil *evil)
{
    uint64_t most = UINT64_MAX - 1;
    (void)evil;
    return write(WORKER_FD_DISPATCHER_BELL, &most, sizeof(most)) == sizeof(most) ? 0 : -errno;
}

const struct attack evil_segment[] = {
    {"scribble", scribble, "writes over shared memory, in one of its patterns, beside a stream"},
    {"fragments", fragments, "a value that is never whole"},
    {"progress-forge", progress_forge, "a step in the future, and then none"},
    {"record-forge", record_forge, "a record that no worker writes"},
    {"flood-large", flood_large, "log records as large as can be"},
    {"segment-seal", seal, "seals the segment against the dispatcher"},
    {"segment-truncate", truncate_segment, "makes the segment shorter"},
    {"segment-mode", mode_change, "takes the rights to the segment away"},
    {"segment-lease", lease_segment, "a lease on the segment"},
    {"bell-block", bell_block, "makes the bells wait"},
    {"bell-shrink", bell_shrink, "makes the worker's bell small"},
    {"bell-fill", bell_fill, "makes the worker's bell full"},
    {"bell-overflow", bell_overflow, "makes the dispatcher's bell full"},
    {NULL, NULL, NULL},
};
