/* SPDX-License-Identifier: MIT */
/* start_progress.c - PROGRESS is read, and put in words. */
#include "dispatcher/workers/start_progress.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/text/utf8.h"
#include "millrace/check.h"

#define PERMILLE_MAX 1000u

/* No longer than it was: a byte that cannot be shown is one question mark. */
static void start_progress_text_copy(char *out, const char *text, size_t bytes)
{
    while (bytes > 0) {
        size_t shown = utf8_shown_bytes(text, bytes);
        size_t taken = shown > 0 ? shown : 1;
        if (shown > 0)
            memcpy(out, text, shown);
        else
            *out = '?';
        out += taken;
        text += taken;
        bytes -= taken;
    }
    *out = '\0';
}

bool start_progress_read(const uint8_t *body, size_t bytes, struct start_progress *out)
{
    struct message_progress head;
    if (bytes < sizeof head || bytes - sizeof head > MESSAGE_PROGRESS_TEXT_BYTES_MAX)
        return false;
    memcpy(&head, body, sizeof head);
    if (head.permille > PERMILLE_MAX && head.permille != MESSAGE_PROGRESS_UNKNOWN)
        return false;
    out->permille = head.permille;
    start_progress_text_copy(out->text, (const char *)body + sizeof head, bytes - sizeof head);
    return true;
}

void start_progress_words(const struct start_progress *progress,
                          char words[START_PROGRESS_WORDS_BYTES])
{
    int count = 0;
    words[0] = '\0';
    if (progress->permille != MESSAGE_PROGRESS_UNKNOWN)
        count = snprintf(words, START_PROGRESS_WORDS_BYTES, "%u %%%s", progress->permille / 10,
                         progress->text[0] != '\0' ? ", " : "");
    mr_assert(count >= 0);
    snprintf(words + count, START_PROGRESS_WORDS_BYTES - (size_t)count, "%s", progress->text);
}

void start_progress_overdue(const struct start_progress *progress, uint32_t timeout_ms,
                            char reason[START_PROGRESS_REASON_BYTES])
{
    char words[START_PROGRESS_WORDS_BYTES];
    start_progress_words(progress, words);
    if (progress->said_ms == 0)
        snprintf(reason, START_PROGRESS_REASON_BYTES, "it was not ready in time");
    else
        snprintf(reason, START_PROGRESS_REASON_BYTES,
                 "it was not ready in time: no progress for %.6g s%s%s", timeout_ms / 1000.0,
                 words[0] != '\0' ? ", at " : "", words);
}

int64_t start_progress_left_ms(const struct start_progress *progress, uint64_t started_ms,
                               uint64_t now_ms)
{
    if (progress->said_ms == 0 || progress->permille == 0 ||
        progress->permille == MESSAGE_PROGRESS_UNKNOWN)
        return -1;
    mr_assert(progress->said_ms >= started_ms);
    uint64_t all_ms = (progress->said_ms - started_ms) * PERMILLE_MAX / progress->permille;
    uint64_t taken_ms = now_ms - started_ms;
    return taken_ms < all_ms ? (int64_t)(all_ms - taken_ms) : 0;
}
