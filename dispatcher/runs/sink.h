/* SPDX-License-Identifier: MIT */
/*
 * sink.h - where a run's output goes: the seam between runs and whatever shows, keeps or forwards
 * what they yield.
 *
 * A format of an HTTP answer is a sink, and so is a result that is collected; a queue or a file can
 * be one. A run tells its sink in this order, and nothing after the last call:
 *
 *     begin       once: the run has its id and its times
 *     known       perhaps, before any value: it was not known at `begin` what its pipeline yields
 *     value       each value
 *     keepalive   there was no value for --keepalive
 *     finish      the end, completed or failed; or:
 *     drop        nobody waits any more, or the run never was: nothing is to be told
 */
#ifndef DISPATCHER_SINK_H
#define DISPATCHER_SINK_H

#include <stddef.h>
#include <stdint.h>

struct run;
struct run_failure;
struct sink;

struct sink_ops {
    void (*begin)(struct sink *sink, const struct run *run);
    void (*known)(struct sink *sink, const struct run *run);
    /* A value, msgpack from a worker, unchecked; its bytes live only during the call. 0: taken, and
     * run_delivered() is called with `charge` when it has left. Else nothing of it was used:
     * -EBADMSG, it is not what a worker may send; -EILSEQ, -ELOOP, -EFBIG, -EDQUOT, -ENOMEM as
     * run_value_lost() says. A sink that took it, and finds that it was one too many, says so by
     * the positive number: the value counts, and the run ends. */
    int (*value)(struct sink *sink, struct run *run, const uint8_t *data, size_t bytes,
                 uint64_t charge);
    /* NULL: such a sink needs none. */
    void (*keepalive)(struct sink *sink, struct run *run);
    /* `failure` NULL: completed. Its texts live only during the call. Both return the HTTP status
     * that whoever waits was told, now or before; 0: none, or the sink knows no such thing. */
    int (*finish)(struct sink *sink, struct run *run, const struct run_failure *failure);
    int (*drop)(struct sink *sink, struct run *run);
};

/* The first member of what implements it, which owns it; a run borrows it until finish or drop. */
struct sink {
    const struct sink_ops *ops;
};

#endif
