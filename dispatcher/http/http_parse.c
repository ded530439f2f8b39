/* SPDX-License-Identifier: MIT */
/*
 * http_parse.c - a request's head becomes its meaning; whatever is ambiguous is refused.
 *
 * The scan has checked every byte before anything here looks at them, so splitting cannot fail;
 * what is left is what the fields say, alone and together.
 */
#include "dispatcher/http/http_parse.h"

#include <errno.h>
#include <string.h>

/* What fields say that matters only once all are known. */
struct head_facts {
    bool has_host;
    bool close;
    bool keep_alive;
    bool expects;
};

static int http_parse_whole_head(const struct http_scan *scan, struct http_text text,
                                 struct http_head *out, const char **reason);
static void http_parse_request_line(const struct http_scan *scan, struct http_text text,
                                    struct http_head *out);
static enum http_method http_parse_method(struct http_text text);
static int http_parse_target(struct http_head *out, const char **reason);
static int http_parse_absolute_target(struct http_head *out, size_t scheme_bytes,
                                      const char **reason);
static void http_parse_split_query(struct http_head *out, struct http_text text);
static bool http_parse_is_authority(struct http_text text);
static bool http_parse_is_host_name(struct http_text text);
static bool http_parse_is_host_literal(struct http_text text);
static int http_parse_take_field(struct http_head *out, struct head_facts *facts,
                                 const struct http_header *header, const char **reason);
static int http_parse_take_host(struct http_head *out, struct head_facts *facts,
                                struct http_text value, const char **reason);
static int http_parse_take_content_length(struct http_head *out, struct head_facts *facts,
                                          struct http_text value, const char **reason);
static int http_parse_take_transfer_encoding(struct http_head *out, struct head_facts *facts,
                                             struct http_text value, const char **reason);
static int http_parse_take_connection(struct http_head *out, struct head_facts *facts,
                                      struct http_text value, const char **reason);
static int http_parse_take_expect(struct http_head *out, struct head_facts *facts,
                                  struct http_text value, const char **reason);
static int http_parse_take_content_encoding(struct http_head *out, struct head_facts *facts,
                                            struct http_text value, const char **reason);
static int http_parse_judge_fields(struct http_head *out, const struct head_facts *facts,
                                   const char **reason);
static const struct http_header *http_parse_find_after(const struct http_head *head,
                                                       const struct http_header *previous,
                                                       const char *lower_case_name);

int http_parse_head(struct http_scan *scan, const char *bytes, size_t count, struct http_head *out,
                    const char **reason)
{
    const uint32_t seen = scan->offset;
    mr_assert(count >= seen);

    int rc = http_scan_feed(scan, bytes + seen, count - seen, reason);
    if (rc <= 0)
        return rc;
    rc = http_parse_whole_head(scan, (struct http_text){bytes, scan->offset}, out, reason);
    return rc < 0 ? rc : (int)scan->offset;
}

const struct http_header *http_head_find(const struct http_head *head, const char *lower_case_name)
{
    return http_parse_find_after(head, NULL, lower_case_name);
}

bool http_head_accepts(const struct http_head *head, const char *lower_case_type)
{
    const struct http_header *header = NULL;
    while ((header = http_parse_find_after(head, header, "accept"))) {
        struct http_text rest = header->value, range;
        while (http_list_next(&rest, &range)) {
            size_t type_bytes = 0;
            while (type_bytes < range.bytes && !memchr("; \t", range.data[type_bytes], 3))
                type_bytes++;
            if (http_text_matches((struct http_text){range.data, type_bytes}, lower_case_type))
                return true;
        }
    }
    return false;
}

bool http_head_bearer(const struct http_head *head, struct http_text *token)
{
    static const char scheme[] = "bearer";
    const size_t scheme_bytes = sizeof scheme - 1;
    const struct http_header *header = http_head_find(head, "authorization");
    if (!header || http_parse_find_after(head, header, "authorization"))
        return false;

    struct http_text rest = header->value;
    if (rest.bytes <= scheme_bytes || rest.data[scheme_bytes] != ' ' ||
        !http_text_matches((struct http_text){rest.data, scheme_bytes}, scheme))
        return false;
    rest.data += scheme_bytes;
    rest.bytes -= scheme_bytes;
    while (rest.bytes && rest.data[0] == ' ') {
        rest.data++;
        rest.bytes--;
    }
    for (size_t i = 0; i < rest.bytes; i++) {
        const unsigned char byte = (unsigned char)rest.data[i];
        if (byte <= ' ' || byte > '~')
            return false;
    }
    *token = rest;
    return true;
}

bool http_query_find(struct http_text query, const char *name, struct http_text *value)
{
    const char *at = query.data, *end = query.data + query.bytes;
    const size_t skip = strlen(name);
    while (at && at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        const size_t bytes = (size_t)((next ? next : end) - at);
        if (bytes > skip && memcmp(at, name, skip) == 0 && at[skip] == '=') {
            *value = (struct http_text){at + skip + 1, bytes - skip - 1};
            return true;
        }
        at = next ? next + 1 : NULL;
    }
    return false;
}

int64_t http_percent_decode(struct http_text text, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned byte = (unsigned char)text.data[i];
        if (byte == '%') {
            if (text.bytes - i < 3)
                return -EINVAL;
            const int high = http_hex_value(text.data[i + 1]);
            const int low = http_hex_value(text.data[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            byte = (unsigned)(high * 16 + low);
            i += 2;
        }
        if (byte < ' ' || byte == 0x7f)
            return -EINVAL;
        out[written++] = (char)byte;
    }
    return (int64_t)written;
}

static int http_parse_whole_head(const struct http_scan *scan, struct http_text text,
                                 struct http_head *out, const char **reason)
{
    struct head_facts facts = {0};

    http_parse_request_line(scan, text, out);
    int rc = http_parse_target(out, reason);
    if (rc < 0)
        return rc;

    const size_t first_line_end = scan->mark + strlen("HTTP/1.1\r\n");
    struct http_text rest = {text.data + first_line_end, text.bytes - first_line_end};
    for (out->header_count = 0; out->header_count < scan->field_count; out->header_count++) {
        struct http_header *header = &out->headers[out->header_count];
        http_header_next(&rest, header);
        rc = http_parse_take_field(out, &facts, header, reason);
        if (rc < 0)
            return rc;
    }
    return http_parse_judge_fields(out, &facts, reason);
}

/* Sets every field but the headers. When a head is whole, the scan's mark is at its version. */
static void http_parse_request_line(const struct http_scan *scan, struct http_text text,
                                    struct http_head *out)
{
    const char *method = text.data + strlen("\r\n") * scan->empty_lines;
    const char *version = text.data + scan->mark;
    const char *space = memchr(method, ' ', (size_t)(version - method));
    mr_assert(space);
    mr_assert(space + 1 < version - 1);

    const struct http_text method_text = {method, (size_t)(space - method)};
    out->method = http_parse_method(method_text);
    out->minor = version[strlen("HTTP/1.")] == '1';
    out->keep_alive = false;
    out->expect_continue = false;
    out->chunked = false;
    out->has_length = false;
    out->content_encoded = false;
    out->content_length = 0;
    out->method_text = method_text;
    out->target = (struct http_text){space + 1, (size_t)(version - 1 - (space + 1))};
    out->path = (struct http_text){0};
    out->query = (struct http_text){0};
    out->host = (struct http_text){0};
    out->header_count = 0;
}

static enum http_method http_parse_method(struct http_text text)
{
    /* clang-format off */
    static const char *const names[HTTP_METHOD_COUNT] = {
        [HTTP_GET]     = "GET",
        [HTTP_HEAD]    = "HEAD",
        [HTTP_POST]    = "POST",
        [HTTP_PUT]     = "PUT",
        [HTTP_DELETE]  = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS",
        [HTTP_PATCH]   = "PATCH",
        [HTTP_TRACE]   = "TRACE",
    };
    /* clang-format on */
    for (int method = HTTP_GET; method < HTTP_METHOD_COUNT; method++)
        if (http_text_equals(text, names[method]))
            return (enum http_method)method;
    return HTTP_METHOD_OTHER;
}

static int http_parse_target(struct http_head *out, const char **reason)
{
    static const char *const schemes[] = {"http://", "https://"};
    const struct http_text target = out->target;

    if (target.data[0] == '/') {
        http_parse_split_query(out, target);
        return 0;
    }
    if (out->method == HTTP_OPTIONS && http_text_equals(target, "*")) {
        out->path = target;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        const size_t bytes = strlen(schemes[i]);
        if (target.bytes >= bytes &&
            http_text_matches((struct http_text){target.data, bytes}, schemes[i]))
            return http_parse_absolute_target(out, bytes, reason);
    }
    if (http_text_equals(out->method_text, "CONNECT"))
        return http_refuse(reason, -501, "CONNECT is for proxies, and this is none");
    return http_refuse(reason, -400, "the target is neither a path nor an http address");
}

static int http_parse_absolute_target(struct http_head *out, size_t scheme_bytes,
                                      const char **reason)
{
    const char *authority = out->target.data + scheme_bytes;
    const size_t count = out->target.bytes - scheme_bytes;
    size_t host_bytes = 0;
    while (host_bytes < count && authority[host_bytes] != '/' && authority[host_bytes] != '?')
        host_bytes++;

    out->host = (struct http_text){authority, host_bytes};
    if (!http_parse_is_authority(out->host))
        return http_refuse(reason, -400, "the target's host is malformed");

    http_parse_split_query(out, (struct http_text){authority + host_bytes, count - host_bytes});
    if (out->path.bytes == 0) {
        /* RFC 9112, section 3.2.4: OPTIONS of an address without a path is OPTIONS *. */
        const bool is_asterisk = out->method == HTTP_OPTIONS && !out->query.data;
        out->path = (struct http_text){is_asterisk ? "*" : "/", 1};
    }
    return 0;
}

static void http_parse_split_query(struct http_head *out, struct http_text text)
{
    const char *mark = text.bytes ? memchr(text.data, '?', text.bytes) : NULL;
    if (!mark) {
        out->path = text;
        return;
    }
    const size_t path_bytes = (size_t)(mark - text.data);
    out->path = (struct http_text){text.data, path_bytes};
    out->query = (struct http_text){mark + 1, text.bytes - path_bytes - 1};
}

/* host [":" port], RFC 3986, section 3.2; never with user information, and never empty. */
static bool http_parse_is_authority(struct http_text text)
{
    const char *colon = text.bytes ? memrchr(text.data, ':', text.bytes) : NULL;
    const bool is_literal = text.bytes && text.data[0] == '[';
    if (colon && !(is_literal && text.data[text.bytes - 1] == ']')) {
        const size_t host_bytes = (size_t)(colon - text.data);
        const struct http_text port = {colon + 1, text.bytes - host_bytes - 1};
        uint64_t number = 0;
        if (port.bytes && (!http_text_number(port, &number) || number > UINT16_MAX))
            return false;
        text.bytes = host_bytes;
    }
    return is_literal ? http_parse_is_host_literal(text) : http_parse_is_host_name(text);
}

static bool http_parse_is_host_name(struct http_text text)
{
    static const char marks[] = "-._~%!$&'()*+,;=";
    for (size_t i = 0; i < text.bytes; i++) {
        const char c = text.data[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && !memchr(marks, c, sizeof marks - 1))
            return false;
    }
    return text.bytes > 0;
}

static bool http_parse_is_host_literal(struct http_text text)
{
    if (text.bytes < 4 || text.data[0] != '[' || text.data[text.bytes - 1] != ']')
        return false;
    for (size_t i = 1; i < text.bytes - 1; i++) {
        const char c = text.data[i];
        if (c != ':' && c != '.' && http_hex_value(c) < 0)
            return false;
    }
    return true;
}

/* Fields that change what the request is; all others are the caller's. */
static int http_parse_take_field(struct http_head *out, struct head_facts *facts,
                                 const struct http_header *header, const char **reason)
{
    static const struct {
        const char *name;
        size_t name_bytes;
        int (*take)(struct http_head *out, struct head_facts *facts, struct http_text value,
                    const char **reason);
    } fields[] = {
        {"host", 4, http_parse_take_host},
        {"expect", 6, http_parse_take_expect},
        {"connection", 10, http_parse_take_connection},
        {"content-length", 14, http_parse_take_content_length},
        {"content-encoding", 16, http_parse_take_content_encoding},
        {"transfer-encoding", 17, http_parse_take_transfer_encoding},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (header->name.bytes == fields[i].name_bytes &&
            http_text_matches(header->name, fields[i].name))
            return fields[i].take(out, facts, header->value, reason);
    return 0;
}

static int http_parse_take_host(struct http_head *out, struct head_facts *facts,
                                struct http_text value, const char **reason)
{
    if (facts->has_host)
        return http_refuse(reason, -400, "more than one Host field");
    if (!http_parse_is_authority(value))
        return http_refuse(reason, -400, "the Host field is malformed");
    facts->has_host = true;
    if (!out->host.data)
        out->host = value;
    return 0;
}

static int http_parse_take_content_length(struct http_head *out, struct head_facts *facts,
                                          struct http_text value, const char **reason)
{
    (void)facts;
    if (out->has_length)
        return http_refuse(reason, -400, "more than one Content-Length field");
    if (!http_text_number(value, &out->content_length))
        return http_refuse(reason, -400, "Content-Length is not one decimal number of bytes");
    out->has_length = true;
    return 0;
}

/* RFC 9112, section 6.1, for a recipient that knows one coding. A second field goes on where the
 * first ended, and so after chunked. */
static int http_parse_take_transfer_encoding(struct http_head *out, struct head_facts *facts,
                                             struct http_text value, const char **reason)
{
    (void)facts;
    bool is_known = true;
    struct http_text coding;
    while (http_list_next(&value, &coding)) {
        if (out->chunked)
            return http_refuse(reason, -400, "chunked is not the last transfer coding");
        if (coding.bytes == 0)
            return http_refuse(reason, -400, "a transfer coding without a name");
        if (http_text_matches(coding, "chunked"))
            out->chunked = true;
        else
            is_known = false;
    }
    if (!is_known)
        return http_refuse(reason, -501, "chunked is the only transfer coding known");
    return 0;
}

static int http_parse_take_connection(struct http_head *out, struct head_facts *facts,
                                      struct http_text value, const char **reason)
{
    (void)out;
    (void)reason;
    facts->close |= http_list_has(value, "close");
    facts->keep_alive |= http_list_has(value, "keep-alive");
    return 0;
}

static int http_parse_take_expect(struct http_head *out, struct head_facts *facts,
                                  struct http_text value, const char **reason)
{
    (void)out;
    if (!http_text_matches(value, "100-continue"))
        return http_refuse(reason, -417, "100-continue is the only expectation that can be met");
    facts->expects = true;
    return 0;
}

static int http_parse_take_content_encoding(struct http_head *out, struct head_facts *facts,
                                            struct http_text value, const char **reason)
{
    (void)facts;
    (void)reason;
    if (!http_text_matches(value, "identity"))
        out->content_encoded = true;
    return 0;
}

static int http_parse_judge_fields(struct http_head *out, const struct head_facts *facts,
                                   const char **reason)
{
    if (out->minor == 1 && !facts->has_host)
        return http_refuse(reason, -400, "HTTP/1.1 without a Host field");
    if (out->minor == 0 && out->chunked)
        return http_refuse(reason, -400, "HTTP/1.0 with a Transfer-Encoding field");
    if (out->has_length && out->chunked)
        return http_refuse(reason, -400, "both Content-Length and Transfer-Encoding");

    out->keep_alive = !facts->close && (out->minor == 1 || facts->keep_alive);
    /* RFC 9110, section 10.1.1: nobody waits without a body, or in HTTP/1.0. */
    const bool has_body = out->chunked || out->content_length > 0;
    out->expect_continue = facts->expects && has_body && out->minor == 1;
    return 0;
}

static const struct http_header *http_parse_find_after(const struct http_head *head,
                                                       const struct http_header *previous,
                                                       const char *lower_case_name)
{
    return http_header_find(head->headers, head->header_count, previous, lower_case_name);
}
