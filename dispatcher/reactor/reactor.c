/* SPDX-License-Identifier: MIT */
/* reactor.c - opening and closing, and the time of a pass, as numbers and as texts. */
#include "dispatcher/reactor/reactor.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dispatcher/text/put.h"
#include "shm/clock.h"

#define URING_ENTRIES 4096u
#define RECEIVE_BUFFER_COUNT 256u

static void reactor_wall_seconds_write(struct reactor *reactor, int64_t seconds);

void reactor_init(struct reactor *reactor, int log_fd, enum log_level log_level)
{
    *reactor = (struct reactor){.date_s = -1};
    log_init(&reactor->log, log_fd, log_level);
}

int reactor_open(struct reactor *reactor)
{
    return uring_create(&reactor->uring,
                        &(struct uring_options){.entries = URING_ENTRIES,
                                                .receive_buffer_count = RECEIVE_BUFFER_COUNT,
                                                .receive_buffer_bytes = RECEIVE_BUFFER_BYTES});
}

void reactor_close(struct reactor *reactor)
{
    uring_destroy(reactor->uring);
    reactor->uring = NULL;
}

void reactor_finish(struct reactor *reactor)
{
    timers_finish(&reactor->timers);
}

/* ---- the time ------------------------------------------------------------------------------- */

void reactor_clocks_read(struct reactor *reactor)
{
    struct timespec now;
    reactor->now_ns = clock_now_ns();
    reactor->now_ms = reactor->now_ns / CLOCK_NS_PER_MS;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec < 0 || now.tv_sec > 9999999999)
        now.tv_sec = now.tv_sec < 0 ? 0 : 9999999999;
    /* Cut to microseconds like the text, or what is printed of one could be after the other. */
    long microseconds = now.tv_nsec / 1000;
    reactor->wall_s = (double)now.tv_sec + (double)microseconds / 1e6;
    reactor->wall_us = (uint32_t)microseconds;
    if (now.tv_sec != reactor->date_s) {
        struct tm date;
        reactor->date_s = now.tv_sec;
        reactor_wall_seconds_write(reactor, now.tv_sec);
        gmtime_r(&now.tv_sec, &date);
        strftime(reactor->date_text, sizeof(reactor->date_text), "%a, %d %b %Y %H:%M:%S GMT",
                 &date);
    }
}

/* Ten places, whatever the clock says: the text has one length until the year 2286, and before 2001
 * blanks in front, which JSON allows where it refuses zeros. */
static void reactor_wall_seconds_write(struct reactor *reactor, int64_t seconds)
{
    char text[24];
    int count = snprintf(text, sizeof(text), "%10lld.", (long long)seconds);
    mr_assert(count == WALL_TEXT_BYTES - 6);
    memcpy(reactor->wall_text, text, (size_t)count);
}
