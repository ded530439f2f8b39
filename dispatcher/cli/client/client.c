/* SPDX-License-Identifier: MIT */
/*
 * client.c - HTTP requests to a millrace server, by libcurl.
 *
 * The library is loaded when a request is to be made (dispatcher/reactor/library.h).
 */
#include "dispatcher/cli/client/client.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "build/version.h"
#include "dispatcher/reactor/library.h"
#include "dispatcher/text/text.h"

#define CONNECT_TIMEOUT_MS 10000L

/* What is used of it, under its names without the curl_. */
static struct {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_global_cleanup) *global_cleanup;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_perform) *easy_perform;
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
} lib;

static const struct library_function functions[] = {
#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "curl_" #name, offsetof(__typeof__(lib), name)                                             \
    }
    FUNCTION(global_init),  FUNCTION(global_cleanup), FUNCTION(easy_init),
    FUNCTION(easy_cleanup), FUNCTION(easy_perform),   FUNCTION(easy_strerror),
    FUNCTION(slist_append), FUNCTION(slist_free_all), FUNCTION(easy_setopt),
    FUNCTION(easy_getinfo),
#undef FUNCTION
};

struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *authorization; /* the line that has the token; NULL: there is none */
    char *url;
    char *socket_path; /* NULL: none */
    bool (*goes_on)(void *context);
    void *context;
};

/* One request under way. */
struct exchange {
    CURL *curl;
    client_consumer *consumer;
    void *context;
    struct client_answer *answer; /* the caller's */
    bool has_end;                 /* the framing says where the body ends */
    bool is_unwanted;
};

static bool client_prepare(struct client *client, const struct client_options *options);
static bool client_socket_take(struct client *client, const struct client_options *options);
static struct curl_slist *client_upload_headers(struct client *client,
                                                const struct client_file *file);
static int client_perform(struct client *client, const char *base, const char *path,
                          struct curl_slist *headers, struct exchange *exchange,
                          char reason[CLIENT_REASON_BYTES]);
static int on_progress(void *context, curl_off_t down_max, curl_off_t down, curl_off_t up_max,
                       curl_off_t up);
static size_t on_read(char *room, size_t size, size_t count, void *context);
static size_t on_header(char *line, size_t size, size_t count, void *context);
static size_t on_body(char *bytes, size_t size, size_t count, void *context);
static void client_elsewhere_take(CURL *curl, const char *path, struct client_answer *answer);
static int client_result_of(CURLcode code, const struct exchange *exchange);

static bool client_library_load(char reason[CLIENT_REASON_BYTES]);
static void client_reason_fill(struct client *client, const char *url, CURLcode code,
                               const char *detail, char reason[CLIENT_REASON_BYTES]);
static const char *client_hint(struct client *client, CURLcode code);

struct client *client_create(const struct client_options *options, char reason[CLIENT_REASON_BYTES])
{
    if (!client_library_load(reason))
        return NULL;
    snprintf(reason, CLIENT_REASON_BYTES, "no memory");
    struct client *client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    if (lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && client_prepare(client, options))
        return client;
    client_destroy(client);
    return NULL;
}

void client_destroy(struct client *client)
{
    if (!client)
        return;
    lib.easy_cleanup(client->curl);
    lib.slist_free_all(client->headers);
    free(client->authorization);
    free(client->url);
    free(client->socket_path);
    free(client);
    lib.global_cleanup();
}

static int client_os_error(CURL *curl)
{
    long error = 0;
    lib.easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    return (int)error;
}

int client_request(struct client *client, const char *path, const char *body, size_t body_bytes,
                   client_consumer *consumer, void *context, struct client_answer *answer,
                   char reason[CLIENT_REASON_BYTES])
{
    struct exchange exchange = {
        .curl = client->curl, .consumer = consumer, .context = context, .answer = answer};
    lib.easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    if (body) {
        lib.easy_setopt(client->curl, CURLOPT_POST, 1L);
        lib.easy_setopt(client->curl, CURLOPT_POSTFIELDS, body);
        lib.easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes);
    }
    return client_perform(client, client->url, path, client->headers, &exchange, reason);
}

int client_fetch(struct client *client, const char *url, client_consumer *consumer, void *context,
                 struct client_answer *answer, char reason[CLIENT_REASON_BYTES])
{
    struct exchange exchange = {
        .curl = client->curl, .consumer = consumer, .context = context, .answer = answer};
    lib.easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    return client_perform(client, url, "", NULL, &exchange, reason);
}

int client_upload(struct client *client, const char *path, struct client_file *file,
                  client_consumer *consumer, void *context, struct client_answer *answer,
                  char reason[CLIENT_REASON_BYTES])
{
    struct exchange exchange = {
        .curl = client->curl, .consumer = consumer, .context = context, .answer = answer};
    struct curl_slist *headers = client_upload_headers(client, file);
    if (!headers) {
        snprintf(reason, CLIENT_REASON_BYTES, "no memory");
        return -EIO;
    }
    const bool is_counted = file->bytes != UINT64_MAX;
    lib.easy_setopt(client->curl, CURLOPT_POST, 1L);
    lib.easy_setopt(client->curl, CURLOPT_POSTFIELDS, NULL);
    lib.easy_setopt(client->curl, CURLOPT_READFUNCTION, on_read);
    lib.easy_setopt(client->curl, CURLOPT_READDATA, file);
    lib.easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                    is_counted ? (curl_off_t)file->bytes : (curl_off_t)-1);
    file->sent = 0;
    file->error = 0;
    int rc = client_perform(client, client->url, path, headers, &exchange, reason);
    lib.slist_free_all(headers);
    if (file->error != 0)
        snprintf(reason, CLIENT_REASON_BYTES, "%.200s: %s", file->name,
                 file->error == ESTALE ? "it became shorter while it was sent"
                                       : strerror(file->error));
    return file->error != 0 ? -EIO : rc;
}

/* The URL is of two parts, of which the first one is shown to people. `headers`: NULL: none. */
static int client_perform(struct client *client, const char *base, const char *path,
                          struct curl_slist *headers, struct exchange *exchange,
                          char reason[CLIENT_REASON_BYTES])
{
    CURL *curl = client->curl;
    struct client_answer *answer = exchange->answer;
    *answer = (struct client_answer){.run_line_count = UINT64_MAX, .log_bytes = UINT64_MAX};
    char *url;
    if (asprintf(&url, "%s%s", base, path) == -1) {
        snprintf(reason, CLIENT_REASON_BYTES, "no memory");
        return -EIO;
    }
    char detail[CURL_ERROR_SIZE] = "";
    lib.easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    lib.easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    lib.easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    CURLcode code = lib.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (code == CURLE_OK)
        code = lib.easy_setopt(curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = lib.easy_perform(curl);
    client_elsewhere_take(curl, path, answer);
    int rc = client_result_of(code, exchange);
    const char *place = client->socket_path ? client->socket_path : base;
    client_reason_fill(client, place, code, detail, reason);
    if (rc == -EPIPE && code == CURLE_OK)
        snprintf(reason, CLIENT_REASON_BYTES,
                 "%.200s: the connection was closed and nothing says that this was all", place);
    answer->os_error = code == CURLE_COULDNT_CONNECT ? client_os_error(curl) : 0;
    free(url);
    return rc;
}

pid_t client_peer_pid(struct client *client)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    struct ucred peer = {0};
    socklen_t bytes = sizeof peer;
    lib.easy_getinfo(client->curl, CURLINFO_ACTIVESOCKET, &fd);
    if (fd == CURL_SOCKET_BAD || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == -1)
        return 0;
    return peer.pid;
}

static bool client_library_load(char reason[CLIENT_REASON_BYTES])
{
    static bool is_loaded;
    const char *wrong =
        is_loaded ? NULL : library_load(LIBRARY_CURL, functions, ARRAY_COUNT(functions), &lib);
    is_loaded = !wrong;
    if (wrong)
        snprintf(reason, CLIENT_REASON_BYTES, "cannot load libcurl: %s", wrong);
    return is_loaded;
}

/* False, and the list stays as it was: no memory. A line of NULL is none. */
static bool client_header_add(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = line ? lib.slist_append(*headers, line) : *headers;
    if (longer)
        *headers = longer;
    return longer || !line;
}

/* "attachment; filename*=UTF-8''a%20b.png": every byte that is no letter, digit or dot. */
static bool client_disposition_format(const char *name, struct text *line)
{
    text_add(line, "Content-Disposition: attachment; filename*=UTF-8''");
    for (const char *c = name; *c != '\0'; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
            *c == '.')
            text_add_bytes(line, c, 1);
        else
            text_add(line, "%%%02X", (unsigned)(unsigned char)*c);
    }
    text_add_bytes(line, "", 1);
    return !line->failed;
}

static struct curl_slist *client_upload_headers(struct client *client,
                                                const struct client_file *file)
{
    struct curl_slist *headers = NULL;
    struct text line = {0};
    const bool done =
        client_disposition_format(file->name, &line) &&
        client_header_add(&headers, "Content-Type: application/octet-stream") &&
        client_header_add(&headers, line.bytes) &&
        client_header_add(&headers, client->authorization) &&
        client_header_add(&headers,
                          file->bytes == UINT64_MAX ? "Transfer-Encoding: chunked" : NULL);
    text_finish(&line);
    if (done)
        return headers;
    lib.slist_free_all(headers);
    return NULL;
}

static bool client_prepare(struct client *client, const struct client_options *options)
{
    size_t url_bytes = strlen(options->url);
    while (url_bytes > 0 && options->url[url_bytes - 1] == '/')
        url_bytes--;
    client->url = strndup(options->url, url_bytes);
    client->curl = lib.easy_init();
    if (options->token &&
        asprintf(&client->authorization, "Authorization: Bearer %s", options->token) == -1)
        client->authorization = NULL;
    if (!client->url || !client->curl || (options->token && !client->authorization) ||
        !client_header_add(&client->headers, "Content-Type: application/json") ||
        !client_header_add(&client->headers, client->authorization))
        return false;
    CURL *curl = client->curl;
    if (options->ca_file && lib.easy_setopt(curl, CURLOPT_CAINFO, options->ca_file) != CURLE_OK)
        return false;
    if (options->socket_path && !client_socket_take(client, options))
        return false;
    client->goes_on = options->goes_on;
    client->context = options->context;
    if (options->goes_on &&
        (lib.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) != CURLE_OK ||
         lib.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK ||
         lib.easy_setopt(curl, CURLOPT_XFERINFODATA, client) != CURLE_OK))
        return false;
    return lib.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_USERAGENT, "millrace/" MILLRACE_VERSION) == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms) == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_FORBID_REUSE, options->keeps_connection ? 0L : 1L) ==
               CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           lib.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
}

/* Whatever the environment says of proxies, libcurl asks none for such a one. */
static bool client_socket_take(struct client *client, const struct client_options *options)
{
    client->socket_path = strdup(options->socket_path);
    return client->socket_path &&
           lib.easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket_path) == CURLE_OK;
}

static int on_progress(void *context, curl_off_t down_max, curl_off_t down, curl_off_t up_max,
                       curl_off_t up)
{
    const struct client *client = context;
    (void)down_max, (void)down, (void)up_max, (void)up;
    return client->goes_on(client->context) ? 0 : 1;
}

/* A redirect is not followed: the token is for the server that was said. */
static void client_elsewhere_take(CURL *curl, const char *path, struct client_answer *answer)
{
    const char *url = NULL;
    lib.easy_getinfo(curl, CURLINFO_REDIRECT_URL, &url);
    size_t bytes = url ? strlen(url) : 0, path_bytes = strlen(path);
    if (bytes > path_bytes && strcmp(url + bytes - path_bytes, path) == 0)
        bytes -= path_bytes;
    if (bytes < CLIENT_URL_BYTES && url)
        memcpy(answer->elsewhere, url, bytes);
}

/* The error buffer says more than the code; libcurl keeps the pointer until it is taken back. */
static void client_reason_fill(struct client *client, const char *url, CURLcode code,
                               const char *detail, char reason[CLIENT_REASON_BYTES])
{
    lib.easy_setopt(client->curl, CURLOPT_ERRORBUFFER, NULL);
    snprintf(reason, CLIENT_REASON_BYTES, "%.200s: %s%s", url,
             detail[0] != '\0' ? detail : lib.easy_strerror(code), client_hint(client, code));
}

/* What a certificate lacks that nobody trusted has signed, in the words of OpenSSL. */
static const char *client_hint(struct client *client, CURLcode code)
{
    enum { SELF_SIGNED = 18, SELF_SIGNED_IN_CHAIN = 19, NO_ISSUER = 20 };
    long verified = 0;
    lib.easy_getinfo(client->curl, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (code == CURLE_PEER_FAILED_VERIFICATION &&
        (verified == SELF_SIGNED || verified == SELF_SIGNED_IN_CHAIN || verified == NO_ISSUER))
        return "; --ca-file FILE says whose certificates are trusted";
    return code == CURLE_SSL_CONNECT_ERROR ? "; is it a server of https?" : "";
}

static bool client_was_connected(const struct exchange *exchange)
{
    curl_off_t connected_us = 0;
    lib.easy_getinfo(exchange->curl, CURLINFO_CONNECT_TIME_T, &connected_us);
    return connected_us > 0;
}

static int client_result_of(CURLcode code, const struct exchange *exchange)
{
    if (exchange->is_unwanted)
        return -ECANCELED;
    if (code == CURLE_OK)
        return exchange->has_end ? 0 : -EPIPE;
    switch ((int)code) {             /* the list of codes is libcurl's and grows */
    case CURLE_UNSUPPORTED_PROTOCOL: /* the URL's, or what came is no HTTP */
        return client_was_connected(exchange) ? -EIO : -EINVAL;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
        return -EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return client_was_connected(exchange) ? -ETIMEDOUT : -ECONNREFUSED;
    case CURLE_ABORTED_BY_CALLBACK:
        return -ECANCELED;
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return -EPIPE;
    default:
        return -EIO;
    }
}

/* The value of `line` when it is the header `name`; NULL otherwise. Blanks are skipped. */
static const char *client_header_value(const char *line, size_t bytes, const char *name,
                                       size_t *value_bytes)
{
    size_t name_bytes = strlen(name);
    if (bytes <= name_bytes || line[name_bytes] != ':' || strncasecmp(line, name, name_bytes) != 0)
        return NULL;
    size_t start = name_bytes + 1;
    while (start < bytes && line[start] == ' ')
        start++;
    while (bytes > start &&
           (line[bytes - 1] == '\n' || line[bytes - 1] == '\r' || line[bytes - 1] == ' '))
        bytes--;
    *value_bytes = bytes - start;
    return line + start;
}

static void client_number_take(const char *value, size_t bytes, uint64_t *out)
{
    char digits[24] = "";
    if (bytes == 0 || bytes >= sizeof digits)
        return;
    memcpy(digits, value, bytes);
    *out = strtoull(digits, NULL, 10);
}

/* Header lines and, after the body, trailer lines. */
static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t bytes = size * count;
    size_t value_bytes;
    const char *value;
    if (bytes >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        /* A status line: of the answer, or of the one after a 100. HTTP/2 frames have an end. */
        exchange->has_end = line[5] > '1';
    } else if ((value = client_header_value(line, bytes, "Transfer-Encoding", &value_bytes))) {
        if (value_bytes >= 7 && strncasecmp(value + value_bytes - 7, "chunked", 7) == 0)
            exchange->has_end = true;
    } else if (client_header_value(line, bytes, "Content-Length", &value_bytes)) {
        exchange->has_end = true;
    } else if ((value = client_header_value(line, bytes, "Millrace-Run-State", &value_bytes))) {
        if (value_bytes < CLIENT_STATE_BYTES)
            memcpy(exchange->answer->run_state, value, value_bytes);
    } else if ((value = client_header_value(line, bytes, "Millrace-Run-Lines", &value_bytes))) {
        client_number_take(value, value_bytes, &exchange->answer->run_line_count);
    } else if ((value = client_header_value(line, bytes, "Millrace-Log-Bytes", &value_bytes))) {
        client_number_take(value, value_bytes, &exchange->answer->log_bytes);
    }
    lib.easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->answer->status);
    return bytes;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    if (exchange->consumer(exchange->context, exchange->answer->status, bytes, size * count))
        return size * count;
    exchange->is_unwanted = true;
    return CURL_WRITEFUNC_ERROR;
}

/* The next bytes of a file, never more than its length. */
static size_t on_read(char *room, size_t size, size_t count, void *context)
{
    struct client_file *file = context;
    size_t bytes = size * count;
    if (file->bytes - file->sent < bytes)
        bytes = (size_t)(file->bytes - file->sent);
    ssize_t got;
    do
        got = bytes > 0 ? read(file->fd, room, bytes) : 0;
    while (got == -1 && errno == EINTR);
    if (got == -1 || (got == 0 && bytes > 0 && file->bytes != UINT64_MAX)) {
        file->error = got == -1 ? errno : ESTALE;
        return CURL_READFUNC_ABORT;
    }
    file->sent += (uint64_t)got;
    if (file->told)
        file->told(file->context, file->name, file->sent, file->bytes);
    return (size_t)got;
}
