/* SPDX-License-Identifier: MIT */
/* events.c - server-sent events (HTML, section 9.2): the lines of ndjson.c as events. */
#include "dispatcher/api/formats/format.h"
#include "dispatcher/api/formats/stream.h"

static const struct stream_words words = {
    .content_type = "text/event-stream",
    .line_head = "data: ",
    .line_tail = STREAM_LINE_TAIL "\n",
    .keepalive = ": keep-alive\n\n",
    .failure_head = "event: error\n",
    .line_end = "\n",
    .end = "data: [DONE]\n\n",
    .begins_failed = true,
};

static void events_begin(struct sink *sink, const struct run *run)
{
    stream_begin(sink, run, &words);
}

static const struct sink_ops events_sink = {
    .begin = events_begin,
    .known = stream_known,
    .value = stream_value,
    .keepalive = stream_keepalive,
    .finish = stream_finish,
    .drop = stream_drop,
};

const struct format format_events = {.sink = &events_sink};
