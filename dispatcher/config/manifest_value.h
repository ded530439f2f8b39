/* SPDX-License-Identifier: MIT */
/*
 * manifest_value.h - a value of a manifest, and whether it is of the kind that its key has.
 *
 * For manifest.c, which knows the keys. A value that is not of its kind becomes one of the errors.
 */
#ifndef DISPATCHER_MANIFEST_VALUE_H
#define DISPATCHER_MANIFEST_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/problems.h"
#include "dispatcher/text/document.h"
#include "dispatcher/text/text.h"

enum manifest_kind {
    MANIFEST_TEXT = 0,
    MANIFEST_TEXTS, /* a list of them */
    MANIFEST_NUMBER,
    MANIFEST_MAPPING,
    MANIFEST_KIND_COUNT
};

/* Of a value that is not null. */
bool manifest_kind_check(const struct document *document, uint32_t node, enum manifest_kind kind,
                         const char *where, struct problems *errors);

/* Whatever it is, as JSON, as far as `bytes_max` of the text; false: there is more, or it is nested
 * too deep. */
bool manifest_json_add(const struct document *document, uint32_t node, size_t bytes_max,
                       struct text *text);

#endif
