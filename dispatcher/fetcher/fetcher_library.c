/* SPDX-License-Identifier: MIT */
/* fetcher_library.c - the table of libcurl's functions. */
#include "dispatcher/fetcher/fetcher_library.h"

#include <stddef.h>

#include "dispatcher/reactor/library.h"
#include "millrace/check.h"

struct fetcher_library fetcher_library;

static const struct library_function functions[] = {
#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "curl_" #name, offsetof(struct fetcher_library, name)                                      \
    }
    FUNCTION(global_init),         FUNCTION(slist_append),    FUNCTION(slist_free_all),
    FUNCTION(easy_init),           FUNCTION(easy_cleanup),    FUNCTION(easy_strerror),
    FUNCTION(easy_setopt),         FUNCTION(easy_getinfo),    FUNCTION(multi_init),
    FUNCTION(multi_add_handle),    FUNCTION(multi_perform),   FUNCTION(multi_poll),
    FUNCTION(multi_remove_handle), FUNCTION(multi_info_read),
#undef FUNCTION
};

const char *fetcher_library_load(void)
{
    const char *wrong =
        library_load(LIBRARY_CURL, functions, ARRAY_COUNT(functions), &fetcher_library);
    if (wrong)
        return wrong;
    return fetcher_library.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? NULL : "no memory";
}
