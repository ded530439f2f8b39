/* SPDX-License-Identifier: MIT */
/*
 * fuzz_fetch_url.c - any text: a URL that is accepted has one spelling, and libcurl reads the same
 * host and port in it as we do.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "dispatcher/fetcher/fetch_url.h"
#include "dispatcher/reactor/library.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    __typeof__(curl_url) *url;
    __typeof__(curl_url_set) *url_set;
    __typeof__(curl_url_get) *url_get;
    __typeof__(curl_url_cleanup) *url_cleanup;
    __typeof__(curl_free) *free;
} lib;

static void library_need(void)
{
    static const struct library_function functions[] = {
        {"curl_url", offsetof(__typeof__(lib), url)},
        {"curl_url_set", offsetof(__typeof__(lib), url_set)},
        {"curl_url_get", offsetof(__typeof__(lib), url_get)},
        {"curl_url_cleanup", offsetof(__typeof__(lib), url_cleanup)},
        {"curl_free", offsetof(__typeof__(lib), free)},
    };
    if (!lib.url)
        mr_assert(!library_load(LIBRARY_CURL, functions, ARRAY_COUNT(functions), &lib));
}

static void part_expect(CURLU *handle, CURLUPart part, const char *expected)
{
    char *text = NULL;
    mr_assert(lib.url_get(handle, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK);
    mr_assert(strcmp(text, expected) == 0);
    lib.free(text);
}

static void curl_expect(const struct fetch_url *url)
{
    char host[FETCH_HOST_BYTES_MAX + 3], port[8];
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    CURLU *handle = lib.url();
    mr_assert(handle);
    mr_assert(lib.url_set(handle, CURLUPART_URL, url->text, 0) == CURLUE_OK);
    snprintf(host, sizeof(host), is_ipv6 ? "[%s]" : "%s", url->host);
    snprintf(port, sizeof(port), "%u", url->address.port);
    /* libcurl has a spelling of its own for addresses of IPv6. */
    if (!is_ipv6)
        part_expect(handle, CURLUPART_HOST, host);
    part_expect(handle, CURLUPART_PORT, port);
    lib.url_cleanup(handle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct fetch_url url, again;
    char reason[FETCH_REASON_BYTES], name[FETCH_NAME_BYTES];
    library_need();
    int rc = fetch_url_parse(&url, (const char *)data, bytes, reason);
    mr_assert(rc == 0 || rc == -EINVAL);
    if (rc < 0)
        return 0;
    mr_assert(strlen(url.text) == url.bytes && url.bytes <= FETCH_URL_BYTES_MAX);
    for (size_t i = 0; i < url.bytes; i++)
        mr_assert(url.text[i] > ' ' && url.text[i] < 0x7f);
    mr_assert(url.text[url.path_offset] == '/');
    mr_assert(fetch_url_parse(&again, url.text, url.bytes, reason) == 0);
    mr_assert(strcmp(again.text, url.text) == 0 && strcmp(again.host, url.host) == 0);
    mr_assert(again.address.port == url.address.port && again.is_address == url.is_address);
    mr_assert(fetch_url_name(&url, name, sizeof(name)) <= sizeof(name));
    curl_expect(&url);
    return 0;
}
