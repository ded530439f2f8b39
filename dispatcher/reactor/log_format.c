/* SPDX-License-Identifier: MIT */
/* log_format.c - fields behind each other, each whole or not at all, within the line's bound. */
#include "dispatcher/reactor/log_format.h"

#include <string.h>

#include "dispatcher/text/json_number.h"
#include "dispatcher/text/put.h"
#include "dispatcher/text/utf8.h"
#include "millrace/check.h"

#define TAIL_BYTES 2u       /* "}\n" */
#define ESCAPE_BYTES_MAX 6u /* "\u001b" */
#define INDENT "    "

/* Of a block that is too long, the line that its end begins in is left out if it is over soon. */
#define BLOCK_BROKEN_BYTES 256u

/* The end of the year 9999. */
#define SECOND_MAX 253402300799

/* What is put into every line, with its length. */
struct log_part {
    const char *text;
    size_t count;
};

#define PART(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct log_part level_names[LEVEL_COUNT] = {
    [LEVEL_DEBUG] = PART("debug"),
    [LEVEL_INFO] = PART("info"),
    [LEVEL_WARNING] = PART("warning"),
    [LEVEL_ERROR] = PART("error"),
};

/* sd-daemon(3) */
static const char *const journal_priorities[LEVEL_COUNT] = {
    [LEVEL_DEBUG] = "<7>",
    [LEVEL_INFO] = "<6>",
    [LEVEL_WARNING] = "<4>",
    [LEVEL_ERROR] = "<3>",
};

/* A line that is being written. What would go beyond its end is not written, and noted. */
struct log_out {
    const struct log_style *style;
    enum log_level level;
    char *at;
    const char *end; /* TAIL_BYTES are there behind it */
    bool is_full;
};

static void log_put_head(struct log_out *out, struct log_style *style, const struct timespec *now,
                         const struct log_event *event);
static void log_put_field(struct log_out *out, const struct log_field *field);
static void log_put_blocks(struct log_out *out, const struct log_event *event);

size_t log_format_event(struct log_style *style, const struct timespec *now,
                        const struct log_event *event, char *out, size_t room)
{
    size_t line_room = room < LOG_LINE_BYTES_MAX ? room : LOG_LINE_BYTES_MAX;
    if (line_room < TAIL_BYTES)
        return 0;
    struct log_out line = {style, event->level, out, out + line_room - TAIL_BYTES, false};
    log_put_head(&line, style, now, event);
    bool has_block = false;
    for (size_t i = 0; i < event->field_count; i++) {
        if (event->fields[i].kind == LOG_KIND_BLOCK)
            has_block = true;
        else if (event->fields[i].kind != LOG_KIND_NOTHING)
            log_put_field(&line, &event->fields[i]);
    }
    /* Another place has more room: there is enough for what is to be said of any event. */
    if (line.is_full && room < LOG_LINE_BYTES_MAX)
        return 0;
    line.end = out + room - TAIL_BYTES;
    line.is_full = false;
    if (has_block)
        log_put_blocks(&line, event);
    if (style->format == LOG_FORMAT_JSON)
        *line.at++ = '}';
    *line.at++ = '\n';
    return line.is_full ? 0 : (size_t)(line.at - out);
}

uint64_t log_format_count(const char *bytes, size_t count)
{
    uint64_t ends = 0;
    const char *end = bytes + count;
    while ((bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
        bytes++;
        const char *next = bytes;
        if (end - next > 3 && next[0] == '<' && next[2] == '>')
            next += 3;
        ends += next == end || *next != ' '; /* a line of a block belongs to what is before it */
    }
    return ends;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static bool log_has_room(struct log_out *out, size_t count)
{
    if (count <= (size_t)(out->end - out->at))
        return true;
    out->is_full = true;
    return false;
}

static void log_put_bytes(struct log_out *out, const char *bytes, size_t count)
{
    if (!log_has_room(out, count))
        return;
    memcpy(out->at, bytes, count);
    out->at += count;
}

static void log_put(struct log_out *out, const char *text)
{
    log_put_bytes(out, text, strlen(text));
}

static void log_put_part(struct log_out *out, const struct log_part *part)
{
    log_put_bytes(out, part->text, part->count);
}

static void log_put_number(struct log_out *out, const struct log_field *field)
{
    static const char digits[] = "0123456789abcdef";
    char text[JSON_NUMBER_BYTES_MAX + 4], *end = text;
    bool is_hex = field->kind == LOG_KIND_HEX;
    bool is_json = out->style->format == LOG_FORMAT_JSON;
    if (is_hex) {
        uint32_t shift = 60;
        if (is_json)
            *end++ = '"';
        *end++ = '0';
        *end++ = 'x';
        while (shift > 0 && field->value.natural >> shift == 0)
            shift -= 4;
        for (uint32_t i = shift + 4; i > 0; i -= 4)
            *end++ = digits[field->value.natural >> (i - 4) & 0xf];
        if (is_json)
            *end++ = '"';
    } else if (field->kind == LOG_KIND_NATURAL) {
        end = json_number_natural(text, field->value.natural);
    } else if (field->kind == LOG_KIND_INTEGER) {
        end = json_number_integer(text, field->value.integer);
    } else {
        end = json_number_fp(text, field->value.fp);
    }
    log_put_bytes(out, text, (size_t)(end - text));
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* Bytes of the character at `text` that is shown as it is, 0 of one that is escaped. */
static size_t log_shown(const char *text, size_t count)
{
    unsigned char c = (unsigned char)*text;
    if (c >= 0x20 && c < 0x7f)
        return 1;
    return utf8_shown_bytes(text, count);
}

static void log_hex(char *out, uint32_t value, uint32_t digit_count)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < digit_count; i++)
        out[i] = digits[value >> (4 * (digit_count - 1 - i)) & 0xf];
}

/* What stands for a byte that is not shown, or for a whole character where the format has a word
 * for it: JSON's strings, which logfmt's are too, have none for a byte that is no UTF-8. Returns
 * how much of `text` that was. */
static size_t log_put_escape(struct log_out *out, const char *text, size_t count)
{
    const uint8_t *bytes = (const uint8_t *)text;
    char escape[ESCAPE_BYTES_MAX] = {'\\'};
    if (bytes[0] == '\n' || bytes[0] == '"' || bytes[0] == '\\') {
        escape[1] = bytes[0] == '\n' ? 'n' : text[0];
        log_put_bytes(out, escape, 2);
        return 1;
    }
    if (out->style->format == LOG_FORMAT_TEXT) {
        escape[1] = 'x';
        log_hex(escape + 2, bytes[0], 2);
        log_put_bytes(out, escape, 4);
        return 1;
    }
    /* None that takes four bytes is escaped. */
    size_t sequence = utf8_sequence(bytes, count);
    uint32_t point = 0xfffd;
    if (sequence == 1)
        point = bytes[0];
    else if (sequence == 2)
        point = (bytes[0] & 0x1fu) << 6 | (bytes[1] & 0x3fu);
    else if (sequence == 3)
        point = (bytes[0] & 0x0fu) << 12 | (bytes[1] & 0x3fu) << 6 | (bytes[2] & 0x3fu);
    escape[1] = 'u';
    log_hex(escape + 2, point, 4);
    log_put_bytes(out, escape, 6);
    return sequence > 0 ? sequence : 1;
}

/* So many bytes in front, in eights, are small letters, digits and what is between - and 9. */
static size_t log_plain_count(const char *word, size_t count)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t bytes;
        memcpy(&bytes, word + i, sizeof bytes);
        /* The high bit of each byte in range. A sum carries only from one that is not ASCII, which
         * is in neither. */
        uint64_t digits = (bytes + (0x80 - '-') * ones) & ~(bytes + (0x7f - '9') * ones);
        uint64_t letters = (bytes + (0x80 - 'a') * ones) & ~(bytes + (0x7f - 'z') * ones);
        if ((((digits | letters) & ~bytes) & 0x80 * ones) != 0x80 * ones)
            break;
    }
    return i;
}

/* As much of a text as there is room for. */
static void log_put_escaped(struct log_out *out, const char *text, size_t count, bool is_quoted)
{
    size_t i = 0, plain = log_plain_count(text, count);
    if (plain <= (size_t)(out->end - out->at)) {
        log_put_bytes(out, text, plain);
        i = plain;
    }
    while (i < count && log_has_room(out, ESCAPE_BYTES_MAX)) {
        size_t shown = log_shown(text + i, count - i);
        if (shown == 0 || (is_quoted && (text[i] == '"' || text[i] == '\\'))) {
            i += log_put_escape(out, text + i, count - i);
            continue;
        }
        memcpy(out->at, text + i, shown);
        out->at += shown;
        i += shown;
    }
}

/* At most `limit` bytes of a text, which end with a character. */
static size_t log_text_cut(const char *text, size_t count, size_t limit)
{
    if (count <= limit)
        return count;
    for (size_t i = 1; i < UTF8_SEQUENCE_BYTES_MAX && i <= limit; i++) {
        const uint8_t *last = (const uint8_t *)text + limit - i;
        if (!utf8_is_continuation(*last))
            return utf8_sequence(last, count - limit + i) > i ? limit - i : limit;
    }
    return limit;
}

/* As much of it as there is room for; false: none. */
static bool log_put_quoted(struct log_out *out, const char *text, size_t count)
{
    if (!log_has_room(out, 2 + ESCAPE_BYTES_MAX))
        return false;
    out->end--; /* for the quote that ends it */
    *out->at++ = '"';
    log_put_escaped(out, text, log_text_cut(text, count, LOG_TEXT_BYTES_MAX), true);
    out->end++;
    *out->at++ = '"';
    return true;
}

/* Whether a reader of key=value would find the word's end, and nothing has to be escaped. */
static bool log_is_plain(const char *word, size_t count)
{
    size_t shown, first = log_plain_count(word, count);
    for (size_t i = first; i < count; i += shown) {
        shown = log_shown(word + i, count - i);
        if (shown == 0 || word[i] == ' ' || word[i] == '"' || word[i] == '=' || word[i] == '\\')
            return false;
    }
    return count > 0;
}

static bool log_put_word(struct log_out *out, const char *word, size_t count)
{
    bool is_plain = out->style->format != LOG_FORMAT_JSON && count <= LOG_TEXT_BYTES_MAX &&
                    log_is_plain(word, count) && log_has_room(out, count);
    if (!is_plain)
        return log_put_quoted(out, word, count);
    log_put_bytes(out, word, count);
    return true;
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* "2026-01-31T12:00:00.123Z", of which all but the milliseconds is made once a second. */
static void log_put_time(struct log_out *out, struct log_style *style, const struct timespec *now)
{
    time_t second = now->tv_sec < 0 ? 0 : now->tv_sec > SECOND_MAX ? SECOND_MAX : now->tv_sec;
    uint32_t ms = (uint32_t)(now->tv_nsec / 1000000);
    const char rest[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
                         'Z'};
    if (style->second != second || style->second_text[0] == '\0') {
        struct tm date;
        gmtime_r(&second, &date);
        style->second = second;
        strftime(style->second_text, sizeof style->second_text, "%Y-%m-%dT%H:%M:%S.", &date);
    }
    log_put_bytes(out, style->second_text, sizeof "2026-01-31T12:00:00." - 1);
    log_put_bytes(out, rest, sizeof rest);
}

static void log_put_priority(struct log_out *out)
{
    if (out->style->is_journal)
        log_put(out, journal_priorities[out->level]);
}

static void log_put_head(struct log_out *out, struct log_style *style, const struct timespec *now,
                         const struct log_event *event)
{
    static const struct {
        struct log_part time, level, event, end;
    } heads[LOG_FORMAT_COUNT] = {
        [LOG_FORMAT_TEXT] = {PART(""), PART(" "), PART(" "), PART("")},
        [LOG_FORMAT_JSON] = {PART("{\"time\":\""), PART("\",\"level\":\""), PART("\",\"event\":\""),
                             PART("\"")},
        [LOG_FORMAT_LOGFMT] = {PART("time="), PART(" level="), PART(" event="), PART("")},
    };
    log_put_priority(out);
    /* The journal shows a time of its own before a text. */
    bool is_timed = style->format != LOG_FORMAT_TEXT || !style->is_journal;
    log_put_part(out, &heads[style->format].time);
    if (is_timed) {
        log_put_time(out, style, now);
        log_put_part(out, &heads[style->format].level);
    }
    log_put_part(out, &level_names[event->level]);
    log_put_part(out, &heads[style->format].event);
    log_put(out, event->name);
    log_put_part(out, &heads[style->format].end);
}

static void log_put_key(struct log_out *out, const struct log_field *field)
{
    bool is_json = out->style->format == LOG_FORMAT_JSON;
    if (!log_has_room(out, field->key_bytes + 4))
        return;
    *out->at++ = is_json ? ',' : ' ';
    if (is_json)
        *out->at++ = '"';
    memcpy(out->at, field->key, field->key_bytes);
    out->at += field->key_bytes;
    if (is_json)
        *out->at++ = '"';
    *out->at++ = is_json ? ':' : '=';
}

static bool log_put_name(struct log_out *out, const char *name, size_t count)
{
    bool is_json = out->style->format == LOG_FORMAT_JSON;
    if (!log_has_room(out, count + 2))
        return false;
    if (is_json)
        *out->at++ = '"';
    memcpy(out->at, name, count);
    out->at += count;
    if (is_json)
        *out->at++ = '"';
    return true;
}

/* False: there is no room for it. */
static bool log_put_value(struct log_out *out, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_KIND_NATURAL:
    case LOG_KIND_INTEGER:
    case LOG_KIND_FP:
    case LOG_KIND_HEX:
        log_put_number(out, field);
        return !out->is_full;
    case LOG_KIND_BOOLEAN:
        log_put(out, field->value.boolean ? "true" : "false");
        return !out->is_full;
    case LOG_KIND_NAME:
        return log_put_name(out, field->value.text, field->count);
    case LOG_KIND_WORD:
        return log_put_word(out, field->value.text, field->count);
    case LOG_KIND_TEXT:
        return log_put_quoted(out, field->value.text, field->count);
    case LOG_KIND_NOTHING:
    case LOG_KIND_BLOCK:
    case LOG_KIND_COUNT:
        break;
    }
    mr_unreachable("a field of a kind that is none");
}

/* With its key and its value, which may be cut short; or nothing of it. */
static void log_put_field(struct log_out *out, const struct log_field *field)
{
    char *begin = out->at;
    bool was_full = out->is_full;
    out->is_full = false;
    log_put_key(out, field);
    if (out->is_full || !log_put_value(out, field))
        out->at = begin;
    out->is_full |= was_full;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* What is kept of a block: its end, where a traceback says what went wrong. */
struct log_kept {
    const char *text;
    size_t count;
    size_t lost;     /* bytes in front of it */
    char notice[48]; /* a line that says so; empty: nothing was lost */
};

static void log_keep(struct log_kept *kept, const char *text, size_t count)
{
    while (count > 0 && text[count - 1] == '\n')
        count--;
    size_t lost = count > LOG_BLOCK_BYTES_MAX ? count - LOG_BLOCK_BYTES_MAX : 0;
    *kept = (struct log_kept){.text = text, .count = count};
    if (lost == 0)
        return;
    for (uint32_t i = 1; i < UTF8_SEQUENCE_BYTES_MAX && utf8_is_continuation((uint8_t)text[lost]);
         i++)
        lost++;
    const char *newline = memchr(text + lost, '\n', BLOCK_BROKEN_BYTES);
    if (newline)
        lost = (size_t)(newline + 1 - text);
    kept->text += lost;
    kept->count -= lost;
    kept->lost = lost;
    struct put put = PUT_INTO(kept->notice);
    PUT(&put, "[");
    put_number(&put, lost);
    PUT(&put, " bytes are left out]");
}

/* Empty lines are left out, as the journal leaves them out. */
static void log_put_indented(struct log_out *out, const char *text, size_t count)
{
    const char *end = text + count;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        if (stop > text) {
            log_put(out, "\n");
            log_put_priority(out);
            log_put(out, INDENT);
            log_put_escaped(out, text, (size_t)(stop - text), false);
        }
        text = stop + 1;
    }
}

/* The text is a reader's who has no key=value in mind: what is no block comes before. */
static void log_put_blocks(struct log_out *out, const struct log_event *event)
{
    for (size_t i = 0; i < event->field_count; i++) {
        const struct log_field *field = &event->fields[i];
        struct log_kept kept;
        if (field->kind != LOG_KIND_BLOCK)
            continue;
        log_keep(&kept, field->value.text, field->count);
        if (out->style->format == LOG_FORMAT_TEXT) {
            log_put_indented(out, kept.notice, strlen(kept.notice));
            log_put_indented(out, kept.text, kept.count);
            continue;
        }
        log_put_key(out, field);
        log_put(out, "\"");
        log_put(out, kept.notice);
        log_put(out, kept.lost > 0 ? "\\n" : "");
        log_put_escaped(out, kept.text, kept.count, true);
        log_put(out, "\"");
    }
}
