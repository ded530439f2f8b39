/* SPDX-License-Identifier: MIT */
/* crash.c - a dead worker's last words. */
#include "dispatcher/workers/crash.h"

#include <string.h>

void crash_read(struct crash_report *out, const struct crash_shared *shared, int number)
{
    struct crash_shared copy;
    memcpy(&copy, shared, sizeof(copy));
    out->number = 0;
    out->text_count = 0;
    if (number <= 0 || copy.number != (uint32_t)number || copy.text_bytes > CRASH_TEXT_BYTES)
        return;
    out->number = number;
    out->address = copy.address;
    out->sender = copy.sender;
    out->is_fault = copy.code > 0;
    out->text_count = copy.text_bytes;
    memcpy(out->text, copy.text, copy.text_bytes);
}
