/* SPDX-License-Identifier: MIT */
/* error_type.h - the nine words clients see for kinds of failure. */
#ifndef DISPATCHER_ERROR_TYPE_H
#define DISPATCHER_ERROR_TYPE_H

#include "millrace/protocol.h"

/* "input_error" ... "unknown". */
const char *error_type_name(enum error_type type);

#endif
