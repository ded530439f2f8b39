/* SPDX-License-Identifier: MIT */
/*
 * line.c - one next() for each live stream, then the line is done.
 */
#include "worker/engine/line.h"

#include <errno.h>

static enum line_result line_fill(struct line *line, struct mr_value *value);
static int line_next(struct line *line, struct line_output *output, struct mr_value *value);
static void line_close_output(struct line_output *output);

void line_start(struct line *line, struct line_output *outputs, uint32_t output_count)
{
    *line = (struct line){.outputs = outputs, .output_count = output_count};
    for (uint32_t i = 0; i < output_count; i++)
        line->live_count += outputs[i].is_stream;
}

enum line_result line_step(struct line *line, struct mr_value *value)
{
    if (!line->is_half_built) {
        if (line->is_over)
            return LINE_END;
        if (value_outputs(value, line->output_count) != 0)
            return LINE_FAILED;
        line->is_half_built = true;
        line->position = 0;
        /* Without streams there is one line, and it is due now. */
        line->is_over = line->live_count == 0;
        line->has_item = line->is_over;
    }
    enum line_result result = line_fill(line, value);
    if (result != LINE_LATER)
        line->is_half_built = false;
    if (result == LINE_END)
        line->is_over = true;
    return result;
}

static enum line_result line_fill(struct line *line, struct mr_value *value)
{
    for (; line->position < line->output_count; line->position++) {
        struct line_output *output = &line->outputs[line->position];
        value_expect(value);
        int rc;
        if (!output->is_stream)
            rc = value_raw(value, output->packed, output->packed_bytes);
        else if (!output->is_open)
            rc = value_exhausted(value);
        else
            rc = line_next(line, output, value);
        if (rc < 0)
            return LINE_FAILED;
        if (output->is_stream && rc == MR_LATER)
            return LINE_LATER;
    }
    return line->has_item ? LINE_ITEM : LINE_END;
}

/* Asks one stream for its item. MR_ITEM, MR_LATER, or a failure that is explained. */
static int line_next(struct line *line, struct line_output *output, struct mr_value *value)
{
    int rc = output->iterator.next(output->iterator.state, value);
    if (rc >= 0 && value->status != 0)
        rc = value->status;
    switch (rc) {
    case MR_ITEM:
        rc = value_check(value);
        if (rc != 0)
            break;
        line->has_item = true;
        return MR_ITEM;
    case MR_LATER:
        if (!value->is_later || !value_is_untouched(value)) {
            rc = -EINVAL;
            failure_set(value->failure, ERROR_PIPELINE,
                        value->is_later ? "next() wrote a value and returned MR_LATER"
                                        : "next() returned MR_LATER without saying until when");
            break;
        }
        return MR_LATER;
    case MR_END:
        if (!value_is_untouched(value)) {
            rc = -EINVAL;
            failure_set(value->failure, ERROR_PIPELINE, "next() wrote a value and returned MR_END");
            break;
        }
        line->live_count--;
        line_close_output(output);
        return value_exhausted(value);
    default:
        if (rc > 0) {
            failure_set(value->failure, ERROR_PIPELINE, "next() returned %d", rc);
            rc = -EINVAL;
        }
        break;
    }
    if (output->name)
        failure_explain(value->failure, "pipe", output->name, rc);
    return rc;
}

static void line_close_output(struct line_output *output)
{
    if (!output->is_open)
        return;
    output->is_open = false;
    if (output->iterator.close)
        output->iterator.close(output->iterator.state);
}

void line_close(struct line *line)
{
    for (uint32_t i = 0; i < line->output_count; i++)
        line_close_output(&line->outputs[i]);
}
