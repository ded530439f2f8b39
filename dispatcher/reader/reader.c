/* SPDX-License-Identifier: MIT */
/* reader.c - starting, asking and hearing the reader. */
#include "dispatcher/reader/reader.h"

#include <stdio.h>

int reader_open(struct servant *reader, uint64_t body_bytes_max)
{
    char word[24];
    snprintf(word, sizeof(word), "%llu", (unsigned long long)body_bytes_max);
    return servant_open(reader, READER_NAME, word);
}

int reader_ask(const struct servant *reader, const struct read_request *request, const void *rest,
               size_t bytes, int fd)
{
    return servant_ask(reader, request, sizeof(*request), rest, bytes, fd);
}

int reader_hear(const struct servant *reader, struct read_answer *out)
{
    return servant_hear(reader, out, sizeof(*out));
}
