/* SPDX-License-Identifier: MIT */
/* read_message.c - checks of what the reader says. */
#include "dispatcher/reader/read_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/run_class.h"
#include "millrace/limits.h"

static const char *message_error_check(const struct read_answer *answer);
static bool message_is_flag(uint8_t flag);
static const char *message_body_check(const struct read_answer *answer);

const char *read_answer_check(const struct read_answer *answer, enum read_kind kind,
                              uint64_t number)
{
    if (answer->magic != READ_MAGIC || answer->kind != (uint32_t)kind || answer->number != number)
        return "it answers what was not asked";
    if (!message_is_flag(answer->is_result))
        return "a flag of it is neither 0 nor 1";
    if (answer->result == -EINVAL)
        return message_error_check(answer);
    if (answer->result == -ENOMEM)
        return NULL;
    if (answer->result != 0)
        return "its result is unknown";
    if (kind == READ_BODY)
        return message_body_check(answer);
    return answer->bytes > 0 && answer->bytes <= VALUE_BYTES_MAX &&
                   answer->reference_bytes <= FILE_REFERENCES_BYTES_MAX
               ? NULL
               : "it packed too little or too much";
}

void read_answer_error(const struct read_answer *answer, struct api_error *error)
{
    *error = (struct api_error){.status = (int)answer->status,
                                .is_result = answer->is_result == 1,
                                .type = (enum error_type)answer->type};
    snprintf(error->message, sizeof(error->message), "%s", answer->message);
    snprintf(error->detail, sizeof(error->detail), "%s", answer->detail);
}

void read_answer_put_error(struct read_answer *answer, const struct api_error *error)
{
    answer->status = (uint32_t)error->status;
    answer->is_result = error->is_result;
    answer->type = (uint32_t)error->type;
    snprintf(answer->message, sizeof(answer->message), "%s", error->message);
    snprintf(answer->detail, sizeof(answer->detail), "%s", error->detail);
}

bool read_file_is_sealed(int fd, uint64_t bytes)
{
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    struct stat file;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals != -1 && (seals & wanted) == wanted && fstat(fd, &file) == 0 &&
           file.st_size == (off_t)bytes;
}

static bool message_is_text(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

/* It stands in an answer as it is, so it is JSON and has no line end. */
static bool message_is_json(const char *text)
{
    struct json_tokens tokens = {0};
    struct json_error error;
    size_t count = strlen(text);
    for (size_t i = 0; i < count; i++)
        if ((unsigned char)text[i] < ' ')
            return false;
    bool fits = json_scan(text, count, &tokens, &error) == 0;
    json_tokens_finish(&tokens);
    return fits;
}

static const char *message_error_check(const struct read_answer *answer)
{
    if (!message_is_text(answer->message, sizeof(answer->message)) ||
        !message_is_text(answer->detail, sizeof(answer->detail)))
        return "its error is not a text";
    if (answer->is_result)
        return answer->status == 400 && answer->type == ERROR_INPUT ? NULL
                                                                    : "its error is no input error";
    if (answer->status != 422 || answer->type != ERROR_INPUT)
        return "its refusal has another status than 422";
    return message_is_json(answer->detail) ? NULL : "its refusal is not JSON";
}

static bool message_is_flag(uint8_t flag)
{
    return flag <= 1;
}

static const char *message_body_check(const struct read_answer *answer)
{
    if (!message_is_flag(answer->has_pipeline) || !message_is_flag(answer->async_run) ||
        !message_is_flag(answer->wait_for_resources) || !message_is_flag(answer->final_line) ||
        !message_is_flag(answer->has_callback_url))
        return "a flag of it is neither 0 nor 1";
    if (!message_is_text(answer->callback_url, sizeof(answer->callback_url)))
        return "its callback_url is not a text";
    if (answer->class >= RUN_CLASS_COUNT && answer->class != RUN_CLASS_NONE)
        return "its class is none";
    if (!message_is_text(answer->tenant, sizeof(answer->tenant)) ||
        !message_is_text(answer->affinity, sizeof(answer->affinity)))
        return "its tenant or affinity is not a text";
    return message_is_text(answer->pipeline, sizeof(answer->pipeline))
               ? NULL
               : "its pipeline is not a text";
}
