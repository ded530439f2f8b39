/* SPDX-License-Identifier: MIT */
/* ndjson.c - newline-delimited JSON: a line for each value (docs/api.md, section 3). */
#include "dispatcher/api/formats/format.h"
#include "dispatcher/api/formats/stream.h"

static const struct stream_words words = {
    .content_type = "application/x-ndjson",
    .line_head = "",
    .line_tail = STREAM_LINE_TAIL,
    .keepalive = "\n",
    .failure_head = "",
    .line_end = "",
    .end = "",
    .failure_type = "application/x-ndjson",
};

static void ndjson_begin(struct sink *sink, const struct run *run)
{
    stream_begin(sink, run, &words);
}

static const struct sink_ops ndjson_sink = {
    .begin = ndjson_begin,
    .known = stream_known,
    .value = stream_value,
    .keepalive = stream_keepalive,
    .finish = stream_finish,
    .drop = stream_drop,
};

const struct format format_ndjson = {.sink = &ndjson_sink};
