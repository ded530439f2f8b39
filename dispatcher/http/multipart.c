/* SPDX-License-Identifier: MIT */
/*
 * multipart.c - parts of a form, told from each other by a delimiter in which only the first byte
 * is a CR: what has matched of it in vain is data, and the next CR begins it anew.
 */
#include "dispatcher/http/multipart.h"

#include <string.h>

#include "dispatcher/http/http_parameter.h"

enum multipart_state {
    PART_FIRST = 0, /* the delimiter without its CR LF */
    PART_DATA,      /* `matched` bytes of the delimiter are behind it */
    PART_BOUNDARY,  /* behind a delimiter: CR, or the first dash */
    PART_BOUNDARY_LF,
    PART_LAST_DASH,
    PART_HEAD,
    PART_LAST, /* behind the last boundary: nothing, or CR LF */
    PART_LAST_LF,
    PART_COMPLETE,
    PART_REFUSED,
    PART_STATE_COUNT
};

static int multipart_step(struct multipart *body, char byte, const char **reason);
static int multipart_head_byte(struct multipart *body, char byte, const char **reason);
static int multipart_expect(struct multipart *body, char byte, char expected,
                            enum multipart_state next, const char **reason);
static size_t multipart_data(struct multipart *body, const char *bytes, size_t count,
                             struct http_text *data, int *result);

static bool multipart_boundary_is_fine(struct http_text boundary)
{
    for (size_t i = 0; i < boundary.bytes; i++)
        if (boundary.data[i] < ' ' || boundary.data[i] > '~')
            return false;
    return boundary.bytes > 0 && boundary.bytes <= MULTIPART_BOUNDARY_BYTES_MAX &&
           boundary.data[boundary.bytes - 1] != ' ';
}

int multipart_init(struct multipart *body, struct http_text content_type, const char **reason)
{
    char room[MULTIPART_BOUNDARY_BYTES_MAX];
    if (!http_parameter_type_is(content_type, "multipart/form-data"))
        return http_refuse(reason, -415, "the body is no multipart/form-data");
    int64_t bytes = http_parameter_find(content_type, "boundary", room, sizeof room);
    const struct http_text boundary = {room, bytes > 0 ? (size_t)bytes : 0};
    if (!multipart_boundary_is_fine(boundary))
        return http_refuse(reason, -400, "multipart/form-data without a boundary that can be one");
    *body = (struct multipart){.matched = 2, .delimiter_bytes = (uint8_t)(boundary.bytes + 4)};
    memcpy(body->delimiter, "\r\n--", 4);
    memcpy(body->delimiter + 4, boundary.data, boundary.bytes);
    return 0;
}

int multipart_feed(struct multipart *body, const char *bytes, size_t count, size_t *consumed,
                   struct http_text *data, const char **reason)
{
    size_t at = 0;
    int result = MULTIPART_MORE;
    *data = (struct http_text){NULL, 0};
    while (at < count && result == MULTIPART_MORE) {
        if (body->state == PART_DATA) {
            at += multipart_data(body, bytes + at, count - at, data, &result);
            continue;
        }
        result = multipart_step(body, bytes[at++], reason);
        if (result < 0)
            body->state = PART_REFUSED;
    }
    *consumed = at;
    if (result == MULTIPART_MORE && multipart_is_complete(body))
        return MULTIPART_COMPLETE;
    return result;
}

bool multipart_is_complete(const struct multipart *body)
{
    return body->state == PART_LAST || body->state == PART_COMPLETE;
}

struct http_text multipart_disposition(const struct multipart *body)
{
    static const char name[] = "content-disposition:";
    const char *at = body->head, *end = body->head + body->head_bytes;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        if (!line_end)
            break;
        struct http_text line = {at, (size_t)(line_end - at)};
        struct http_text word = {at, sizeof name - 1};
        if (line.bytes >= word.bytes && http_text_matches(word, name))
            return (struct http_text){at + word.bytes, line.bytes - word.bytes};
        at = line_end + 2;
    }
    return (struct http_text){body->head, 0};
}

/* One byte outside of data. */
static int multipart_step(struct multipart *body, char byte, const char **reason)
{
    switch ((enum multipart_state)body->state) {
    case PART_FIRST:
        if (byte != body->delimiter[body->matched])
            return http_refuse(reason, -400, "the form does not begin with its boundary");
        if (++body->matched == body->delimiter_bytes)
            body->state = PART_BOUNDARY;
        return MULTIPART_MORE;
    case PART_BOUNDARY:
        body->matched = 0;
        if (byte == '-' && body->part_count > 0)
            return multipart_expect(body, byte, '-', PART_LAST_DASH, reason);
        return multipart_expect(body, byte, '\r', PART_BOUNDARY_LF, reason);
    case PART_BOUNDARY_LF:
        if (++body->part_count > MULTIPART_PART_COUNT_MAX)
            return http_refuse(reason, -400, "the form has more than 64 parts");
        body->head_bytes = body->line_start = 0;
        return multipart_expect(body, byte, '\n', PART_HEAD, reason);
    case PART_LAST_DASH:
        return multipart_expect(body, byte, '-', PART_LAST, reason);
    case PART_HEAD:
        return multipart_head_byte(body, byte, reason);
    case PART_LAST:
        return multipart_expect(body, byte, '\r', PART_LAST_LF, reason);
    case PART_LAST_LF:
        return multipart_expect(body, byte, '\n', PART_COMPLETE, reason);
    case PART_COMPLETE:
        return http_refuse(reason, -400, "the form has bytes behind its last boundary");
    case PART_REFUSED:
        return http_refuse(reason, -400, "the form was refused before");
    case PART_DATA:
    case PART_STATE_COUNT:
        break;
    }
    mr_unreachable("data is taken elsewhere");
}

static int multipart_expect(struct multipart *body, char byte, char expected,
                            enum multipart_state next, const char **reason)
{
    if (byte != expected)
        return http_refuse(reason, -400, "a boundary of the form does not end as it should");
    body->state = (uint8_t)next;
    return MULTIPART_MORE;
}

/* Lines of visible bytes, each ending in CR LF, and an empty one. */
static int multipart_head_byte(struct multipart *body, char byte, const char **reason)
{
    const uint16_t at = body->head_bytes;
    const bool is_behind_cr = at > body->line_start && body->head[at - 1] == '\r';
    if (at == MULTIPART_HEAD_BYTES_MAX)
        return http_refuse(reason, -400, "the head of a part is larger than 4 KiB");
    if (is_behind_cr != (byte == '\n') || (((unsigned char)byte < ' ' || byte == 0x7f) &&
                                           byte != '\t' && byte != '\r' && byte != '\n'))
        return http_refuse(reason, -400, "the head of a part holds a byte that it may not");
    body->head[body->head_bytes++] = byte;
    if (byte != '\n')
        return MULTIPART_MORE;
    const bool is_empty = body->head_bytes - body->line_start == 2;
    body->line_start = body->head_bytes;
    if (!is_empty)
        return MULTIPART_MORE;
    /* An empty part has the delimiter at once, of which this line's end is no part. */
    body->state = PART_DATA;
    body->matched = 0;
    return MULTIPART_PART;
}

/* Returns the bytes used of what is data, or delimiter. */
static size_t multipart_data(struct multipart *body, const char *bytes, size_t count,
                             struct http_text *data, int *result)
{
    if (body->matched == 0) {
        const char *cr = memchr(bytes, '\r', count);
        const size_t plain = cr ? (size_t)(cr - bytes) : count;
        if (plain > 0) {
            *data = (struct http_text){bytes, plain};
            *result = MULTIPART_DATA;
            return plain;
        }
    }
    size_t used = 0;
    while (used < count && body->matched < body->delimiter_bytes &&
           bytes[used] == body->delimiter[body->matched]) {
        used++;
        body->matched++;
    }
    if (body->matched == body->delimiter_bytes) {
        body->state = PART_BOUNDARY;
        *result = MULTIPART_PART_END;
    } else if (used < count) {
        *data = (struct http_text){body->delimiter, body->matched};
        *result = MULTIPART_DATA;
        body->matched = 0;
    }
    return used;
}
