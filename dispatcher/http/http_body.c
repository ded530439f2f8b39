/* SPDX-License-Identifier: MIT */
/*
 * http_body.c - a request's body taken out of its framing, chunked or by length, as bytes arrive.
 *
 *     5 ; name=value CR LF h e l l o CR LF 0 CR LF Trailer: value CR LF CR LF
 *     | |               |  |         |  |          |
 *     | EXTENSION SIZE_LF  DATA      |  DATA_LF    TRAILERS          COMPLETE
 *     SIZE                           DATA_CR
 */
#include "dispatcher/http/http_body.h"

#include <string.h>

#include "millrace/limits.h"

enum http_body_state {
    BODY_LENGTH = 0, /* Content-Length; or nothing, which is a length of 0 */
    BODY_SIZE,
    BODY_EXTENSION,
    BODY_SIZE_LF,
    BODY_DATA,
    BODY_DATA_CR,
    BODY_DATA_LF,
    BODY_TRAILERS,
    BODY_COMPLETE,
    BODY_REFUSED,
    BODY_STATE_COUNT
};

/* 16 digits hold every 64-bit size; more can only be zeros in front, which nobody needs. */
#define SIZE_DIGITS_MAX 16u

static int http_body_framing(struct http_body *body, unsigned char byte, const char **reason);
static int http_body_size(struct http_body *body, unsigned char byte, const char **reason);
static int http_body_extension(struct http_body *body, unsigned char byte, const char **reason);
static int http_body_expect(struct http_body *body, unsigned char byte, char expected,
                            enum http_body_state next, const char **reason);
static int http_body_trailers(struct http_body *body, const char *bytes, size_t count,
                              const char **reason);
static void http_body_data(struct http_body *body, const char *bytes, size_t count,
                           struct http_text *data);

int http_body_init(struct http_body *body, const struct http_head *head, uint64_t limit,
                   const char **reason)
{
    mr_assert(!(head->chunked && head->has_length));
    mr_assert(limit <= INT64_MAX / 16);

    if (head->content_length > limit)
        return http_refuse(reason, -413, "the body is larger than the limit");
    *body = (struct http_body){
        .left = head->content_length,
        .room = limit,
        .state = head->chunked ? BODY_SIZE : BODY_LENGTH,
    };
    return 0;
}

int http_body_feed(struct http_body *body, const char *bytes, size_t count, size_t *consumed,
                   struct http_text *data, const char **reason)
{
    size_t at = 0;
    struct http_text span = {bytes, 0};

    if (body->state == BODY_LENGTH && body->left == 0)
        body->state = BODY_COMPLETE;
    while (at < count && body->state != BODY_COMPLETE) {
        int rc;
        if (body->state == BODY_DATA || body->state == BODY_LENGTH) {
            http_body_data(body, bytes + at, count - at, &span);
            at += span.bytes;
            break;
        }
        if (body->state == BODY_TRAILERS)
            rc = http_body_trailers(body, bytes + at, count - at, reason);
        else
            rc = http_body_framing(body, (unsigned char)bytes[at], reason);
        if (rc < 0) {
            body->state = BODY_REFUSED;
            return rc;
        }
        at += (size_t)rc;
    }
    *consumed = at;
    *data = span;
    if (span.bytes)
        return HTTP_BODY_DATA;
    return body->state == BODY_COMPLETE ? HTTP_BODY_COMPLETE : HTTP_BODY_MORE;
}

bool http_body_is_complete(const struct http_body *body)
{
    return body->state == BODY_COMPLETE;
}

/* Takes one byte of what surrounds the data. Returns 1, or a negative status. */
static int http_body_framing(struct http_body *body, unsigned char byte, const char **reason)
{
    switch ((enum http_body_state)body->state) {
    case BODY_SIZE:
        return http_body_size(body, byte, reason);
    case BODY_EXTENSION:
        return http_body_extension(body, byte, reason);
    case BODY_SIZE_LF:
        if (body->left > 0)
            return http_body_expect(body, byte, '\n', BODY_DATA, reason);
        http_scan_init_trailers(&body->trailers);
        return http_body_expect(body, byte, '\n', BODY_TRAILERS, reason);
    case BODY_DATA_CR:
        return http_body_expect(body, byte, '\r', BODY_DATA_LF, reason);
    case BODY_DATA_LF:
        body->size_digits = 0;
        body->extension_bytes = 0;
        return http_body_expect(body, byte, '\n', BODY_SIZE, reason);
    case BODY_REFUSED:
        return http_refuse(reason, -400, "the body was refused before");
    case BODY_LENGTH:
    case BODY_DATA:
    case BODY_TRAILERS:
    case BODY_COMPLETE:
    case BODY_STATE_COUNT:
        break;
    }
    mr_unreachable("http_body_feed() sends no other state here");
}

static int http_body_size(struct http_body *body, unsigned char byte, const char **reason)
{
    const int digit = http_hex_value((char)byte);
    if (digit >= 0) {
        if (++body->size_digits > SIZE_DIGITS_MAX)
            return http_refuse(reason, -400, "a chunk size of more than 16 digits");
        body->left = body->left * 16 + (uint64_t)digit;
        if (body->left > body->room)
            return http_refuse(reason, -413, "the body is larger than the limit");
        return 1;
    }
    if (body->size_digits == 0)
        return http_refuse(reason, -400, "a chunk without a size");
    if (byte != ';' && byte != '\r')
        return http_refuse(reason, -400, "a chunk size holds a byte that is no hexadecimal digit");
    body->state = byte == ';' ? BODY_EXTENSION : BODY_SIZE_LF;
    return 1;
}

/* Extensions mean nothing to us, but bytes that others could take for the end of the line do. */
static int http_body_extension(struct http_body *body, unsigned char byte, const char **reason)
{
    if (byte == '\r') {
        body->state = BODY_SIZE_LF;
        return 1;
    }
    if ((byte < ' ' && byte != '\t') || byte > '~')
        return http_refuse(reason, -400,
                           "a chunk extension holds a byte that is not visible ASCII");
    if (++body->extension_bytes > HTTP_CHUNK_EXTENSION_BYTES_MAX)
        return http_refuse(reason, -400, "a chunk extension is too long");
    /* So that extensions cannot make a small body of endless bytes. */
    if (body->left >= body->room)
        return http_refuse(reason, -413, "the body is larger than the limit");
    body->room--;
    return 1;
}

static int http_body_expect(struct http_body *body, unsigned char byte, char expected,
                            enum http_body_state next, const char **reason)
{
    if ((char)byte != expected)
        return http_refuse(reason, -400,
                           "a chunk's line or data does not end in CR LF where it should");
    body->state = (uint8_t)next;
    return 1;
}

/* Checked like any field, then forgotten. */
static int http_body_trailers(struct http_body *body, const char *bytes, size_t count,
                              const char **reason)
{
    const size_t room = HTTP_TRAILER_BYTES_MAX - body->trailers.offset;
    const size_t offered = count < room ? count : room;
    const int rc = http_scan_feed(&body->trailers, bytes, offered, reason);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        body->state = BODY_COMPLETE;
        return rc;
    }
    if (offered == room)
        return http_refuse(reason, -431, "the trailers are larger than 4 KiB");
    return (int)offered;
}

static void http_body_data(struct http_body *body, const char *bytes, size_t count,
                           struct http_text *data)
{
    const size_t taken = count < body->left ? count : (size_t)body->left;
    *data = (struct http_text){bytes, taken};
    body->left -= taken;
    body->room -= taken;
    if (body->left == 0)
        body->state = body->state == BODY_DATA ? BODY_DATA_CR : BODY_COMPLETE;
}
