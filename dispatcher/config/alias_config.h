/* SPDX-License-Identifier: MIT */
/* alias_config.h - another pointer for a pipeline, or for several that share its runs. */
#ifndef DISPATCHER_ALIAS_CONFIG_H
#define DISPATCHER_ALIAS_CONFIG_H

#include <stdint.h>

#include "dispatcher/text/document.h"

#define ALIAS_COUNT_MAX 64u
#define ALIAS_TARGET_COUNT_MAX 8u
#define ALIAS_WEIGHT_MAX 1000000u
#define ALIAS_HEADER_COUNT_MAX 4u /* that aliases of one configuration look at */
#define ALIAS_HEADER_BYTES_MAX 64u

/* By what a client is led to one target again and again. */
enum alias_sticky {
    ALIAS_STICKY_NOT = 0,
    ALIAS_STICKY_TOKEN,  /* the name of its token */
    ALIAS_STICKY_HEADER, /* the value of a header */
    ALIAS_STICKY_COUNT
};

struct alias_target {
    const char *pointer; /* of a pipeline of this configuration */
    uint32_t weight;     /* its share, of the sum of all; 0: no runs go there now */
    struct document_place place;
};

/* Texts are the configuration's. */
struct alias_config {
    const char *pointer;
    struct alias_target targets[ALIAS_TARGET_COUNT_MAX];
    uint32_t target_count; /* at least one of them has a weight above 0 */
    enum alias_sticky sticky;
    const char *header; /* of ALIAS_STICKY_HEADER: its name in lower case; else NULL */
    struct document_place place;
};

#endif
