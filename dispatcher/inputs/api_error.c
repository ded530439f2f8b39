/* SPDX-License-Identifier: MIT */
/*
 * api_error.c - the two shapes of an answer that is an error.
 */
#include "dispatcher/inputs/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/text/json_out.h"

/* What is left of a detail for its message, the rest being constants. */
#define MESSAGE_ROOM 640

void api_error_invalid(struct api_error *error, const char *location, const char *message,
                       const char *type)
{
    char text[MESSAGE_ROOM];
    size_t bytes = json_out_text(message, strlen(message), text, sizeof(text));
    *error = (struct api_error){.status = 422, .is_result = false, .type = ERROR_INPUT};
    int count = snprintf(error->detail, sizeof(error->detail),
                         "[{\"loc\":[\"body\"%s],\"msg\":%.*s,\"type\":\"%s\"}]", location,
                         (int)bytes, text, type);
    mr_assert(count > 0);
    mr_assert((size_t)count < sizeof(error->detail));
}

void api_error_input(struct api_error *error, const char *format, ...)
{
    va_list arguments;
    *error = (struct api_error){.status = 400, .is_result = true, .type = ERROR_INPUT};
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
}
