/* SPDX-License-Identifier: MIT */
/* bench_lines.c - the lines of one answer of a load run. */
#include "dispatcher/cli/bench/bench_lines.h"

#include <endian.h>
#include <string.h>

#define NUMBER_KEY "\"i\":"
#define TIME_KEY "\"t_ns\":"

static bool lines_counts(const struct bench_look *look, const char *line, size_t count);
static bool lines_is_failure(const char *line, size_t count);
static void lines_keep(struct bench_lines *lines, const char *bytes, size_t count);
static void lines_example_take(const struct bench_lines *lines, const char *line, size_t count);
static void lines_last_take(const struct bench_look *look, struct bench_lines *lines,
                            const char *line, size_t count);

void bench_lines_begin(struct bench_lines *lines)
{
    lines->count = 0;
    lines->kept_count = 0;
    lines->last_count = 0;
    lines->status = 200;
    lines->is_wrong = lines->is_failure = false;
}

/* ---- numbers --------------------------------------------------------------------------------- */

#define EACH_BYTE UINT64_C(0x0101010101010101)

/* The digits that the eight bytes of `word` begin with, the first byte lowest: how many they are,
 * and what they come to. */
static inline unsigned lines_digits_read(uint64_t word, uint64_t *value)
{
    uint64_t digits = word ^ (EACH_BYTE * '0');
    /* A byte that is no digit is 10 or more by now. Its carry can mark only bytes above it. */
    uint64_t others = ((digits + EACH_BYTE * (0x80 - 10)) | digits) & (EACH_BYTE * 0x80);
    unsigned count = others == 0 ? 8 : (unsigned)__builtin_ctzll(others) / 8;
    if (count == 0)
        return 0;
    /* Zeros take the place of what is missing in front; then neighbours are added up three times,
     * the one that comes first worth 10, 100 and 10,000 times as much. */
    uint64_t ones = digits << (8 * (8 - count));
    uint64_t twos = (ones * 10 + (ones >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t fours = (twos * 100 + (twos >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *value = (fours * 10000 + (fours >> 32)) & UINT32_MAX;
    return count;
}

/* Reads the number at an offset; returns the offset behind it, or 0 when there is none. */
static inline size_t lines_number_read(const char *line, size_t count, size_t at, uint64_t *out)
{
    static const uint64_t powers_of_ten[] = {1,      10,      100,      1000,     10000,
                                             100000, 1000000, 10000000, 100000000};
    uint64_t number = 0, word, value;
    size_t first = at;
    while (at + sizeof(word) <= count) {
        memcpy(&word, line + at, sizeof(word));
        unsigned digit_count = lines_digits_read(le64toh(word), &value);
        if (digit_count == 0)
            break;
        number = number * powers_of_ten[digit_count] + value;
        at += digit_count;
        if (digit_count < sizeof(word))
            break;
    }
    for (; at < count && (unsigned char)(line[at] - '0') < 10; at++)
        number = number * 10 + (uint64_t)(line[at] - '0');
    *out = number;
    return at > first ? at : 0;
}

/* The offset behind a key: where it was in the line before, or wherever it is; 0 without it.
 * Inlined, so that the comparison is one of constant length. */
static inline __attribute__((always_inline)) size_t
lines_value_find(const char *line, size_t count, size_t guess, const char *key, size_t key_count)
{
    if (guess >= key_count && guess <= count &&
        memcmp(line + guess - key_count, key, key_count) == 0)
        return guess;
    const char *found = memmem(line, count, key, key_count);
    return found ? (size_t)(found - line) + key_count : 0;
}

#define VALUE_FIND(line, count, guess, key)                                                        \
    lines_value_find(line, count, guess, key, sizeof(key) - 1)

static void lines_numbers_take(struct bench_lines *lines, const char *line, size_t count,
                               uint64_t now_ns, struct histogram *latency)
{
    uint64_t number;
    size_t behind = 0;
    size_t at = VALUE_FIND(line, count, lines->number_offset, NUMBER_KEY);
    if (at > 0) {
        lines->number_offset = (uint32_t)at;
        behind = lines_number_read(line, count, at, &number);
        if (behind == 0 || number != lines->count - 1) {
            lines->is_wrong = true;
            if (lines->examples)
                bench_example_out_of_order(lines->examples, number, lines->count - 1, line, count);
        }
    }
    at = VALUE_FIND(line, count, behind + lines->time_distance, TIME_KEY);
    if (at == 0)
        return;
    lines->time_distance = at > behind ? (uint32_t)(at - behind) : 0;
    if (lines_number_read(line, count, at, &number) > 0 && now_ns > number)
        histogram_add(latency, now_ns - number);
}

/* ---- lines ----------------------------------------------------------------------------------- */

void bench_lines_take(const struct bench_look *look, struct bench_lines *lines, const char *bytes,
                      size_t count, uint64_t now_ns, struct histogram *latency)
{
    const char *end = bytes + count, *newline, *last = NULL;
    size_t last_count = 0;
    for (; (newline = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL; bytes = newline + 1) {
        const char *line = bytes;
        size_t line_count = (size_t)(newline - bytes);
        if (lines->kept_count > 0) {
            lines_keep(lines, bytes, line_count);
            line = lines->kept;
            line_count = lines->kept_count < BENCH_LOOK_BYTES_MAX ? (size_t)lines->kept_count
                                                                  : BENCH_LOOK_BYTES_MAX;
            lines->kept_count = 0;
        }
        if (!lines_counts(look, line, line_count))
            continue;
        lines->count++;
        last = line;
        last_count = line_count;
        if (lines->count == 1 && lines->status != 200)
            lines_example_take(lines, line, line_count);
        if (look->wants_numbers)
            lines_numbers_take(
                lines, line, line_count < BENCH_LOOK_BYTES_MAX ? line_count : BENCH_LOOK_BYTES_MAX,
                now_ns, latency);
    }
    if (last)
        lines_last_take(look, lines, last, last_count);
    /* After the last line was looked at, which may lie in `kept`. */
    if (bytes < end)
        lines_keep(lines, bytes, (size_t)(end - bytes));
}

void bench_lines_end(const struct bench_lines *lines)
{
    const size_t count =
        lines->kept_count < BENCH_LOOK_BYTES_MAX ? (size_t)lines->kept_count : BENCH_LOOK_BYTES_MAX;
    lines_example_take(lines, lines->kept, count);
}

/* Lines that are no results: blank ones, and what server-sent events add. */
static bool lines_counts(const struct bench_look *look, const char *line, size_t count)
{
    if (!look->is_events)
        return count > 0;
    return count > 6 && memcmp(line, "data: ", 6) == 0 && line[6] == '{';
}

/* Does a whole line say that the run failed? Most end in a way that says at once that they do
 * not. */
static bool lines_is_failure(const char *line, size_t count)
{
    static const char no_error[] = "\"error\":null}";
    static const char mark[] = "\"outputs\":null,\"error\":{";
    if (count >= sizeof(no_error) &&
        memcmp(line + count - (sizeof(no_error) - 1), no_error, sizeof(no_error) - 1) == 0)
        return false;
    size_t looked_at = count < BENCH_LOOK_BYTES_MAX ? count : BENCH_LOOK_BYTES_MAX;
    return memmem(line, looked_at, mark, sizeof(mark) - 1) != NULL;
}

static void lines_keep(struct bench_lines *lines, const char *bytes, size_t count)
{
    if (lines->kept_count < BENCH_LOOK_BYTES_MAX) {
        size_t room = BENCH_LOOK_BYTES_MAX - (size_t)lines->kept_count;
        memcpy(lines->kept + lines->kept_count, bytes, count < room ? count : room);
    }
    lines->kept_count += count;
}

/* Of a line that is too long only the beginning is there. */
static void lines_example_take(const struct bench_lines *lines, const char *line, size_t count)
{
    if (lines->examples)
        bench_example_failed(lines->examples, lines->status, line, count);
}

/* The last whole line so far. */
static void lines_last_take(const struct bench_look *look, struct bench_lines *lines,
                            const char *line, size_t count)
{
    lines->is_failure = lines_is_failure(line, count);
    if (lines->is_failure)
        lines_example_take(lines, line, count);
    if (!look->wants_last)
        return;
    lines->last_count = count < BENCH_SHOWN_BYTES ? (uint32_t)count : BENCH_SHOWN_BYTES;
    memcpy(lines->last, line, lines->last_count);
}
