/* SPDX-License-Identifier: MIT */
/*
 * liar.c - pipelines that say, while they are loaded, what no honest worker says: each one lie.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <millrace/layout.h>
#include <millrace/limits.h>
#include <millrace/pipeline.h>
#include <millrace/protocol.h>

static void send_bytes(const void *data, size_t bytes)
{
    if (send(WORKER_FD_SOCKET, data, bytes, 0) != (ssize_t)bytes)
        abort();
}

static void send_message(uint16_t version, uint16_t kind, const char *body)
{
    char packet[256];
    struct message header = {
        .magic = MESSAGE_MAGIC, .version = version, .kind = kind, .bytes = (uint32_t)strlen(body)};
    memcpy(packet, &header, sizeof header);
    memcpy(packet + sizeof header, body, header.bytes);
    send_bytes(packet, sizeof header + header.bytes);
}

static struct ring_shared *replies(void)
{
    struct stat file;
    if (fstat(WORKER_FD_SEGMENT, &file) == -1)
        abort();
    uint8_t *base =
        mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_SEGMENT, 0);
    if (base == MAP_FAILED)
        abort();
    return (struct ring_shared *)(base + ((struct segment_header *)base)->reply_ring_offset);
}

/* The first record of the ring, which the worker itself has not written to. */
static void put(enum record_kind kind, const char *payload)
{
    struct ring_shared *ring = replies();
    struct record record = {.kind = (uint8_t)kind, .bytes = (uint32_t)strlen(payload)};
    uint64_t total = sizeof record + record.bytes + RECORD_ALIGN - 1;
    memcpy(ring->data, &record, sizeof record);
    memcpy(ring->data + sizeof record, payload, record.bytes);
    atomic_store(&ring->tail, total - total % RECORD_ALIGN);
}

static void lie_kind(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_KIND_COUNT, "");
}

static void lie_ready(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_READY, "");
}

static void lie_file(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_FILE, "");
}

static void lie_progress(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_PROGRESS, "");
}

static void lie_version(void)
{
    send_message(PROTOCOL_VERSION + 1, MESSAGE_READY, "");
}

static void lie_cut(void)
{
    send_bytes("short", 5);
}

static void lie_large(void)
{
    static uint8_t large[MESSAGE_BYTES_MAX + 1];
    send_bytes(large, sizeof large);
}

static void lie_hello(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_HELLO, "\x80");
}

static void lie_failure(void)
{
    const char body[] = {'\x93', ERROR_TYPE_COUNT, '\xa3', 'w', 'h', 'y', '\xc0', '\0'};
    send_message(PROTOCOL_VERSION, MESSAGE_FAILED, body);
}

static void lie_failure_word(void)
{
    send_message(PROTOCOL_VERSION, MESSAGE_FAILED, "\x93\xa6loader\xa3why\xc0");
}

static void lie_log(void)
{
    put(RECORD_LOG, "\x92\x01\xa4line");
}

static void lie_level(void)
{
    put(RECORD_LOG, "\x92\x7f\xa4line");
}

static void lie_level_word(void)
{
    put(RECORD_LOG, "\x92\xa4info\xa4line");
}

static void lie_record(void)
{
    put(RECORD_END, "");
}

static void lie_ring(void)
{
    atomic_store(&replies()->tail, 12345);
}

/* No lie: whether the bell is what protocol.h promises. */
static void lie_bell(void)
{
    struct stat file;
    if (fstat(WORKER_FD_BELL, &file) == 0)
        fprintf(stdout, "%s\n", S_ISFIFO(file.st_mode) ? "a pipe" : "no pipe");
}

static int none(struct mr_call *call)
{
    return mr_value_none(mr_return(call));
}

#define LIE(name)                                                                                  \
    MR_PIPELINE(name)                                                                              \
    {                                                                                              \
        lie_##name();                                                                              \
        mr_output(builder, mr_pipe(builder, none, MR_NONE));                                       \
    }

LIE(kind)
LIE(ready)
LIE(file)
LIE(progress)
LIE(version)
LIE(cut)
LIE(large)
LIE(hello)
LIE(failure)
LIE(failure_word)
LIE(log)
LIE(level)
LIE(level_word)
LIE(record)
LIE(ring)
LIE(bell)
