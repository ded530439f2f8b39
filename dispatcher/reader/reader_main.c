/* SPDX-License-Identifier: MIT */
/*
 * reader_main.c - the reader: takes a body, says what is in it, and packs it.
 *
 * It has one socket and what it is given on it, and all signals blocked. It ends when the server
 * closes its end of the socket, or is gone. A body that is too much for it costs it its life, and
 * the server starts another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dispatcher/inputs/run_request.h"
#include "dispatcher/reactor/child.h"
#include "dispatcher/reader/reader.h"
#include "dispatcher/reader/reader_confine.h"
#include "millrace/limits.h"
#include "shm/descriptors.h"

#define EXIT_NOT_EXECUTED 127

/* What a large tree leaves is given back at once; of small ones it is kept for the next. */
#define TRIM_BYTES (1024u * 1024)

/* The body that was read last. */
struct body {
    uint64_t number; /* 0: there is none */
    uint64_t bytes;
    struct run_request request;
};

static void reader_main_body_forget(struct body *body)
{
    if (body->number == 0)
        return;
    run_request_finish(&body->request);
    if (body->bytes > TRIM_BYTES)
        malloc_trim(0);
    body->number = 0;
}

/* ---- the two steps ------------------------------------------------------------------------- */

static int reader_main_body_parse(struct body *body, int fd, struct api_error *error)
{
    void *text = mmap(NULL, body->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (text == MAP_FAILED)
        return -ENOMEM;
    int rc = run_request_parse(&body->request, text, body->bytes, error);
    munmap(text, body->bytes);
    return rc;
}

/* Which fits; the rest of the answer is zero. */
static void reader_main_scheduling_put(struct read_answer *answer,
                                       const struct run_request_scheduling *scheduling)
{
    answer->class = scheduling->class;
    if (scheduling->tenant)
        strncpy(answer->tenant, scheduling->tenant, sizeof(answer->tenant) - 1);
    if (scheduling->affinity)
        strncpy(answer->affinity, scheduling->affinity, sizeof(answer->affinity) - 1);
}

static void reader_main_body_read(struct body *body, const struct read_request *request, int fd,
                                  struct read_answer *answer)
{
    struct api_error error;
    reader_main_body_forget(body);
    body->bytes = request->bytes;
    answer->result = reader_main_body_parse(body, fd, &error);
    if (answer->result == -EINVAL)
        read_answer_put_error(answer, &error);
    if (answer->result < 0)
        return;
    const struct run_request *envelope = &body->request;
    body->number = request->number;
    answer->async_run = envelope->async_run;
    answer->wait_for_resources = envelope->wait_for_resources;
    answer->final_line = envelope->final_line;
    reader_main_scheduling_put(answer, &envelope->scheduling);
    answer->has_callback_url = envelope->callback_url != NULL;
    if (envelope->callback_url) /* which fits */
        strncpy(answer->callback_url, envelope->callback_url, sizeof(answer->callback_url) - 1);
    answer->has_pipeline = envelope->pipeline != NULL;
    if (envelope->pipeline) /* the rest of the answer is zero */
        strncpy(answer->pipeline, envelope->pipeline, sizeof(answer->pipeline) - 1);
}

static int reader_main_payload_write(int fd, const uint8_t *payload, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t written = write(fd, payload + done, bytes - done);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return -ENOMEM;
        done += (size_t)written;
    }
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    return fcntl(fd, F_ADD_SEALS, seals) == -1 ? -ENOMEM : 0;
}

static int reader_main_body_pack(const struct body *body, const struct read_request *request,
                                 const uint8_t *hello, int fd, struct read_answer *answer)
{
    struct variables variables;
    struct api_error error;
    char reason[200];
    struct run_payload payload;
    if (variables_parse(&variables, hello, request->bytes, reason, sizeof(reason)) < 0)
        return -ENOMEM; /* the server has read it before */
    int rc = run_request_pack(&body->request, &variables, request->run_id, &payload, &error);
    if (rc == 0) {
        rc = reader_main_payload_write(fd, payload.memory, payload.bytes + payload.reference_bytes);
        free(payload.memory);
        answer->bytes = payload.bytes;
        answer->reference_bytes = payload.reference_bytes;
    } else if (rc == -EINVAL) {
        read_answer_put_error(answer, &error);
    }
    variables_finish(&variables);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

struct question {
    struct read_request header;
    uint8_t hello[MESSAGE_BYTES_MAX];
    int fd;
};

/* The server is trusted; what cannot be is our mistake. False: there is no server any more. */
static bool reader_main_question_receive(int socket, struct question *question)
{
    struct iovec parts[] = {{&question->header, sizeof(question->header)},
                            {question->hello, sizeof(question->hello)}};
    ssize_t count;
    do {
        count = descriptors_receive(
            socket, &(struct packet){parts, ARRAY_COUNT(parts), &question->fd, 1}, 0);
    } while (count == -EINTR);
    if (count <= 0)
        return false;
    const struct read_request *header = &question->header;
    size_t rest = (size_t)count - sizeof(*header);
    mr_assert((size_t)count >= sizeof(*header) && header->magic == READ_MAGIC);
    mr_assert(header->kind != READ_PACK || header->bytes == rest);
    return true;
}

/* False: it has no answer. */
static bool reader_main_question_answer(struct body *body, const struct question *question,
                                        struct read_answer *answer)
{
    const struct read_request *header = &question->header;
    *answer = (struct read_answer){
        .magic = READ_MAGIC, .kind = header->kind, .number = header->number, .result = -ENOMEM};
    if (header->kind == READ_DROP) {
        reader_main_body_forget(body);
        return false;
    }
    if (question->fd == -1)
        return true; /* its descriptor did not come here */
    if (header->kind == READ_BODY) {
        reader_main_body_read(body, header, question->fd, answer);
    } else {
        mr_assert(header->kind == READ_PACK && header->number == body->number);
        answer->result = reader_main_body_pack(body, header, question->hello, question->fd, answer);
    }
    return true;
}

int reader_main(int argc, char **argv)
{
    static struct question question;
    static struct read_answer answer;
    struct body body = {0};
    if (argc != 3 || !reader_confine((pid_t)strtol(argv[1], NULL, 10), strtoull(argv[2], NULL, 10)))
        return EXIT_NOT_EXECUTED;
    while (reader_main_question_receive(CHILD_FD_SOCKET, &question)) {
        bool is_asked = reader_main_question_answer(&body, &question, &answer);
        descriptor_close(&question.fd);
        if (is_asked && send(CHILD_FD_SOCKET, &answer, sizeof(answer), MSG_NOSIGNAL) == -1)
            break;
        if (is_asked && answer.kind == READ_PACK)
            reader_main_body_forget(&body); /* after the answer: nobody waits for it */
    }
    _exit(EXIT_SUCCESS); /* what there is goes with it; nothing is left to be done */
}
