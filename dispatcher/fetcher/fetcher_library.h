/* SPDX-License-Identifier: MIT */
/*
 * fetcher_library.h - what the fetcher uses of libcurl, which it loads when it starts.
 */
#ifndef DISPATCHER_FETCHER_LIBRARY_H
#define DISPATCHER_FETCHER_LIBRARY_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

/* Its functions under their names without the curl_. */
struct fetcher_library {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_strerror) *easy_strerror;
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    __typeof__(curl_multi_init) *multi_init;
    __typeof__(curl_multi_add_handle) *multi_add_handle;
    __typeof__(curl_multi_remove_handle) *multi_remove_handle;
    __typeof__(curl_multi_perform) *multi_perform;
    __typeof__(curl_multi_poll) *multi_poll;
    __typeof__(curl_multi_info_read) *multi_info_read;
};

extern struct fetcher_library fetcher_library;

/* NULL, or why there is none, as words. */
const char *fetcher_library_load(void);

#endif
