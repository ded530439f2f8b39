/* SPDX-License-Identifier: MIT */
/* loop_clocks.c - the time of a pass, as numbers and as the texts that answers have. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dispatcher/server/loop.h"
#include "dispatcher/text/put.h"
#include "shm/clock.h"

/* Ten places, whatever the clock says: the text has one length until the year 2286, and before 2001
 * blanks in front, which JSON allows where it refuses zeros. */
static void wall_seconds_write(struct loop *loop, int64_t seconds)
{
    char text[24];
    int count = snprintf(text, sizeof(text), "%10lld", (long long)seconds);
    mr_assert(count == WALL_TEXT_BYTES - 7);
    memcpy(loop->wall_text, text, (size_t)count);
}

void loop_clocks_read(struct loop *loop)
{
    struct timespec now;
    loop->now_ns = clock_now_ns();
    loop->now_ms = loop->now_ns / CLOCK_NS_PER_MS;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec < 0 || now.tv_sec > 9999999999)
        now.tv_sec = now.tv_sec < 0 ? 0 : 9999999999;
    /* Cut to microseconds like the text, or what is printed of one could be after the other. */
    long microseconds = now.tv_nsec / 1000;
    loop->wall_s = (double)now.tv_sec + (double)microseconds / 1e6;
    struct put text = {loop->wall_text + WALL_TEXT_BYTES - 7, loop->wall_text + WALL_TEXT_BYTES};
    PUT(&text, ".");
    put_digits(&text, (uint64_t)microseconds, 6);
    if (now.tv_sec != loop->date_s) {
        struct tm date;
        loop->date_s = now.tv_sec;
        wall_seconds_write(loop, now.tv_sec);
        gmtime_r(&now.tv_sec, &date);
        strftime(loop->date_text, sizeof(loop->date_text), "%a, %d %b %Y %H:%M:%S GMT", &date);
    }
}
