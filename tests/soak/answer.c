/* SPDX-License-Identifier: MIT */
/* answer.c - HTTP answers, byte by byte; nothing is forgiven. */
#include "tests/soak/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *head_end(struct answer *answer)
{
    const char *length = strcasestr(answer->text, "\r\nContent-Length: ");
    if (strncmp(answer->text, "HTTP/1.1 ", 9) != 0)
        return "a malformed status line";
    answer->status = (int)strtol(answer->text + 9, NULL, 10);
    answer->is_chunked = strcasestr(answer->text, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
    if (answer->is_chunked == (length != NULL))
        return "a head with no framing, or with two";
    answer->left = length ? strtoull(length + 18, NULL, 10) : 0;
    answer->part = answer->is_chunked ? PART_SIZE : answer->left > 0 ? PART_LENGTH : PART_DONE;
    return NULL;
}

static const char *size_end(struct answer *answer)
{
    char *end;
    answer->left = strtoull(answer->text, &end, 16);
    if (end == answer->text || strcmp(end, "\r\n") != 0)
        return "a malformed chunk size";
    answer->part = answer->left > 0 ? PART_DATA : PART_TRAILER;
    return NULL;
}

static const char *trailer_end(struct answer *answer)
{
    static const char state[] = "Millrace-Run-State: ", lines[] = "Millrace-Run-Lines: ";
    const char *text = answer->text;
    if (strcmp(text, "\r\n") == 0) {
        answer->part = PART_DONE;
        return answer->line_bytes > 0 ? "the last line has no end" : NULL;
    }
    if (strncmp(text, state, sizeof(state) - 1) == 0) {
        answer->says_completed = strcmp(text + sizeof(state) - 1, "completed\r\n") == 0;
        answer->says_failed = strcmp(text + sizeof(state) - 1, "failed\r\n") == 0;
    } else if (strncmp(text, lines, sizeof(lines) - 1) == 0) {
        answer->says_lines = strtoull(text + sizeof(lines) - 1, NULL, 10);
    } else {
        return "an unknown trailer";
    }
    return NULL;
}

/* Gathers text up to a whole head or line. */
static const char *text_add(struct answer *answer, char byte)
{
    const char *wrong = NULL;
    if (answer->text_bytes == sizeof(answer->text) - 1)
        return "a head or a line of the framing without end";
    answer->text[answer->text_bytes++] = byte;
    answer->text[answer->text_bytes] = '\0';
    if (byte != '\n')
        return NULL;
    if (answer->part == PART_HEAD && !strstr(answer->text, "\r\n\r\n"))
        return NULL;
    if (answer->part == PART_HEAD)
        wrong = head_end(answer);
    else if (answer->part == PART_SIZE)
        wrong = size_end(answer);
    else if (answer->part == PART_TRAILER)
        wrong = trailer_end(answer);
    else
        wrong = strcmp(answer->text, "\r\n") == 0 ? NULL : "no CRLF behind a chunk";
    if (answer->part == PART_DATA_END)
        answer->part = PART_SIZE;
    answer->text_bytes = 0;
    return wrong;
}

static const char *body_add(struct answer *answer, const char *bytes, size_t count)
{
    const char *wrong = NULL;
    while (count > 0 && !wrong) {
        const char *newline = memchr(bytes, '\n', count);
        size_t part = newline ? (size_t)(newline - bytes) : count;
        if (answer->line_bytes + part >= sizeof(answer->line))
            return "a line of the body without end";
        memcpy(answer->line + answer->line_bytes, bytes, part);
        answer->line_bytes += part;
        if (!newline)
            return NULL;
        answer->line[answer->line_bytes] = '\0';
        if (answer->line_bytes > 0) /* an empty one only says that the run lives */
            wrong = answer->on_line(answer->context, answer->line);
        answer->line_bytes = 0;
        bytes += part + 1;
        count -= part + 1;
    }
    return wrong;
}

const char *answer_add(struct answer *answer, const char *bytes, size_t count, size_t *used)
{
    const char *wrong = NULL;
    size_t at = 0;
    while (at < count && answer->part != PART_DONE && !wrong) {
        if (answer->part != PART_DATA && answer->part != PART_LENGTH) {
            wrong = text_add(answer, bytes[at++]);
            continue;
        }
        size_t part = count - at < answer->left ? count - at : (size_t)answer->left;
        wrong = body_add(answer, bytes + at, part);
        at += part;
        answer->left -= part;
        if (answer->left == 0 && !wrong)
            answer->part = answer->part == PART_LENGTH ? PART_DONE : PART_DATA_END;
    }
    answer->byte_count += at;
    *used = at;
    return wrong;
}
