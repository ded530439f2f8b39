/* SPDX-License-Identifier: MIT */
/*
 * lockstep.c - one next() for each live stream, then the line is done.
 */
#include "worker/engine/lockstep.h"

#include <errno.h>

static enum lockstep_result lockstep_fill(struct lockstep *lockstep, struct mr_value *value);
static int lockstep_next(struct lockstep *lockstep, struct lockstep_output *output,
                         struct mr_value *value);
static void lockstep_close_output(struct lockstep_output *output);

void lockstep_start(struct lockstep *lockstep, struct lockstep_output *outputs,
                    uint32_t output_count)
{
    *lockstep = (struct lockstep){.outputs = outputs, .output_count = output_count};
    for (uint32_t i = 0; i < output_count; i++)
        lockstep->live_count += outputs[i].is_stream;
}

enum lockstep_result lockstep_step(struct lockstep *lockstep, struct mr_value *value)
{
    if (!lockstep->is_half_built) {
        if (lockstep->is_over)
            return LOCKSTEP_END;
        if (value_outputs(value, lockstep->output_count) != 0)
            return LOCKSTEP_FAILED;
        lockstep->is_half_built = true;
        lockstep->position = 0;
        /* Without streams there is one line, and it is due now. */
        lockstep->is_over = lockstep->live_count == 0;
        lockstep->has_item = lockstep->is_over;
    }
    enum lockstep_result result = lockstep_fill(lockstep, value);
    if (result != LOCKSTEP_LATER)
        lockstep->is_half_built = false;
    if (result == LOCKSTEP_END)
        lockstep->is_over = true;
    return result;
}

static enum lockstep_result lockstep_fill(struct lockstep *lockstep, struct mr_value *value)
{
    for (; lockstep->position < lockstep->output_count; lockstep->position++) {
        struct lockstep_output *output = &lockstep->outputs[lockstep->position];
        value_expect(value);
        int rc;
        if (!output->is_stream)
            rc = value_raw(value, output->packed, output->packed_bytes);
        else if (!output->is_open)
            rc = value_exhausted(value);
        else
            rc = lockstep_next(lockstep, output, value);
        if (rc < 0)
            return LOCKSTEP_FAILED;
        if (output->is_stream && rc == MR_LATER)
            return LOCKSTEP_LATER;
    }
    return lockstep->has_item ? LOCKSTEP_ITEM : LOCKSTEP_END;
}

/* Asks one stream for its item. MR_ITEM, MR_LATER, or a failure that is explained. */
static int lockstep_next(struct lockstep *lockstep, struct lockstep_output *output,
                         struct mr_value *value)
{
    int rc = output->iterator.next(output->iterator.state, value);
    if (rc >= 0 && value->status != 0)
        rc = value->status;
    switch (rc) {
    case MR_ITEM:
        rc = value_check(value);
        if (rc != 0)
            break;
        lockstep->has_item = true;
        return MR_ITEM;
    case MR_LATER:
        if (!value->is_later || !value_is_untouched(value)) {
            rc = -EINVAL;
            error_set(value->error, ERROR_PIPELINE,
                      value->is_later ? "next() wrote a value and returned MR_LATER"
                                      : "next() returned MR_LATER without saying until when");
            break;
        }
        return MR_LATER;
    case MR_END:
        if (!value_is_untouched(value)) {
            rc = -EINVAL;
            error_set(value->error, ERROR_PIPELINE, "next() wrote a value and returned MR_END");
            break;
        }
        lockstep->live_count--;
        lockstep_close_output(output);
        return value_exhausted(value);
    default:
        if (rc > 0) {
            error_set(value->error, ERROR_PIPELINE, "next() returned %d", rc);
            rc = -EINVAL;
        }
        break;
    }
    if (output->name)
        error_explain(value->error, "pipe", output->name, rc);
    return rc;
}

static void lockstep_close_output(struct lockstep_output *output)
{
    if (!output->is_open)
        return;
    output->is_open = false;
    if (output->iterator.close)
        output->iterator.close(output->iterator.state);
}

void lockstep_close(struct lockstep *lockstep)
{
    for (uint32_t i = 0; i < lockstep->output_count; i++)
        lockstep_close_output(&lockstep->outputs[i]);
}
