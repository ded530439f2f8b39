/* SPDX-License-Identifier: MIT */
/* fetch_message.c - checks of what the fetcher says. */
#include "dispatcher/fetcher/fetch_message.h"

#include <string.h>

#include "dispatcher/text/utf8.h"
#include "millrace/check.h"

const char *fetch_fault_name(enum fetch_fault fault)
{
    static const char *const names[FETCH_FAULT_COUNT] = {
        [FETCH_FAULT_NONE] = "done",       [FETCH_FAULT_URL] = "url",
        [FETCH_FAULT_ADDRESS] = "address", [FETCH_FAULT_CONNECT] = "connect",
        [FETCH_FAULT_TIMEOUT] = "timeout", [FETCH_FAULT_STATUS] = "status",
        [FETCH_FAULT_SIZE] = "size",       [FETCH_FAULT_ANSWER] = "answer",
        [FETCH_FAULT_DISK] = "disk",       [FETCH_FAULT_OURS] = "server",
    };
    mr_assert(fault < FETCH_FAULT_COUNT);
    return names[fault];
}

/* A reason is shown to people and in JSON: text without anything that moves a cursor. */
static bool message_is_shown(const char *text, size_t room)
{
    const char *end = memchr(text, '\0', room);
    while (end && text < end) {
        size_t bytes = utf8_shown_bytes(text, (size_t)(end - text));
        if (bytes == 0)
            return false;
        text += bytes;
    }
    return end != NULL;
}

static bool message_is_status(uint32_t status)
{
    return status >= 100 && status <= 999;
}

const char *fetch_answer_check(const struct fetch_answer *answer)
{
    if (answer->magic != FETCH_MAGIC)
        return "what it says is no answer";
    if (!memchr(answer->name, '\0', sizeof(answer->name)) ||
        !message_is_shown(answer->reason, sizeof(answer->reason)))
        return "a text of it is none";
    switch (answer->kind) {
    case FETCH_ALIVE:
    case FETCH_PROGRESS:
        return NULL;
    case FETCH_DONE:
        return message_is_status(answer->status) ? NULL : "its status is none";
    case FETCH_FAILED:
        if (answer->fault == FETCH_FAULT_NONE || answer->fault >= FETCH_FAULT_COUNT)
            return "its fault is unknown";
        if (answer->reason[0] == '\0')
            return "it does not say why it failed";
        return answer->status == 0 || message_is_status(answer->status) ? NULL
                                                                        : "its status is none";
    default:
        return "what it says is unknown";
    }
}
