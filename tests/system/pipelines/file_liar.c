/* SPDX-License-Identifier: MIT */
/*
 * file_liar.c - a pipeline whose runs say of files what no honest worker says: each one lie, by its
 * name. It has one run at a time.
 */
#include <errno.h>
#include <poll.h>
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

#define FLOOD_COUNT 5000

/* Of the run that is being executed, in slot 0. */
static uint32_t generation(void)
{
    struct stat file;
    if (fstat(WORKER_FD_SEGMENT, &file) == -1)
        abort();
    const uint8_t *base =
        mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, WORKER_FD_SEGMENT, 0);
    if (base == MAP_FAILED)
        abort();
    const struct segment_header *header = (const void *)base;
    const struct slot_shared *slot = (const void *)(base + header->slots_offset);
    const uint32_t found = (uint32_t)(slot->word >> 8);
    munmap((void *)(uintptr_t)base, (size_t)file.st_size);
    return found;
}

static void tell(uint32_t slot, uint32_t run, uint32_t number, uint64_t bytes, size_t name_bytes)
{
    static char packet[sizeof(struct message) + sizeof(struct message_file) + MESSAGE_BYTES_MAX];
    const struct message_file file = {.number = number, .bytes = bytes};
    const struct message head = {.magic = MESSAGE_MAGIC,
                                 .version = PROTOCOL_VERSION,
                                 .kind = MESSAGE_FILE,
                                 .bytes = (uint32_t)(sizeof file + name_bytes),
                                 .slot = slot,
                                 .generation = run};
    memcpy(packet, &head, sizeof head);
    memcpy(packet + sizeof head, &file, sizeof file);
    memset(packet + sizeof head + sizeof file, '/', name_bytes);
    if (send(WORKER_FD_SOCKET, packet, sizeof head + head.bytes, 0) == -1)
        abort();
}

static void say(uint32_t number, uint64_t bytes)
{
    tell(0, generation(), number, bytes, 1);
}

static void lie_number(void)
{
    say(1, 10);
}

static void lie_twice(void)
{
    say(0, 10);
    say(1, 10);
}

static void lie_slot(void)
{
    tell(4000, generation(), 0, 10, 1);
}

static void lie_name(void)
{
    tell(0, generation(), 0, 10, MESSAGE_FILE_NAME_BYTES_MAX + 1);
}

static void lie_cut(void)
{
    const struct message head = {.magic = MESSAGE_MAGIC,
                                 .version = PROTOCOL_VERSION,
                                 .kind = MESSAGE_FILE,
                                 .bytes = 8,
                                 .generation = generation()};
    char packet[sizeof head + 8] = {0};
    memcpy(packet, &head, sizeof head);
    if (send(WORKER_FD_SOCKET, packet, sizeof packet, 0) == -1)
        abort();
}

static void lie_late(void)
{
    tell(0, generation() - 1, 0, 10, 1);
    tell(0, generation() + 1, 0, 10, 1);
}

static void lie_huge(void)
{
    say(0, UINT64_MAX);
}

static void lie_silent(void)
{
    say(0, 10);
}

static void lie_flood(void)
{
    const uint32_t run = generation();
    for (int i = 0; i < FLOOD_COUNT; i++)
        tell(0, run + 1, 0, 10, 1);
}

/* Takes the pipe that is the runtime's to take, and writes more to it than was said. */
static void lie_more(void)
{
    char bytes[64] = {0};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    int fd;
    say(0, 10);
    if (recvmsg(WORKER_FD_SOCKET, &packet, 0) == -1)
        abort();
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof fd);
    for (int i = 0; i < 1000; i++)
        if (write(fd, bytes, sizeof bytes) == -1)
            break;
    sleep(1);
}

static const struct {
    const char *name;
    void (*tell)(void);
} lies[] = {
    {"number", lie_number}, {"twice", lie_twice}, {"slot", lie_slot}, {"name", lie_name},
    {"cut", lie_cut},       {"late", lie_late},   {"huge", lie_huge}, {"silent", lie_silent},
    {"flood", lie_flood},   {"more", lie_more},
};

/* In place of five letters, a file that there is not: the value's first member is where it was
 * written to. */
static int unkept(struct mr_value *out)
{
    uint8_t *end;
    const int rc = mr_value_string(out, "12345", 5);
    memcpy(&end, out, sizeof end);
    memcpy(end - CHUNK_FILE_BYTES, CHUNK_FILE_HEAD "\0\0\0\7", CHUNK_FILE_BYTES);
    return rc;
}

struct liar {
    const char *name;
    bool has_told;
};

static int lie_next(void *state, struct mr_value *out)
{
    struct liar *own = state;
    if (own->has_told)
        return MR_END;
    own->has_told = true;
    if (strcmp(own->name, "unkept") == 0)
        return unkept(out);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        if (strcmp(lies[i].name, own->name) == 0)
            lies[i].tell();
    usleep(100000);
    return mr_value_string(out, "told", 4);
}

static int lie(struct mr_call *call)
{
    struct liar *own = mr_alloc(call, sizeof *own);
    if (!own)
        return -1;
    own->name = mr_arg_string(call, 0);
    return mr_return_stream(call, &(struct mr_iterator){.state = own, .next = lie_next});
}

MR_PIPELINE(liar)
{
    mr_variable name = mr_input(builder, MR_STRING, .title = "lie");
    mr_output(builder, mr_pipe(builder, lie, MR_STREAM, name));
}
