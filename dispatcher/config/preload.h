/* SPDX-License-Identifier: MIT */
/*
 * preload.h - the words of --preload, and what goes together with it.
 */
#ifndef DISPATCHER_PRELOAD_H
#define DISPATCHER_PRELOAD_H

struct pipeline_config;

/* In the order of enum preload; NULL at the end. */
extern const char *const preload_words[];

/* Why workers of this pipeline cannot be copies, whatever is said: what confines them is each one's
 * own, or denies copies. NULL: they can. To be asked when confinement_write() has decided. */
const char *preload_obstacle(const struct pipeline_config *pipeline);

#endif
