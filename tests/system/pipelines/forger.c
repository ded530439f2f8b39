/* SPDX-License-Identifier: MIT */
/*
 * forger.c - a pipeline that writes what it likes where its worker speaks to the server.
 *
 * Inputs: how (the table `ways`), and a number: for how many ms a flood lasts, how many fragments
 * there are. It yields 0 first, so that its client knows that it is there, does what `how` says,
 * and yields 1 if it comes back.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <millrace/layout.h>
#include <millrace/pipeline.h>
#include <millrace/protocol.h>

static struct segment_header *header;
static struct slot_shared *slots;
static struct ring_shared *reply;
static int64_t number;
static uint64_t end_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void look(void)
{
    struct stat file;
    if (header || fstat(WORKER_FD_SEGMENT, &file) == -1)
        return;
    uint8_t *base =
        mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_SEGMENT, 0);
    if (base == MAP_FAILED)
        abort();
    header = (struct segment_header *)base;
    slots = (struct slot_shared *)(base + header->slots_offset);
    reply = (struct ring_shared *)(base + header->reply_ring_offset);
}

static void ring(void)
{
    const uint64_t one = 1;
    (void)!write(WORKER_FD_DISPATCHER_BELL, &one, sizeof one);
}

/* Waits while the ring is full; false: for too long. */
static bool put(struct record record, const void *payload)
{
    uint64_t total =
        (sizeof record + record.bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    uint64_t capacity = header->reply_ring_bytes, tail = atomic_load(&reply->tail), pad = 0;
    if (total > capacity - tail % capacity)
        pad = capacity - tail % capacity;
    uint64_t give_up_ns = now_ns() + UINT64_C(5000000000);
    while (capacity - (tail - atomic_load(&reply->head)) < total + pad) {
        ring();
        if (now_ns() > give_up_ns)
            return false;
    }
    if (pad > 0) {
        const struct record filler = {.kind = RECORD_PAD, .bytes = (uint32_t)(pad - sizeof filler)};
        memcpy(reply->data + tail % capacity, &filler, sizeof filler);
    }
    uint8_t *at = reply->data + (tail + pad) % capacity;
    memcpy(at, &record, sizeof record);
    memcpy(at + sizeof record, payload, record.bytes);
    atomic_store(&reply->tail, tail + pad + total);
    return true;
}

/* The slot of the only run of this worker, as its next record but the first. */
static struct record next_record(enum record_kind kind, uint32_t slot)
{
    return (struct record){.kind = (uint8_t)kind,
                           .slot = (uint16_t)slot,
                           .generation = (uint32_t)(atomic_load(&slots[slot].word) >> 8),
                           .sequence = 1};
}

static uint32_t running_slot(uint32_t from)
{
    while ((atomic_load(&slots[from].word) & 0xff) != SLOT_RUNNING)
        from = (from + 1) % header->slot_count;
    return from;
}

static void stamp(void)
{
    for (uint32_t i = 0; i < header->slot_count; i++)
        atomic_store(&slots[i].progress, UINT64_C(1) << 62);
    for (;;)
        pause();
}

/* A value of so many fragments as were asked for, without the last one. */
static void fragments(void)
{
    static uint8_t bytes[262080];
    struct record record = next_record(RECORD_CHUNK, running_slot(0));
    record.flags = RECORD_MORE;
    record.bytes = sizeof bytes;
    for (int64_t i = 0; i < number && put(record, bytes); i++)
        record.sequence++;
    ring();
    pause();
}

/* Of two runs in turn; each has sent one record. */
static void mixed(void)
{
    static uint8_t bytes[262080];
    for (uint32_t i = 0; i < 2; i++) {
        struct record record = next_record(RECORD_CHUNK, running_slot(i));
        record.flags = RECORD_MORE;
        record.bytes = sizeof bytes;
        put(record, bytes);
    }
    ring();
    pause();
}

static void doorbell(void)
{
    while (now_ns() < end_ns)
        ring();
}

static void packets(void)
{
    while (now_ns() < end_ns)
        (void)!send(WORKER_FD_SOCKET, "", 0, MSG_DONTWAIT);
}

static void logs(void)
{
    static const uint8_t line[] = "\x92\x01\xa4text";
    struct record record = {.kind = RECORD_LOG, .bytes = sizeof line - 1};
    while (now_ns() < end_ns && put(record, line))
        ring();
}

static void output(void)
{
    static char bytes[65536];
    memset(bytes, 'x', sizeof bytes);
    while (now_ns() < end_ns)
        (void)!write(STDOUT_FILENO, bytes, sizeof bytes);
}

/* Short lines: of each there is more to do. */
static void lines(void)
{
    static char bytes[65536];
    memset(bytes, '\n', sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i += 2)
        bytes[i] = 'x';
    while (now_ns() < end_ns)
        (void)!write(STDERR_FILENO, bytes, sizeof bytes);
}

/* Chunks of a run that was cancelled, which does not end. */
static void chunks(void)
{
    while (!mr_cancelled())
        continue;
    end_ns = now_ns() + (uint64_t)number * 1000000;
    struct record record = next_record(RECORD_CHUNK, running_slot(0));
    record.bytes = 2;
    while (now_ns() < end_ns && put(record, "\x91\x07")) {
        ring();
        record.sequence++;
    }
}

static const struct {
    const char *how;
    void (*act)(void);
} ways[] = {
    {"stamp", stamp},       {"fragments", fragments}, {"mixed", mixed},
    {"doorbell", doorbell}, {"packets", packets},     {"logs", logs},
    {"output", output},     {"lines", lines},         {"chunks", chunks},
};

struct forged {
    const char *how;
    int64_t number, next;
};

static int forged_next(void *state, struct mr_value *out)
{
    struct forged *it = state;
    if (it->next == 1 && strcmp(it->how, "wait") == 0)
        return mr_later_ms(out, 1000);
    if (it->next == 1) {
        number = it->number;
        end_ns = now_ns() + (uint64_t)number * 1000000;
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
            if (strcmp(ways[i].how, it->how) == 0)
                ways[i].act();
    }
    return it->next < 2 ? mr_value_integer(out, it->next++) : MR_END;
}

static int forge(struct mr_call *call)
{
    struct forged *it = calloc(1, sizeof *it);
    look();
    if (!it)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    *it = (struct forged){.how = mr_arg_string(call, 0), .number = mr_arg_integer(call, 1)};
    return mr_return_stream(call, &(struct mr_iterator){it, forged_next, free});
}

MR_PIPELINE(forger)
{
    mr_variable how = mr_input(builder, MR_STRING);
    mr_variable count = mr_input(builder, MR_INTEGER);
    mr_output(builder, mr_pipe(builder, forge, MR_STREAM, how, count));
}
