/* SPDX-License-Identifier: MIT */
/* size_text.c - bytes as people read them. */
#include "dispatcher/text/size_text.h"

#include <stdio.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

void size_text(char out[SIZE_TEXT_BYTES], uint64_t bytes)
{
    if (bytes >= GIB)
        snprintf(out, SIZE_TEXT_BYTES, "%.1f GiB", (double)bytes / (double)GIB);
    else
        snprintf(out, SIZE_TEXT_BYTES, "%.1f MiB", (double)bytes / (double)MIB);
}
