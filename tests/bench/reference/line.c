/* SPDX-License-Identifier: MIT */
/* line.c - the bytes that all references send. */
#include "tests/bench/reference/line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "millrace/check.h"

#define PIPELINE_ID "pipeline_0123456789abcdef0123456789abcdef"
#define PREFIX_END                                                                                 \
    ",\"pipeline_id\":\"" PIPELINE_ID                                                              \
    "\",\"state\":\"running\",\"queue_position\":null,\"inputs\":null,\"outputs\":["               \
    "{\"type\":\"dictionary\",\"value\":"
#define TAIL ",\"file\":null}],\"error\":null}\n"
#define UPDATED_AT ",\"updated_at\":"
#define VALUE_BYTES_MAX 64u /* without the text */

#define PUT(out, literal) bytes_put(out, literal, sizeof(literal) - 1)

static char *bytes_put(char *out, const char *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return out + count;
}

/* Two digits a step: one division for both. */
static char *number_put(char *out, uint64_t number)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof(digits);
    for (; number >= 100; number /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (number % 100), 2);
    }
    if (number >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * number, 2);
    } else {
        digits[--at] = (char)('0' + number);
    }
    return bytes_put(out, digits + at, sizeof(digits) - at);
}

uint64_t line_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void line_wall(char text[LINE_WALL_BYTES + 1])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char *end = number_put(text, (uint64_t)now.tv_sec);
    *end++ = '.';
    /* With a digit in front that the point then replaces, the zeros of a small fraction stay. */
    number_put(end - 1, 1000000u + (uint64_t)now.tv_nsec / 1000);
    end[-1] = '.';
    text[LINE_WALL_BYTES] = '\0';
}

void line_prefix_init(struct line_prefix *prefix, const char *wall)
{
    static uint64_t run_count;
    int count = snprintf(prefix->bytes, sizeof(prefix->bytes),
                         "{\"id\":\"run_%032llx\",\"created_at\":%s" UPDATED_AT "%s" PREFIX_END,
                         (unsigned long long)++run_count, wall, wall);
    mr_assert(count > 0);
    mr_assert((size_t)count < sizeof(prefix->bytes));
    prefix->count = (size_t)count;
}

void line_prefix_renew(struct line_prefix *prefix, const char *wall)
{
    memcpy(prefix->bytes + prefix->count - (sizeof(PREFIX_END) - 1) - LINE_WALL_BYTES, wall,
           LINE_WALL_BYTES);
}

size_t line_value_bytes_max(size_t text_bytes)
{
    return VALUE_BYTES_MAX + text_bytes;
}

size_t line_bytes_max(size_t text_bytes)
{
    return LINE_PREFIX_BYTES_MAX + line_value_bytes_max(text_bytes) + sizeof(TAIL);
}

char *line_put_value(char *out, uint64_t number, uint64_t time_ns, const char *text,
                     size_t text_bytes)
{
    out = PUT(out, "{\"i\":");
    out = number_put(out, number);
    out = PUT(out, ",\"t_ns\":");
    out = number_put(out, time_ns);
    out = PUT(out, ",\"chunk\":\"");
    out = bytes_put(out, text, text_bytes);
    return PUT(out, "\"}");
}

char *line_put_prefix(char *out, const struct line_prefix *prefix)
{
    return bytes_put(out, prefix->bytes, prefix->count);
}

char *line_put_tail(char *out)
{
    return PUT(out, TAIL);
}

char *line_put_answer_head(char *out)
{
    static uint64_t request_count;
    static time_t second;
    static char date[32];
    time_t now = time(NULL);
    if (now != second) {
        struct tm utc;
        gmtime_r(&now, &utc);
        strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
        second = now;
    }
    unsigned long long id = ++request_count;
    int count = snprintf(out, LINE_ANSWER_BYTES_MAX,
                         "HTTP/1.1 200 OK\r\nDate: %s\r\nServer: reference\r\n"
                         "Content-Type: application/x-ndjson\r\n"
                         "X-Request-Id: %032llx\r\nX-Correlation-Id: %032llx\r\n"
                         "X-Accel-Buffering: no\r\nCache-Control: no-store\r\n"
                         "Transfer-Encoding: chunked\r\n"
                         "Trailer: Millrace-Run-State, Millrace-Run-Lines\r\n\r\n",
                         date, id, id);
    mr_assert(count > 0);
    mr_assert((unsigned)count < LINE_ANSWER_BYTES_MAX);
    return out + count;
}

char *line_put_answer_end(char *out, uint64_t line_count)
{
    out = PUT(out, "0\r\nMillrace-Run-State: completed\r\nMillrace-Run-Lines: ");
    out = number_put(out, line_count);
    return PUT(out, "\r\n\r\n");
}
