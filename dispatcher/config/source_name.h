/* SPDX-License-Identifier: MIT */
/* source_name.h - how names in sources are spelled. */
#ifndef DISPATCHER_SOURCE_NAME_H
#define DISPATCHER_SOURCE_NAME_H

#include <stdbool.h>

/* The name of a pipeline in its source. */
bool source_name_is_pipeline(const char *text);

/* package.module, which is not taken for a file: no slash, and each part a name. */
bool source_name_is_module(const char *text);

#endif
