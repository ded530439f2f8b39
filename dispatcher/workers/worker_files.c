/* SPDX-License-Identifier: MIT */
/* worker_files.c - what is said of files, each way. */
#include "dispatcher/workers/worker_files.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "dispatcher/workers/fleet.h"
#include "dispatcher/workers/worker.h"
#include "millrace/protocol.h"
#include "shm/descriptors.h"

static const char *worker_files_read(const struct channel_message *message,
                                     struct message_file *head, struct worker_file *out)
{
    if (message->body_bytes < sizeof *head ||
        message->body_bytes - sizeof *head > MESSAGE_FILE_NAME_BYTES_MAX)
        return "it told of a file in a way that cannot be read";
    memcpy(head, message->body, sizeof *head);
    *out = (struct worker_file){.number = head->number,
                                .bytes = head->bytes,
                                .name = (const char *)message->body + sizeof *head,
                                .name_bytes = message->body_bytes - sizeof *head};
    return NULL;
}

/* A file of a warm-up is taken for sent. */
static const char *worker_files_throw(struct worker *worker, uint32_t slot_index,
                                      const struct worker_file *file)
{
    struct worker_slot *slot = &worker->slots[slot_index];
    if (file->number != slot->file_count)
        return "it told of a file out of turn";
    slot->has_file = true;
    slot->file_count++;
    int rc = worker_files_ended(worker, slot_index, NULL);
    return rc == 0 ? NULL : "it leaves no room for the answer to a file";
}

const char *worker_files_heard(struct fleet *fleet, struct worker *worker,
                               const struct channel_message *message)
{
    struct message_file head;
    struct worker_file file;
    const char *wrong = worker_files_read(message, &head, &file);
    if (wrong)
        return wrong;
    if (message->slot >= worker->concurrency)
        return "it told of a file of no run";
    struct worker_slot *slot = &worker->slots[message->slot];
    if (worker_is_warm_up(worker, message->slot, message->generation))
        return worker_files_throw(worker, message->slot, &file);
    /* Its run may have been ended, here or there, while the message was on its way. */
    if (!slot->run || slot->generation != message->generation || slot->is_cancelled)
        return NULL;
    if (slot->has_file || file.number != slot->file_count)
        return "it told of a file out of turn";
    slot->has_file = true;
    slot->file_count++;
    fleet->ops->file(fleet->owner, slot->run, &file);
    return NULL;
}

/* ---- what it is told ------------------------------------------------------------------------ */

/* Room in the ring, for the record and `more` bytes. */
static int worker_files_claim(struct worker *worker, size_t more, uint8_t **room)
{
    void *payload;
    int rc = ring_claim(&worker->channel.requests, (uint32_t)(sizeof(struct file_record) + more),
                        &payload);
    if (rc == 0)
        *room = payload;
    if (rc != -EPROTO)
        return rc;
    worker_distrust(worker, "its request ring is corrupt");
    return -EPIPE;
}

static void worker_files_commit(struct worker *worker, uint32_t slot_index, uint8_t *room,
                                size_t more, uint8_t flags)
{
    const struct worker_slot *slot = &worker->slots[slot_index];
    const struct file_record head = {.number = slot->file_count - 1};
    memcpy(room, &head, sizeof head);
    ring_commit(&worker->channel.requests, &(struct record){.bytes = (uint32_t)(sizeof head + more),
                                                            .slot = (uint16_t)slot_index,
                                                            .kind = RECORD_FILE,
                                                            .flags = flags,
                                                            .generation = slot->generation});
    worker->pending_rings |= DOORBELL_WORK;
}

int worker_files_pipe(struct worker *worker, uint32_t slot_index, int fd)
{
    const struct worker_slot *slot = &worker->slots[slot_index];
    uint64_t number = slot->file_count - 1;
    const struct message what = {
        .kind = MESSAGE_PIPE, .slot = slot_index, .generation = slot->generation};
    struct iovec body = {&number, sizeof number};
    uint8_t *room = NULL;
    mr_assert(slot->has_file);
    int rc = worker_files_claim(worker, 0, &room);
    if (rc < 0)
        return rc;
    rc = channel_send(&worker->channel, &what, &(struct packet){&body, 1, &fd, 1});
    if (rc == 0) {
        worker_files_commit(worker, slot_index, room, 0, RECORD_BLOB);
        return 0;
    }
    ring_abort(&worker->channel.requests);
    return rc == -ETOOMANYREFS ? -EAGAIN : rc;
}

int worker_files_ended(struct worker *worker, uint32_t slot_index, const char *reason)
{
    const size_t bytes = reason ? strlen(reason) : 0;
    uint8_t *room = NULL;
    mr_assert(worker->slots[slot_index].has_file);
    int rc = worker_files_claim(worker, bytes, &room);
    if (rc < 0)
        return rc;
    if (bytes > 0)
        memcpy(room + sizeof(struct file_record), reason, bytes);
    worker_files_commit(worker, slot_index, room, bytes, 0);
    worker->slots[slot_index].has_file = false;
    return 0;
}
