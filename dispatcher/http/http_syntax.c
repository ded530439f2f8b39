/* SPDX-License-Identifier: MIT */
/*
 * http_syntax.c - the bytes of an HTTP/1.1 head: a resumable scan that refuses the first wrong one.
 *
 *     POST /v4/runs HTTP/1.1 CR LF Host: a CR LF CR LF
 *     METHOD TARGET VERSION     |  NAME VALUE  |   `-- OVER
 *                               LINE_LF        LINE_LF, then FIELD or END_LF
 */
#include "dispatcher/http/http_syntax.h"

#include <stdint.h>
#include <string.h>

#include "dispatcher/text/ascii.h"
#include "millrace/limits.h"

enum http_scan_state {
    SCAN_START = 0,
    SCAN_EMPTY_LF,
    SCAN_EMPTY, /* after an empty line before the request */
    SCAN_METHOD,
    SCAN_TARGET_START,
    SCAN_TARGET,
    SCAN_VERSION, /* letter by letter: http_scan_version() */
    SCAN_VERSION_END,
    SCAN_STATUS, /* letter by letter: http_scan_status() */
    SCAN_STATUS_END,
    SCAN_LINE_LF,
    SCAN_FIELD,
    SCAN_NAME,
    SCAN_VALUE, /* also a response's reason phrase */
    SCAN_END_LF,
    SCAN_OVER, /* ended or refused: nothing may follow */
    SCAN_STATE_COUNT
};

enum byte_class {
    BYTE_CONTROL = 0,
    BYTE_CR,
    BYTE_LF,
    BYTE_SPACE,
    BYTE_TAB,
    BYTE_COLON,
    BYTE_HASH,    /* may stand in a token but not in a target, unlike the rest of both */
    BYTE_TOKEN,   /* RFC 9110, section 5.6.2 */
    BYTE_VISIBLE, /* the other visible ones: delimiters */
    BYTE_HIGH,
    BYTE_CLASS_COUNT
};

static int http_scan_limits(const struct http_scan *scan, uint32_t offset, const char **reason);
static int http_scan_step(struct http_scan *scan, uint32_t offset, unsigned char byte,
                          const char **reason);
static int http_scan_version(struct http_scan *scan, uint32_t index, unsigned char byte,
                             const char **reason);
static int http_scan_status(struct http_scan *scan, uint32_t index, unsigned char byte,
                            const char **reason);
static struct http_text http_text_trim(struct http_text text);

/* clang-format off */
#define C BYTE_CONTROL
#define S BYTE_SPACE
#define H BYTE_HASH
#define T BYTE_TOKEN
#define V BYTE_VISIBLE
#define X BYTE_HIGH
static const uint8_t byte_classes[256] = {
    C, C, C, C, C, C, C, C, C, BYTE_TAB, BYTE_LF, C, C, BYTE_CR, C, C,
    C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
    S, T, V, H, T, T, T, T, V, V, T, T, V, T, T, V,          /*  !"#$%&'()*+,-./ */
    T, T, T, T, T, T, T, T, T, T, BYTE_COLON, V, V, V, V, V, /* 0123456789:;<=>? */
    V, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,          /* @ABCDEFGHIJKLMNO */
    T, T, T, T, T, T, T, T, T, T, T, V, V, V, T, T,          /* PQRSTUVWXYZ[\]^_ */
    T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,          /* `abcdefghijklmno */
    T, T, T, T, T, T, T, T, T, T, T, V, T, V, T, C,          /* pqrstuvwxyz{|}~  */
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
#undef C
#undef S
#undef H
#undef T
#undef V
#undef X

#define BIT(class) (1u << (class))
#define BITS_TOKEN (BIT(BYTE_TOKEN) | BIT(BYTE_HASH))
#define BITS_TARGET (BIT(BYTE_TOKEN) | BIT(BYTE_VISIBLE) | BIT(BYTE_COLON))
#define BITS_VALUE (BITS_TARGET | BIT(BYTE_HASH) | BIT(BYTE_SPACE) | BIT(BYTE_TAB) | BIT(BYTE_HIGH))

/* The bytes that leave a state as it is. */
static const uint16_t scan_runs[SCAN_STATE_COUNT] = {
    [SCAN_METHOD] = BITS_TOKEN,
    [SCAN_TARGET] = BITS_TARGET,
    [SCAN_NAME]   = BITS_TOKEN,
    [SCAN_VALUE]  = BITS_VALUE,
};

/* Where the other bytes lead. Nothing leads back to SCAN_START, so 0, a cell that is not here, is a
 * byte that is refused. */
static const uint8_t scan_steps[SCAN_STATE_COUNT][BYTE_CLASS_COUNT] = {
    [SCAN_START] = {
        [BYTE_CR]      = SCAN_EMPTY_LF,
        [BYTE_TOKEN]   = SCAN_METHOD,
        [BYTE_HASH]    = SCAN_METHOD,
    },
    [SCAN_EMPTY_LF] = {
        [BYTE_LF]      = SCAN_EMPTY,
    },
    [SCAN_EMPTY] = {
        [BYTE_CR]      = SCAN_EMPTY_LF,
        [BYTE_TOKEN]   = SCAN_METHOD,
        [BYTE_HASH]    = SCAN_METHOD,
    },
    [SCAN_METHOD] = {
        [BYTE_SPACE]   = SCAN_TARGET_START,
    },
    [SCAN_TARGET_START] = {
        [BYTE_TOKEN]   = SCAN_TARGET,
        [BYTE_VISIBLE] = SCAN_TARGET,
        [BYTE_COLON]   = SCAN_TARGET,
    },
    [SCAN_TARGET] = {
        [BYTE_SPACE]   = SCAN_VERSION,
    },
    [SCAN_VERSION_END] = {
        [BYTE_CR]      = SCAN_LINE_LF,
    },
    [SCAN_STATUS_END] = {
        [BYTE_CR]      = SCAN_LINE_LF,
        [BYTE_SPACE]   = SCAN_VALUE,
    },
    [SCAN_LINE_LF] = {
        [BYTE_LF]      = SCAN_FIELD,
    },
    [SCAN_FIELD] = {
        [BYTE_CR]      = SCAN_END_LF,
        [BYTE_TOKEN]   = SCAN_NAME,
        [BYTE_HASH]    = SCAN_NAME,
    },
    [SCAN_NAME] = {
        [BYTE_COLON]   = SCAN_VALUE,
    },
    [SCAN_VALUE] = {
        [BYTE_CR]      = SCAN_LINE_LF,
    },
    [SCAN_END_LF] = {
        [BYTE_LF]      = SCAN_OVER,
    },
};

static const char *const scan_refusals[SCAN_STATE_COUNT] = {
    [SCAN_START]        = "the first byte begins no HTTP request",
    [SCAN_EMPTY_LF]     = "a carriage return without a line feed",
    [SCAN_EMPTY]        = "the first byte begins no HTTP request",
    [SCAN_METHOD]       = "the method is not a token followed by one space",
    [SCAN_TARGET_START] = "the method is not followed by one space and a target",
    [SCAN_TARGET]       = "the target holds a byte that no target may hold, or no version follows it",
    [SCAN_VERSION]      = "the target is not followed by one space and HTTP/1.1",
    [SCAN_VERSION_END]  = "the version is not followed by the end of the line",
    [SCAN_STATUS]       = "the response does not begin with HTTP/1.1 and a status",
    [SCAN_STATUS_END]   = "the status is not three digits followed by a space",
    [SCAN_LINE_LF]      = "a carriage return without a line feed",
    [SCAN_FIELD]        = "a field line begins with white space or has no name",
    [SCAN_NAME]         = "a field name is not a token followed at once by a colon",
    [SCAN_VALUE]        = "a field value holds a control byte or a line feed",
    [SCAN_END_LF]       = "a carriage return without a line feed",
    [SCAN_OVER]         = "the head ended or was refused before",
};
/* clang-format on */

int http_scan_feed(struct http_scan *scan, const char *bytes, size_t count, const char **reason)
{
    mr_assert(scan->state < SCAN_STATE_COUNT);
    mr_assert(scan->offset <= HTTP_HEAD_BYTES_MAX);

    const unsigned char *at = (const unsigned char *)bytes;
    const uint32_t base = scan->offset;
    const uint32_t room = HTTP_HEAD_BYTES_MAX - base;
    const uint32_t end = count < room ? (uint32_t)count : room;
    uint32_t i = 0;
    while (i < end) {
        const unsigned run = scan_runs[scan->state];
        while (i < end && (run >> byte_classes[at[i]] & 1))
            i++;
        int rc = http_scan_limits(scan, base + i, reason);
        if (rc == 0 && i < end) {
            rc = http_scan_step(scan, base + i, at[i], reason);
            i++;
        }
        if (rc < 0) {
            scan->state = SCAN_OVER;
            return rc;
        }
        if (scan->state == SCAN_OVER)
            break;
    }
    scan->offset = base + i;
    if (scan->state == SCAN_OVER)
        return (int)i;
    if (i == room) {
        scan->state = SCAN_OVER;
        return http_refuse(reason, -431, "the head is larger than 16 KiB");
    }
    return 0;
}

void http_scan_init_response(struct http_scan *scan)
{
    *scan = (struct http_scan){.state = SCAN_STATUS};
}

void http_scan_init_trailers(struct http_scan *scan)
{
    *scan = (struct http_scan){.state = SCAN_FIELD};
}

void http_header_next(struct http_text *rest, struct http_header *out)
{
    const char *colon = memchr(rest->data, ':', rest->bytes);
    mr_assert(colon);
    const size_t name_bytes = (size_t)(colon - rest->data);
    const char *cr = memchr(colon, '\r', rest->bytes - name_bytes);
    mr_assert(cr);
    const size_t line_bytes = (size_t)(cr - rest->data) + 2;
    mr_assert(line_bytes < rest->bytes);

    out->name = (struct http_text){rest->data, name_bytes};
    out->value = http_text_trim((struct http_text){colon + 1, (size_t)(cr - colon) - 1});
    rest->data += line_bytes;
    rest->bytes -= line_bytes;
}

const struct http_header *http_header_find(const struct http_header *headers, uint32_t count,
                                           const struct http_header *previous,
                                           const char *lower_case_name)
{
    for (const struct http_header *at = previous ? previous + 1 : headers; at < headers + count;
         at++)
        if (http_text_matches(at->name, lower_case_name))
            return at;
    return NULL;
}

bool http_text_equals(struct http_text text, const char *expected)
{
    /* memcmp takes no NULL, not even for no bytes. */
    return strlen(expected) == text.bytes &&
           (text.bytes == 0 || memcmp(text.data, expected, text.bytes) == 0);
}

bool http_text_matches(struct http_text text, const char *lower_case)
{
    if (strlen(lower_case) != text.bytes)
        return false;
    for (size_t i = 0; i < text.bytes; i++)
        if (ascii_lower(text.data[i]) != lower_case[i])
            return false;
    return true;
}

bool http_list_next(struct http_text *rest, struct http_text *element)
{
    if (!rest->data)
        return false;
    const char *comma = rest->bytes ? memchr(rest->data, ',', rest->bytes) : NULL;
    const size_t bytes = comma ? (size_t)(comma - rest->data) : rest->bytes;
    *element = http_text_trim((struct http_text){rest->data, bytes});
    rest->data = comma ? comma + 1 : NULL;
    rest->bytes = comma ? rest->bytes - bytes - 1 : 0;
    return true;
}

bool http_list_has(struct http_text list, const char *lower_case_token)
{
    struct http_text element;
    while (http_list_next(&list, &element))
        if (http_text_matches(element, lower_case_token))
            return true;
    return false;
}

bool http_text_number(struct http_text text, uint64_t *number)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        const char c = text.data[i];
        if (c < '0' || c > '9')
            return false;
        const uint64_t digit = (uint64_t)(c - '0');
        if (sum > (INT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    if (text.bytes == 0)
        return false;
    *number = sum;
    return true;
}

int http_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* The bounds of what a run of bytes can make long. */
static int http_scan_limits(const struct http_scan *scan, uint32_t offset, const char **reason)
{
    if (scan->state == SCAN_METHOD && offset - scan->mark > HTTP_METHOD_BYTES_MAX)
        return http_refuse(reason, -501, "the method is longer than any known one");
    if (scan->state == SCAN_TARGET && offset - scan->mark > HTTP_TARGET_BYTES_MAX)
        return http_refuse(reason, -414, "the target is longer than 8 KiB");
    return 0;
}

/* Takes the one byte that a run does not cover. */
static int http_scan_step(struct http_scan *scan, uint32_t offset, unsigned char byte,
                          const char **reason)
{
    if (scan->state == SCAN_VERSION)
        return http_scan_version(scan, offset - scan->mark, byte, reason);
    if (scan->state == SCAN_STATUS)
        return http_scan_status(scan, offset - scan->mark, byte, reason);

    const uint8_t next = scan_steps[scan->state][byte_classes[byte]];
    if (next == 0)
        return http_refuse(reason, -400, scan_refusals[scan->state]);
    scan->state = next;
    if (next == SCAN_METHOD) {
        scan->mark = offset;
    } else if (next == SCAN_TARGET_START || next == SCAN_VERSION) {
        scan->mark = offset + 1;
    } else if (next == SCAN_EMPTY && ++scan->empty_lines > HTTP_EMPTY_LINE_COUNT_MAX) {
        return http_refuse(reason, -400, "too many empty lines before the request");
    } else if (next == SCAN_NAME && ++scan->field_count > HTTP_HEADER_COUNT_MAX) {
        return http_refuse(reason, -431, "more than 100 fields");
    }
    return 0;
}

static int http_scan_version(struct http_scan *scan, uint32_t index, unsigned char byte,
                             const char **reason)
{
    static const char expected[] = "HTTP/1.";
    const uint32_t major = 5, minor = 7;
    const bool is_digit = byte >= '0' && byte <= '9';

    if (index < minor && byte == (unsigned char)expected[index])
        return 0;
    if (index == minor && (byte == '0' || byte == '1')) {
        scan->state = SCAN_VERSION_END;
        return 0;
    }
    if (is_digit && (index == major || index == minor))
        return http_refuse(reason, -505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    return http_refuse(reason, -400, scan_refusals[scan->state]);
}

/* "HTTP/1.1 200": what is in front of the status goes the way of a request's version. */
static int http_scan_status(struct http_scan *scan, uint32_t index, unsigned char byte,
                            const char **reason)
{
    const uint32_t space = 8, first = 9, last = 11;
    const bool is_digit = byte >= '0' && byte <= '9';

    if (index < space) {
        const int rc = http_scan_version(scan, index, byte, reason);
        scan->state = SCAN_STATUS;
        return rc;
    }
    if (index == space ? byte == ' ' : is_digit && !(index == first && byte == '0')) {
        if (index == last)
            scan->state = SCAN_STATUS_END;
        return 0;
    }
    return http_refuse(reason, -400, scan_refusals[scan->state]);
}

static struct http_text http_text_trim(struct http_text text)
{
    while (text.bytes && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}
