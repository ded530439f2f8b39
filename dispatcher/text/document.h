/* SPDX-License-Identifier: MIT */
/*
 * document.h - a YAML 1.1 document as a tree: values, lists and mappings, each with its place.
 *
 * What is read is not trusted to be small or sane: at most DOCUMENT_BYTES_MAX and
 * DOCUMENT_DEPTH_MAX, one document, keys that are plain values and are there once. An alias is the
 * node that its anchor named, so a tree may be a graph, with circles: whoever walks it goes as deep
 * as what it looks for, and no deeper.
 */
#ifndef DISPATCHER_DOCUMENT_H
#define DISPATCHER_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define DOCUMENT_BYTES_MAX (1024u * 1024)
#define DOCUMENT_DEPTH_MAX 32u /* of lists and mappings; libyaml's time grows with its square */
#define DOCUMENT_REASON_BYTES 256u

struct document;

enum document_kind { DOCUMENT_VALUE = 0, DOCUMENT_LIST, DOCUMENT_MAPPING };

/* Where something begins, both from 1; columns are characters. 0: not known. */
struct document_place {
    uint32_t line, column;
};

/* 0, and what it returns is owned by the caller; -ENOMEM; or -EINVAL with what is wrong, and where.
 * An empty document is an empty mapping. */
int document_read(const char *text, size_t bytes, struct document **out,
                  struct document_place *place, char reason[DOCUMENT_REASON_BYTES]) MUST_USE;
void document_free(struct document *document);

/* Nodes have numbers; that of the root is DOCUMENT_ROOT. */
#define DOCUMENT_ROOT 0u
enum document_kind document_kind_of(const struct document *document, uint32_t node);
struct document_place document_place_of(const struct document *document, uint32_t node);

/* Of a value: its text, terminated, in memory of the document; a NUL in it is refused by
 * document_read(). */
const char *document_text(const struct document *document, uint32_t node);

/* Whether a value was written without quotes, as words like true and null are. */
bool document_is_plain(const struct document *document, uint32_t node);

/* Whether nothing was written there, or the word for that. */
bool document_is_null(const struct document *document, uint32_t node);

/* Items of a list, pairs of a mapping; of a value 0. */
uint32_t document_count(const struct document *document, uint32_t node);
uint32_t document_item(const struct document *document, uint32_t node, uint32_t at);
uint32_t document_key(const struct document *document, uint32_t node, uint32_t at);
uint32_t document_member(const struct document *document, uint32_t node, uint32_t at);

#endif
