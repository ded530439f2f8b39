/* SPDX-License-Identifier: MIT */
/*
 * stage_uring.h - io_uring on the stage: operations are kept where the test completes them.
 *
 * Part of stage.h, which includes it where its types are known.
 */
#ifndef TESTS_DISPATCHER_STAGE_URING_H
#define TESTS_DISPATCHER_STAGE_URING_H

static inline void stage_event(struct uring_event event)
{
    mr_assert(stage.event_count < STAGE_EVENT_COUNT_MAX);
    stage.events[(stage.event_first + stage.event_count++) % STAGE_EVENT_COUNT_MAX] = event;
}

static inline void stage_complete(struct uring_ref *ref, int32_t result)
{
    if (ref->op == URING_NONE)
        return;
    stage_event((struct uring_event){.ref = *ref, .result = result});
    *ref = (struct uring_ref){URING_NONE, 0, 0};
}

/* Where an operation is kept until it is done. */
static inline struct uring_ref *stage_place(struct uring_ref ref)
{
    static struct uring_ref forgotten;
    switch (ref.op) {
    case URING_RECV:
        return &stage.clients[ref.index].recv;
    case URING_SEND:
        return &stage.clients[ref.index].send;
    case URING_GONE:
        return &stage.clients[ref.index].gone;
    case URING_PIDFD:
        return &stage.workers[ref.index].on_pidfd;
    case URING_SOCKET:
        return &stage.workers[ref.index].on_socket;
    case URING_BELL:
        return &stage.workers[ref.index].on_bell;
    case URING_SPAWNER:
        return &stage.on_spawner;
    case URING_READER:
        return &stage.on_reader;
    case URING_OUTPUT_PIPE:
        return &stage.workers[ref.index / 4].on_pipe[ref.index & 3];
    case URING_NONE:
    case URING_ACCEPT:
    case URING_SPAWNER_PIDFD:
    case URING_LOG:
    case URING_LOG_OPEN:
    case URING_LOG_CLOSE:
    case URING_READY_LINE:
    case URING_SIGNAL:
    case URING_RELOAD:
    case URING_DISK:
    case URING_FETCHER:
    case URING_SCANNER:
    case URING_INTAKE:
    case URING_CANCEL:
    case URING_OP_COUNT:
        break;
    }
    return &forgotten;
}

int uring_create(struct uring **out, const struct uring_options *options)
{
    (void)options;
    *out = NULL;
    return 0;
}

void uring_destroy(struct uring *uring)
{
    (void)uring;
}

void uring_explain(int error, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%d", error);
}

const char *uring_features(const struct uring *uring)
{
    (void)uring;
    return "none";
}

void uring_accept(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring, (void)fd, (void)ref;
}

void uring_recv(struct uring *uring, int fd, struct uring_ref ref, bool is_single)
{
    (void)uring, (void)fd;
    mr_assert(stage_place(ref)->op == URING_NONE);
    *stage_place(ref) = ref;
    stage.clients[ref.index].recv_is_single = is_single;
}

void uring_send(struct uring *uring, int fd, const struct msghdr *message, struct uring_ref ref)
{
    (void)uring, (void)fd;
    struct stage_client *client = &stage.clients[ref.index];
    mr_assert(client->send.op == URING_NONE);
    mr_assert(message->msg_iovlen > 0);
    client->send = ref;
    client->message = message;
    client->send_number = ++stage.send_count;
}

void uring_poll(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring, (void)fd;
    *stage_place(ref) = ref;
    if (ref.op == URING_SOCKET)
        stage.workers[ref.index].poll_count++;
}

void uring_poll_gone(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring, (void)fd;
    mr_assert(stage_place(ref)->op == URING_NONE);
    *stage_place(ref) = ref;
}

void uring_read(struct uring *uring, int fd, void *bytes, uint32_t count, struct uring_ref ref)
{
    (void)uring, (void)fd, (void)bytes, (void)count;
    *stage_place(ref) = ref;
}

/* The log: written at once, and every line is text. */
void uring_write(struct uring *uring, int fd, const void *bytes, uint32_t count,
                 struct uring_ref ref)
{
    (void)uring, (void)fd;
    for (uint32_t i = 0; i < count && !stage.is_measured; i++) {
        unsigned char c = ((const unsigned char *)bytes)[i];
        mr_assert(c == '\n' || (c >= 0x20 && c != 0x7f));
    }
    stage_event((struct uring_event){.ref = ref, .result = (int32_t)count});
}

/* Nobody opens the log again on the stage. */
void uring_open(struct uring *uring, const char *path, int flags, unsigned mode,
                struct uring_ref ref)
{
    (void)uring, (void)path, (void)flags, (void)mode, (void)ref;
}

void uring_close(struct uring *uring, int fd, struct uring_ref ref)
{
    (void)uring, (void)fd, (void)ref;
}

void uring_cancel(struct uring *uring, struct uring_ref ref)
{
    (void)uring;
    struct uring_ref *place = stage_place(ref);
    if (place->op == ref.op && place->generation == ref.generation)
        stage_complete(place, -ECANCELED);
}

int uring_wait(struct uring *uring, uint64_t timeout_ns)
{
    (void)uring, (void)timeout_ns;
    return 0;
}

uint32_t uring_reap(struct uring *uring, struct uring_event *events, uint32_t count)
{
    (void)uring;
    uint32_t n = 0;
    for (; n < count && stage.event_count > 0; n++, stage.event_count--) {
        events[n] = stage.events[stage.event_first];
        stage.event_first = (stage.event_first + 1) % STAGE_EVENT_COUNT_MAX;
    }
    return n;
}

const char *uring_buffer(const struct uring *uring, uint16_t buffer)
{
    (void)uring, (void)buffer;
    return stage.receive;
}

void uring_buffer_return(struct uring *uring, uint16_t buffer)
{
    (void)uring, (void)buffer;
}

uint64_t uring_enter_count(const struct uring *uring)
{
    (void)uring;
    return 0;
}

#endif
