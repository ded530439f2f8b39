/* SPDX-License-Identifier: MIT */
/*
 * test_log.c - a log line is one line, whatever it says; what does not fit is counted, not waited
 * for.
 */
#include "dispatcher/reactor/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "millrace/limits.h"
#include "tests/unit/shm/ring_memory.h"

#define STEP_COUNT 100000u

static struct log *log_;

static int log_make(void **state)
{
    (void)state;
    log_ = malloc(sizeof(*log_));
    mr_assert(log_);
    log_init(log_, STDERR_FILENO, LEVEL_INFO);
    return 0;
}

static int log_remove(void **state)
{
    (void)state;
    free(log_);
    return 0;
}

/* The only line that waits, without its newline; it was written in full. */
static const char *line_taken(void)
{
    static char line[8192];
    const char *bytes;
    size_t count = log_take(log_, &bytes);
    assert_true(count > 0 && count < sizeof(line));
    assert_ptr_equal(memchr(bytes, '\n', count), bytes + count - 1);
    memcpy(line, bytes, count - 1);
    line[count - 1] = '\0';
    log_written(log_, (int32_t)count);
    return line;
}

static void a_line_is_time_level_event_and_values(void **state)
{
    (void)state;
    log_event(log_, LEVEL_WARNING, "worker_kill", LOG_NATURAL("worker", 3),
              LOG_TEXT("reason", "late"));
    const char *line = line_taken();
    int year, month, day, hour, minute, second, millisecond, end = 0;
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &millisecond, &end),
                     7);
    assert_int_equal(end, 24);
    assert_string_equal(line + end, " warning worker_kill worker=3 reason=\"late\"");
}

static void a_word_is_quoted_only_where_it_has_to_be(void **state)
{
    (void)state;
    log_event(log_, LEVEL_INFO, "words", LOG_WORD("a", "c/lookup:v1"), LOG_WORD("b", "two words"),
              LOG_WORD("c", ""), LOG_WORD("d", "a=1"), LOG_WORD("e", "\"\\"),
              LOG_WORD("f", "\x1b[2J\r\n"), LOG_WORD("g", "d\xc3\xa9j\xc3\xa0"));
    assert_non_null(strstr(line_taken(), " words a=c/lookup:v1 b=\"two words\" c=\"\" d=\"a=1\" "
                                         "e=\"\\\"\\\\\" f=\"\\x1b[2J\\x0d\\n\" "
                                         "g=d\xc3\xa9j\xc3\xa0"));
}

static void fields_that_are_nothing_are_left_out(void **state)
{
    (void)state;
    log_event(log_, LEVEL_INFO, "some", LOG_WORD("a", NULL), LOG_TEXT("b", NULL),
              LOG_BYTES("c", NULL, 0), LOG_BLOCK("d", NULL, 0), LOG_NOTHING, LOG_NATURAL("e", 1));
    assert_non_null(strstr(line_taken(), " info some e=1"));
}

static void numbers_are_of_several_kinds(void **state)
{
    (void)state;
    log_event(log_, LEVEL_INFO, "numbers", LOG_NATURAL("a", UINT64_MAX), LOG_INTEGER("b", -7),
              LOG_FP("c", 0.25), LOG_BOOLEAN("d", true), LOG_BOOLEAN("e", false),
              LOG_HEX("f", 0xdeadbeef), LOG_HEX("g", 0), LOG_HEX("h", UINT64_MAX));
    assert_non_null(strstr(line_taken(), " a=18446744073709551615 b=-7 c=0.25 d=true e=false "
                                         "f=0xdeadbeef g=0x0 h=0xffffffffffffffff"));
}

/* C1 as a byte and as a character, a title, line and paragraph separators, directions, bytes that
 * are no UTF-8; and what has to stay. */
#define STEERING                                                                                   \
    "\x9b"                                                                                         \
    "31m\xc2\x9b\xc2\x9d\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f\xc0"  \
    "\xaf\xff"
#define HARMLESS                                                                                   \
    "d\xc3\xa9j\xc3\xa0 \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x8e\xb5 \xe2\x80\x8d \xc2\xa0"

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    const char *bytes;
    uint32_t looked_at = 0;
    log_event(log_, LEVEL_DEBUG, "quiet", LOG_NATURAL("a", ++looked_at));
    assert_int_equal(looked_at, 0);
    assert_int_equal(log_take(log_, &bytes), 0);
    log_event(log_, LEVEL_INFO, "loud", LOG_NATURAL("a", 1));
    assert_non_null(strstr(line_taken(), " info loud a=1"));
}

static void a_line_that_is_too_long_is_cut_and_still_one_line(void **state)
{
    (void)state;
    static char text[LOG_TEXT_BYTES_MAX + 1];
    memset(text, 'x', sizeof(text) - 1);
    log_event(log_, LEVEL_INFO, "long", LOG_TEXT("a", text), LOG_TEXT("b", text),
              LOG_TEXT("c", text), LOG_TEXT("d", text), LOG_NATURAL("e", 1234567));
    const char *line = line_taken();
    assert_in_range(strlen(line), LOG_LINE_BYTES_MAX - 16, LOG_LINE_BYTES_MAX - 1);
    assert_non_null(strstr(line, "x\" d=\"x"));
    assert_null(strstr(line, " e="));
    assert_int_equal(line[strlen(line) - 1], '"');
}

/* Undoes the quoting of a text; the number of bytes. */
static size_t unquote(const char *quoted, unsigned char *out)
{
    size_t count = 0;
    assert_int_equal(*quoted++, '"');
    while (*quoted != '"') {
        unsigned char c = (unsigned char)*quoted++;
        assert_true(c >= 0x20 && c != 0x7f);
        if (c == '\\' && *quoted == 'x') {
            char digits[] = {quoted[1], quoted[2], '\0'};
            c = (unsigned char)strtoul(digits, NULL, 16);
            quoted += 3;
        } else if (c == '\\' && *quoted == 'n') {
            c = '\n';
            quoted++;
        } else if (c == '\\') {
            c = (unsigned char)*quoted++;
            assert_true(c == '"' || c == '\\');
        }
        out[count++] = c;
    }
    assert_int_equal(quoted[1], '\0');
    return count;
}

static void any_byte_of_a_text_comes_back_from_its_quotes(void **state)
{
    (void)state;
    char text[256];
    unsigned char read[4096];
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("worker", 1),
              LOG_BYTES("text", text, sizeof(text)));
    const char *quoted = strstr(line_taken(), " text=");
    assert_non_null(quoted);
    assert_int_equal(unquote(quoted + 6, read), sizeof(text));
    assert_memory_equal(read, text, sizeof(text));
}

static void a_text_cannot_begin_a_line_of_its_own(void **state)
{
    (void)state;
    static const char text[] = "x\"\n2026-01-31T12:00:00.000Z error forged a=1\r\n\x1b[2J";
    unsigned char read[4096];
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("worker", 1),
              LOG_BYTES("text", text, sizeof(text) - 1));
    const char *quoted = strstr(line_taken(), " text=");
    assert_int_equal(unquote(quoted + 6, read), sizeof(text) - 1);
    assert_memory_equal(read, text, sizeof(text) - 1);
}

static void a_text_cannot_hold_what_steers_a_terminal_and_comes_back_from_its_quotes(void **state)
{
    (void)state;
    unsigned char read[4096];
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("a", 1),
              LOG_BYTES("text", STEERING HARMLESS, sizeof(STEERING HARMLESS) - 1));
    const char *quoted = strstr(line_taken(), " text=");
    assert_non_null(quoted);
    assert_non_null(strstr(quoted, HARMLESS));
    for (const char *at = quoted; at < strstr(quoted, HARMLESS); at++)
        assert_in_range(*at, 0x20, 0x7e);
    assert_int_equal(unquote(quoted + 6, read), sizeof(STEERING HARMLESS) - 1);
    assert_memory_equal(read, STEERING HARMLESS, sizeof(STEERING HARMLESS) - 1);
}

static void a_text_is_cut_at_its_limit_and_keeps_its_quotes(void **state)
{
    (void)state;
    static char text[LOG_TEXT_BYTES_MAX * 2];
    unsigned char read[4096];
    memset(text, 'y', sizeof(text));
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("worker", 1),
              LOG_BYTES("text", text, sizeof(text)));
    assert_int_equal(unquote(strstr(line_taken(), " text=") + 6, read), LOG_TEXT_BYTES_MAX);
    /* Each byte becomes four: cut where the line ends. */
    memset(text, '\x01', sizeof(text));
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("worker", 1),
              LOG_BYTES("text", text, sizeof(text)));
    assert_in_range(unquote(strstr(line_taken(), " text=") + 6, read), 950, LOG_TEXT_BYTES_MAX);
    /* Not in the middle of a character. */
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = "\xe4\xbd\xa0"[i % 3];
    log_event(log_, LEVEL_INFO, "output", LOG_NATURAL("worker", 1),
              LOG_BYTES("text", text, sizeof(text)));
    assert_int_equal(unquote(strstr(line_taken(), " text=") + 6, read), LOG_TEXT_BYTES_MAX - 1);
}

static void nothing_is_taken_while_a_write_is_in_flight(void **state)
{
    (void)state;
    const char *bytes;
    log_event(log_, LEVEL_INFO, "one", LOG_NATURAL("a", 1));
    size_t count = log_take(log_, &bytes);
    assert_true(count > 0);
    log_event(log_, LEVEL_INFO, "two", LOG_NATURAL("a", 1));
    assert_int_equal(log_take(log_, &bytes), 0);
    log_written(log_, (int32_t)count);
    assert_non_null(strstr(line_taken(), " info two "));
    assert_int_equal(log_take(log_, &bytes), 0);
}

static void a_short_write_is_continued_where_it_stopped(void **state)
{
    (void)state;
    const char *bytes, *again;
    log_event(log_, LEVEL_INFO, "one", LOG_NATURAL("a", 1));
    size_t count = log_take(log_, &bytes);
    log_written(log_, 10);
    log_event(log_, LEVEL_INFO, "two", LOG_NATURAL("a", 1));
    assert_int_equal(log_take(log_, &again), count - 10);
    assert_ptr_equal(again, bytes + 10);
}

static void another_file_begins_with_a_whole_line(void **state)
{
    (void)state;
    const char *bytes, *again;
    log_event(log_, LEVEL_INFO, "one", LOG_NATURAL("a", 1));
    log_event(log_, LEVEL_INFO, "two", LOG_NATURAL("a", 1));
    size_t count = log_take(log_, &bytes);
    log_written(log_, 10);
    log_take(log_, &again);
    log_written(log_, -ECANCELED);
    log_move(log_, STDOUT_FILENO);
    assert_int_equal(log_->fd, STDOUT_FILENO);
    assert_int_equal(log_->dropped_total, 1);
    size_t left = log_take(log_, &again);
    assert_ptr_equal(again + left, bytes + count);
    assert_memory_equal(again + 24, " info two a=1\n", 14);
    log_written(log_, (int32_t)left);
    assert_non_null(strstr(line_taken(), " log_dropped lines=1"));
    /* Where a line had ended, nothing is lost. */
    log_event(log_, LEVEL_INFO, "three", LOG_NATURAL("a", 1));
    log_move(log_, STDERR_FILENO);
    assert_int_equal(log_->dropped_total, 1);
    assert_non_null(strstr(line_taken(), " info three "));
}

static void an_interrupted_write_is_repeated(void **state)
{
    (void)state;
    const char *bytes;
    log_event(log_, LEVEL_INFO, "one", LOG_NATURAL("a", 1));
    size_t count = log_take(log_, &bytes);
    log_written(log_, -EINTR);
    assert_int_equal(log_take(log_, &bytes), count);
    log_written(log_, -EAGAIN);
    assert_int_equal(log_take(log_, &bytes), count);
    assert_int_equal(log_->dropped_total, 0);
}

/* Fills the half that is being filled; the lines that fit. */
static uint64_t fill(const char *event)
{
    uint64_t count = 0;
    for (uint64_t dropped = log_->dropped_total; log_->dropped_total == dropped; count++)
        log_event(log_, LEVEL_INFO, event, LOG_NATURAL("number", count));
    return count - 1;
}

static uint64_t lines_count(const char *bytes, size_t count)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < count; i++)
        lines += bytes[i] == '\n';
    return lines;
}

static void lines_for_which_there_is_no_room_are_counted_and_the_count_is_logged(void **state)
{
    (void)state;
    const char *bytes;
    uint64_t fit = fill("flood");
    for (int i = 0; i < 41; i++)
        log_event(log_, LEVEL_INFO, "flood", LOG_WORD("number", "0000000000"));
    assert_int_equal(log_->dropped_total, 42);
    size_t count = log_take(log_, &bytes);
    assert_int_equal(lines_count(bytes, count), fit);
    log_written(log_, (int32_t)count);
    assert_non_null(strstr(line_taken(), " warning log_dropped lines=42"));
    assert_int_equal(log_take(log_, &bytes), 0);
    assert_int_equal(log_->dropped_total, 42);
}

/* The number after "lines=" of the first such line that is taken. */
static uint64_t lines_said(void)
{
    const char *bytes;
    char text[256] = {0};
    size_t count = log_take(log_, &bytes);
    memcpy(text, bytes, count < sizeof(text) ? count : sizeof(text) - 1);
    log_written(log_, (int32_t)count);
    const char *said = strstr(text, "log_dropped lines=");
    return said ? strtoull(said + strlen("log_dropped lines="), NULL, 10) : 0;
}

static void a_full_disk_costs_the_batch_and_every_line_of_it_is_counted_once(void **state)
{
    (void)state;
    const char *bytes;
    uint64_t lost = fill("lost");
    log_take(log_, &bytes);
    assert_int_equal(log_->dropped_total, 1);
    fill("kept"); /* and one more is dropped while the first half is written */
    assert_int_equal(log_->dropped_total, 2);
    log_written(log_, -ENOSPC);
    assert_int_equal(log_->dropped_total, lost + 2);
    uint64_t said = lines_said();
    assert_int_equal(said, 1);
    assert_int_equal(said + lines_said(), lost + 2);
}

static void a_disk_that_stays_full_is_tried_again_for_new_lines_only(void **state)
{
    (void)state;
    const char *bytes;
    for (int i = 0; i < 3; i++) {
        log_event(log_, LEVEL_INFO, "lost", LOG_NATURAL("a", 1));
        assert_true(log_take(log_, &bytes) > 0);
        log_written(log_, -ENOSPC);
        for (int pass = 0; pass < 3; pass++)
            assert_int_equal(log_take(log_, &bytes), 0);
    }
    assert_int_equal(log_->dropped_total, 3);
    log_event(log_, LEVEL_INFO, "kept", LOG_NATURAL("a", 1));
    assert_non_null(strstr(line_taken(), " kept a=1"));
    assert_non_null(strstr(line_taken(), " log_dropped lines=3"));
}

static void a_line_that_is_written_in_part_does_not_take_the_next_one_with_it(void **state)
{
    (void)state;
    const char *bytes;
    log_event(log_, LEVEL_INFO, "torn", LOG_NATURAL("a", 1));
    assert_true(log_take(log_, &bytes) > 10);
    log_written(log_, 10);
    assert_true(log_take(log_, &bytes) > 0);
    log_written(log_, -ENOSPC);
    /* Also when the first one after it is lost, which is one line. */
    fill("lost");
    uint64_t dropped = log_->dropped_total;
    size_t count = log_take(log_, &bytes);
    assert_int_equal(bytes[0], '\n');
    log_written(log_, -ENOSPC);
    assert_int_equal(log_->dropped_total, dropped + lines_count(bytes, count) - 1);
    log_event(log_, LEVEL_INFO, "kept", LOG_NATURAL("a", 1));
    count = log_take(log_, &bytes);
    assert_int_equal(lines_count(bytes, count), 2);
    assert_memory_equal(bytes, "\n2", 2);
    log_written(log_, (int32_t)count);
    assert_non_null(strstr(line_taken(), " log_dropped lines="));
}

static void the_end_of_the_process_writes_what_is_left(void **state)
{
    (void)state;
    int ends[2];
    char read_[8192];
    assert_int_equal(pipe(ends), 0);
    log_->fd = ends[1];
    log_event(log_, LEVEL_INFO, "one", LOG_NATURAL("a", 1));
    log_event(log_, LEVEL_INFO, "two", LOG_NATURAL("a", 1));
    log_flush(log_);
    ssize_t count = read(ends[0], read_, sizeof(read_));
    assert_int_equal(lines_count(read_, (size_t)count), 2);
    close(ends[0]);
    close(ends[1]);
}

static void the_end_of_the_process_does_not_wait_for_a_reader(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    log_->fd = ends[1];
    while (fcntl(ends[1], F_SETPIPE_SZ, 4096) == -1)
        assert_int_equal(errno, EINTR);
    fill("flood");
    log_flush(log_); /* the alarm tells if it waits */
    close(ends[0]);
    close(ends[1]);
}

/* Numbered lines in; the reader sees them in order, and as many as are missing were counted. */
static void any_sequence_of_lines_and_writes_loses_none_uncounted(void **state)
{
    (void)state;
    uint64_t seed = environment_number("SEED", 20260131), chance = seed;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    static char stream[4096 + LOG_BUFFER_BYTES];
    size_t stream_count = 0;
    uint64_t put = 0, seen = 0, said = 0, next = 0;
    for (uint32_t step = 0; step < STEP_COUNT || seen + log_->dropped_total < put; step++) {
        if (step < STEP_COUNT && random_below(&chance, 100) > 0) {
            log_event(log_, LEVEL_INFO, "n", LOG_NATURAL("number", put++));
            continue;
        }
        const char *bytes;
        size_t count = log_take(log_, &bytes);
        size_t part = random_below(&chance, count < 4096 ? (uint32_t)count + 1 : 4097);
        memcpy(stream + stream_count, bytes, part);
        stream_count += part;
        if (count > 0)
            log_written(log_, (int32_t)part);
        char *line = stream, *end;
        while ((end = memchr(line, '\n', (size_t)(stream + stream_count - line))) != NULL) {
            *end = '\0';
            const char *number = strstr(line, "number="), *lines = strstr(line, "lines=");
            if (number) {
                uint64_t value = strtoull(number + 7, NULL, 10);
                assert_true(value >= next);
                next = value + 1;
                seen++;
            } else {
                assert_non_null(lines);
                said += strtoull(lines + 6, NULL, 10);
            }
            line = end + 1;
        }
        stream_count = (size_t)(stream + stream_count - line);
        memmove(stream, line, stream_count);
    }
    assert_int_equal(seen + log_->dropped_total, put);
    assert_true(log_->dropped_total > 1000);
    assert_true(said <= log_->dropped_total);
    assert_int_equal(said + log_->dropped_count, log_->dropped_total);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, log_make, log_remove)

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_line_is_time_level_event_and_values),
        LOG_TEST(a_word_is_quoted_only_where_it_has_to_be),
        LOG_TEST(fields_that_are_nothing_are_left_out),
        LOG_TEST(numbers_are_of_several_kinds),
        LOG_TEST(lines_below_the_level_are_not_written),
        LOG_TEST(a_line_that_is_too_long_is_cut_and_still_one_line),
        LOG_TEST(any_byte_of_a_text_comes_back_from_its_quotes),
        LOG_TEST(a_text_cannot_begin_a_line_of_its_own),
        LOG_TEST(a_text_cannot_hold_what_steers_a_terminal_and_comes_back_from_its_quotes),
        LOG_TEST(a_text_is_cut_at_its_limit_and_keeps_its_quotes),
        LOG_TEST(nothing_is_taken_while_a_write_is_in_flight),
        LOG_TEST(a_short_write_is_continued_where_it_stopped),
        LOG_TEST(another_file_begins_with_a_whole_line),
        LOG_TEST(an_interrupted_write_is_repeated),
        LOG_TEST(lines_for_which_there_is_no_room_are_counted_and_the_count_is_logged),
        LOG_TEST(a_full_disk_costs_the_batch_and_every_line_of_it_is_counted_once),
        LOG_TEST(a_disk_that_stays_full_is_tried_again_for_new_lines_only),
        LOG_TEST(a_line_that_is_written_in_part_does_not_take_the_next_one_with_it),
        LOG_TEST(the_end_of_the_process_writes_what_is_left),
        LOG_TEST(the_end_of_the_process_does_not_wait_for_a_reader),
        LOG_TEST(any_sequence_of_lines_and_writes_loses_none_uncounted),
    };
    return cmocka_run_group_tests_name("log", tests, descriptors_note, descriptors_compare);
}
