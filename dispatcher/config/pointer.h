/* SPDX-License-Identifier: MIT */
/* pointer.h - how a pipeline's pointer is spelled: me/words:v1. */
#ifndef DISPATCHER_POINTER_H
#define DISPATCHER_POINTER_H

#include <stdbool.h>
#include <stddef.h>

#define POINTER_BYTES_MAX 255u

/* True for NAME:TAG as docs/api.md, section 2, spells it, of POINTER_BYTES_MAX at most. */
bool pointer_is_valid(const char *pointer, size_t bytes);

/* Bytes of the pointer that [POINTER=]VALUE begins with; 0: it has none. The first '=' ends it, if
 * what is before it is a pointer: a path may have one, too. */
size_t pointer_prefix_bytes(const char *text);

#endif
