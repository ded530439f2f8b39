/* SPDX-License-Identifier: MIT */
/* fetcher_transfer.c - how a URL is fetched, and what can be wrong with what comes. */
#include "dispatcher/fetcher/fetcher_transfer.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "build/version.h"
#include "dispatcher/http/http_parameter.h"
#include "shm/clock.h"
#include "shm/descriptors.h"

#define CONNECT_TIMEOUT_MS 10000L
#define REDIRECT_COUNT_MAX 5u
#define HEAD_BYTES_MAX (64u * 1024)
#define DROPPED_BYTES_MAX (64u * 1024)
#define RECEIVE_BYTES (64L * 1024)

/* libcurl may find that a time is over a little before this clock does. */
#define CLOCK_SLACK_MS 50u

#define lib fetcher_library

static bool transfer_request_begin(struct transfer *transfer);
static void transfer_end(struct transfer *transfer, const struct fetch_answer *answer);
static void transfer_fail(struct transfer *transfer, uint32_t status);

/* The first fault is the one that is told. Returns 0, which libcurl takes for an end. */
#define transfer_wrong(transfer, what, ...)                                                        \
    ((transfer)->fault == FETCH_FAULT_NONE                                                         \
         ? ((transfer)->fault = (what),                                                            \
            (void)snprintf((transfer)->reason, FETCH_REASON_BYTES, __VA_ARGS__), 0u)               \
         : 0u)

static uint64_t transfer_now_ms(void)
{
    return clock_now_ns() / CLOCK_NS_PER_MS;
}

static struct transfer *transfer_find(struct transfers *transfers, uint64_t number)
{
    for (uint32_t i = 0; i < FETCH_COUNT_MAX; i++)
        if (transfers->items[i].number == number)
            return &transfers->items[i];
    return NULL;
}

void transfer_begin(struct transfers *transfers, const struct fetch_request *request,
                    const char *text, int fd)
{
    struct transfer *transfer = transfer_find(transfers, 0);
    mr_assert(transfer);
    *transfer = (struct transfer){.number = request->number,
                                  .kind = (enum fetch_kind)request->kind,
                                  .fd = fd,
                                  .bytes_max = request->bytes,
                                  .due_ms = transfer_now_ms() + request->timeout_ms,
                                  .timeout_ms = request->timeout_ms,
                                  .slow_s = request->slow_s,
                                  .transfers = transfers};
    transfers->count++;
    if (fd == -1)
        (void)transfer_wrong(transfer, FETCH_FAULT_OURS, "the server has no descriptors left");
    else if (fetch_url_parse(&transfer->url, text, request->text_bytes, transfer->reason) < 0)
        transfer->fault = FETCH_FAULT_URL;
    if (transfer->fault != FETCH_FAULT_NONE || !transfer_request_begin(transfer))
        transfer_fail(transfer, 0);
}

void transfer_cancel(struct transfers *transfers, uint64_t number)
{
    struct transfer *transfer = transfer_find(transfers, number);
    if (!transfer)
        return;
    (void)transfer_wrong(transfer, FETCH_FAULT_OURS, "it was cancelled");
    transfer_fail(transfer, 0);
}

/* ---- its end ------------------------------------------------------------------------------- */

static void transfer_request_end(struct transfer *transfer)
{
    if (!transfer->easy)
        return;
    lib.multi_remove_handle(transfer->transfers->multi, transfer->easy);
    lib.easy_cleanup(transfer->easy);
    lib.slist_free_all(transfer->headers);
    transfer->easy = NULL;
    transfer->headers = NULL;
}

/* The file is closed before it is said: nobody writes to it then. */
static void transfer_end(struct transfer *transfer, const struct fetch_answer *answer)
{
    struct transfers *transfers = transfer->transfers;
    transfer_request_end(transfer);
    descriptor_close(&transfer->fd);
    transfer->number = 0;
    transfers->count--;
    transfers->say(answer);
}

static void transfer_fail(struct transfer *transfer, uint32_t status)
{
    struct fetch_answer answer = {.magic = FETCH_MAGIC,
                                  .kind = FETCH_FAILED,
                                  .number = transfer->number,
                                  .status = status,
                                  .fault = transfer->fault};
    memcpy(answer.reason, transfer->reason, sizeof(answer.reason));
    transfer_end(transfer, &answer);
}

static void transfer_succeed(struct transfer *transfer, uint32_t status)
{
    struct fetch_answer answer = {.magic = FETCH_MAGIC,
                                  .kind = FETCH_DONE,
                                  .number = transfer->number,
                                  .status = status,
                                  .bytes = transfer->kind == FETCH_GET ? transfer->bytes : 0};
    if (transfer->kind == FETCH_GET && transfer->name[0] == '\0')
        fetch_url_name(&transfer->url, transfer->name, sizeof(transfer->name) - 1);
    memcpy(answer.name, transfer->name, sizeof(answer.name));
    transfer_end(transfer, &answer);
}

/* ---- what libcurl tells -------------------------------------------------------------------- */

/* A public address that this machine has itself: what listens there may count on a firewall in
 * front of it. Where the kernel does not say, there is none. */
static bool transfer_is_own(const struct fetch_address *address)
{
    struct ifaddrs *all;
    struct fetch_address own;
    bool is_own = false;
    if (getifaddrs(&all) == -1)
        return false;
    for (const struct ifaddrs *one = all; one && !is_own; one = one->ifa_next)
        is_own = one->ifa_addr && fetch_address_take(&own, one->ifa_addr) &&
                 memcmp(own.bytes, address->bytes, sizeof(own.bytes)) == 0;
    freeifaddrs(all);
    return is_own;
}

/* Why no connection is made there; NULL: one may be. */
static const char *transfer_refuse(const struct transfer *transfer, const struct sockaddr *wanted)
{
    struct fetch_address address;
    const struct fetch_rules *rules = &transfer->transfers->rules;
    const char *host = transfer->url.host;
    if (!fetch_address_take(&address, wanted))
        return "an address of another kind";
    const char *what = fetch_address_refuse(rules, host, &address);
    if (!what && !fetch_address_is_allowed(rules, host, &address) && transfer_is_own(&address))
        what = "an address of the server itself";
    return what;
}

/* The one place where a connection begins, for each address that a name has. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *wanted)
{
    struct transfer *transfer = context;
    (void)purpose;
    const char *what = transfer_refuse(transfer, &wanted->addr);
    if (what) {
        transfer->refused = what;
        return CURL_SOCKET_BAD;
    }
    return socket(wanted->family, wanted->socktype | SOCK_CLOEXEC, wanted->protocol);
}

/* The value of this field, without blanks around it. */
static bool transfer_field(const char *line, size_t bytes, const char *name, struct http_text *out)
{
    size_t name_bytes = strlen(name);
    if (bytes <= name_bytes || line[name_bytes] != ':' || strncasecmp(line, name, name_bytes) != 0)
        return false;
    size_t first = name_bytes + 1;
    while (first < bytes && strchr(" \t", line[first]))
        first++;
    while (bytes > first && strchr(" \t\r\n", line[bytes - 1]))
        bytes--;
    *out = (struct http_text){line + first, bytes - first};
    return true;
}

static bool transfer_text_is(struct http_text text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.data, word, text.bytes) == 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t bytes = size * count;
    struct http_text value;
    transfer->head_bytes += bytes;
    if (transfer->head_bytes > HEAD_BYTES_MAX)
        return transfer_wrong(transfer, FETCH_FAULT_ANSWER,
                              "the head of the answer is longer than %u bytes", HEAD_BYTES_MAX);
    if (transfer_field(line, bytes, "content-encoding", &value))
        transfer->is_encoded |= !transfer_text_is(value, "identity");
    else if (transfer_field(line, bytes, "transfer-encoding", &value))
        transfer->is_encoded |= !transfer_text_is(value, "chunked");
    else if (transfer_field(line, bytes, "content-disposition", &value)) {
        char name[FETCH_NAME_BYTES] = "";
        if (http_parameter_filename(value, name, sizeof(name) - 1) > 0)
            memcpy(transfer->name, name, sizeof(name));
    }
    return bytes;
}

static uint32_t transfer_status(const struct transfer *transfer)
{
    long status = 0;
    lib.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return status > 0 ? (uint32_t)status : 0;
}

static bool transfer_is_wanted(const struct transfer *transfer, uint32_t status)
{
    return transfer->kind == FETCH_GET && status >= 200 && status <= 299 && status != 206;
}

static void transfer_progress_say(struct transfer *transfer)
{
    transfer->told_bytes = transfer->bytes;
    transfer->transfers->say(&(struct fetch_answer){.magic = FETCH_MAGIC,
                                                    .kind = FETCH_PROGRESS,
                                                    .number = transfer->number,
                                                    .bytes = transfer->bytes});
}

/* 0: it could not be written. */
static size_t transfer_write(struct transfer *transfer, const char *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t written =
            pwrite(transfer->fd, bytes + done, count - done, (off_t)(transfer->bytes + done));
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return transfer_wrong(transfer, FETCH_FAULT_DISK, "it cannot be written (%s)",
                                  strerror(written == 0 ? EIO : errno));
        done += (size_t)written;
    }
    transfer->bytes += count;
    if (transfer->bytes - transfer->told_bytes >= FETCH_PROGRESS_BYTES)
        transfer_progress_say(transfer);
    return count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    count *= size;
    if (!transfer_is_wanted(transfer, transfer_status(transfer))) {
        transfer->dropped_bytes += count;
        transfer->has_enough = transfer->dropped_bytes > DROPPED_BYTES_MAX;
        return transfer->has_enough ? 0 : count;
    }
    if (transfer->is_encoded)
        return 0; /* which is said in the end */
    if (count > transfer->bytes_max - transfer->bytes)
        return transfer_wrong(transfer, FETCH_FAULT_SIZE, "it has more than %llu bytes",
                              (unsigned long long)transfer->bytes_max);
    return transfer_write(transfer, bytes, count);
}

/* Of a POST: the next bytes of its body. */
static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    uint64_t left = transfer->bytes_max - transfer->bytes;
    count = size * count < left ? size * count : (size_t)left;
    ssize_t got;
    do {
        got = pread(transfer->fd, out, count, (off_t)transfer->bytes);
    } while (got == -1 && errno == EINTR);
    if (got < 0) {
        (void)transfer_wrong(transfer, FETCH_FAULT_OURS, "its body cannot be read");
        return CURL_READFUNC_ABORT;
    }
    transfer->bytes += (size_t)got;
    return (size_t)got;
}

/* ---- a request ----------------------------------------------------------------------------- */

static bool transfer_header_add(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = lib.slist_append(transfer->headers, line);
    if (longer)
        transfer->headers = longer;
    return longer != NULL;
}

/* Where a connection may go, and that nothing else than this URL has a say in it: no proxy, whoever
 * names one, and no connection or address that was found before. */
static bool transfer_place_set(struct transfer *transfer, CURL *easy)
{
    return lib.easy_setopt(easy, CURLOPT_URL, transfer->url.text) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) == CURLE_OK;
}

/* It does not wait for names that are being looked up when it ends. */
static bool transfer_times_set(struct transfer *transfer, CURL *easy)
{
    uint64_t now_ms = transfer_now_ms();
    long left_ms = transfer->due_ms > now_ms ? (long)(transfer->due_ms - now_ms) : 1;
    return lib.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_TIMEOUT_MS, left_ms) == CURLE_OK &&
           (transfer->slow_s == 0 ||
            (lib.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)FETCH_SLOW_BYTES) == CURLE_OK &&
             lib.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)transfer->slow_s) == CURLE_OK));
}

static bool transfer_body_set(struct transfer *transfer, CURL *easy)
{
    if (transfer->kind == FETCH_GET)
        return transfer_header_add(transfer, "Accept-Encoding: identity") &&
               lib.easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->bytes_max) ==
                   CURLE_OK;
    return transfer_header_add(transfer, "Content-Type: application/json") &&
           transfer_header_add(transfer, "Expect:") &&
           lib.easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->bytes_max) ==
               CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_READDATA, transfer) == CURLE_OK;
}

static bool transfer_answer_set(struct transfer *transfer, CURL *easy)
{
    return lib.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_USERAGENT, "millrace/" MILLRACE_VERSION) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           lib.easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK;
}

/* False: it cannot be begun, and why. */
static bool transfer_request_begin(struct transfer *transfer)
{
    if (fetch_url_check(&transfer->url, &transfer->transfers->rules, transfer->reason) < 0) {
        transfer->fault = FETCH_FAULT_ADDRESS;
        return false;
    }
    transfer->head_bytes = transfer->dropped_bytes = 0;
    transfer->is_encoded = transfer->has_enough = false;
    transfer->refused = NULL;
    transfer->name[0] = '\0';
    CURL *easy = lib.easy_init();
    if (easy && transfer_place_set(transfer, easy) && transfer_times_set(transfer, easy) &&
        transfer_body_set(transfer, easy) && transfer_answer_set(transfer, easy) &&
        lib.multi_add_handle(transfer->transfers->multi, easy) == CURLM_OK) {
        transfer->easy = easy;
        return true;
    }
    lib.easy_cleanup(easy);
    lib.slist_free_all(transfer->headers);
    transfer->headers = NULL;
    (void)transfer_wrong(transfer, FETCH_FAULT_OURS, "the server has no memory left");
    return false;
}

/* ---- what came of it ----------------------------------------------------------------------- */

static void transfer_time_wrong(struct transfer *transfer)
{
    curl_off_t connected_us = 0;
    lib.easy_getinfo(transfer->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    if (transfer_now_ms() + CLOCK_SLACK_MS >= transfer->due_ms)
        (void)transfer_wrong(transfer, FETCH_FAULT_TIMEOUT, "it took longer than %u ms",
                             transfer->timeout_ms);
    else if (connected_us == 0)
        (void)transfer_wrong(transfer, FETCH_FAULT_CONNECT, "%s cannot be connected to in %ld ms",
                             transfer->url.host, CONNECT_TIMEOUT_MS);
    else
        (void)transfer_wrong(transfer, FETCH_FAULT_TIMEOUT,
                             "less than %u bytes a second came from %s for %u s", FETCH_SLOW_BYTES,
                             transfer->url.host, transfer->slow_s);
}

/* What libcurl has for an end that is none. */
static void transfer_code_wrong(struct transfer *transfer, CURLcode code)
{
    const char *host = transfer->url.host;
    if (transfer->refused && code != CURLE_OPERATION_TIMEDOUT)
        (void)transfer_wrong(transfer, FETCH_FAULT_ADDRESS, FETCH_REFUSED, host, transfer->refused);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        transfer_time_wrong(transfer);
    else if (code == CURLE_FILESIZE_EXCEEDED)
        (void)transfer_wrong(transfer, FETCH_FAULT_SIZE, "it has more than %llu bytes",
                             (unsigned long long)transfer->bytes_max);
    else if (code == CURLE_OUT_OF_MEMORY)
        (void)transfer_wrong(transfer, FETCH_FAULT_OURS, "the server has no memory left");
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        (void)transfer_wrong(transfer, FETCH_FAULT_CONNECT, "there is no host %s", host);
    else if (code == CURLE_COULDNT_CONNECT)
        (void)transfer_wrong(transfer, FETCH_FAULT_CONNECT, "%s cannot be connected to", host);
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        (void)transfer_wrong(transfer, FETCH_FAULT_CONNECT,
                             "the certificate of %s is not one that this machine trusts", host);
    else if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
             code == CURLE_GOT_NOTHING || code == CURLE_SSL_CONNECT_ERROR)
        (void)transfer_wrong(transfer, FETCH_FAULT_CONNECT, "the connection to %s was cut (%s)",
                             host, lib.easy_strerror(code));
    else
        (void)transfer_wrong(transfer, FETCH_FAULT_ANSWER, "%s did not answer as it should (%s)",
                             host, lib.easy_strerror(code));
}

/* False: it is redirected nowhere, or to where it is not fetched from. */
static bool transfer_redirect(struct transfer *transfer, uint32_t status)
{
    const char *target = NULL;
    char reason[FETCH_REASON_BYTES];
    lib.easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &target);
    if (transfer->kind != FETCH_GET || status < 300 || status > 399 || !target)
        return false;
    if (++transfer->redirect_count > REDIRECT_COUNT_MAX) {
        (void)transfer_wrong(transfer, FETCH_FAULT_ANSWER, "it is redirected more than %u times",
                             REDIRECT_COUNT_MAX);
        return false;
    }
    struct fetch_url url;
    if (fetch_url_parse(&url, target, strlen(target), reason) < 0) {
        (void)transfer_wrong(transfer, FETCH_FAULT_URL,
                             "%.253s redirects to where nothing is fetched from: %.200s",
                             transfer->url.host, reason);
        return false;
    }
    transfer_request_end(transfer);
    transfer->url = url;
    return transfer_request_begin(transfer);
}

static void transfer_reap(struct transfer *transfer, CURLcode code)
{
    uint32_t status = transfer_status(transfer);
    bool is_whole = code == CURLE_OK || (code == CURLE_WRITE_ERROR && transfer->has_enough);
    bool is_wanted = transfer_is_wanted(transfer, status);
    if (is_wanted && transfer->is_encoded)
        (void)transfer_wrong(transfer, FETCH_FAULT_ANSWER,
                             "%s sends it compressed, which was not asked for", transfer->url.host);
    else if (!is_whole)
        transfer_code_wrong(transfer, code);
    else if (transfer->kind == FETCH_GET && !is_wanted) {
        if (transfer_redirect(transfer, status))
            return;
        (void)transfer_wrong(transfer, FETCH_FAULT_STATUS, "%s answered with status %u",
                             transfer->url.host, status);
    }
    if (transfer->fault != FETCH_FAULT_NONE)
        transfer_fail(transfer, status >= 100 && status <= 999 ? status : 0);
    else
        transfer_succeed(transfer, status);
}

void transfers_reap(struct transfers *transfers)
{
    CURLMsg *message;
    int left;
    /* Bounded: what is begun here is not done before the next call. */
    while ((message = lib.multi_info_read(transfers->multi, &left)) != NULL) {
        char *owner = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* gone with the handle */
        lib.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        transfer_reap((struct transfer *)(void *)owner, code);
    }
}
