/* SPDX-License-Identifier: MIT */
/* control_clients.h - whose output waits for its client: the slowest ones. */
#ifndef DISPATCHER_CONTROL_CLIENTS_H
#define DISPATCHER_CONTROL_CLIENTS_H

#include <stdint.h>

struct runs;
struct text;

/* Adds ,"clients":[...]: at most 10, those without progress for longest first. A bounded number of
 * runs is looked at. */
void control_clients_format(const struct runs *runs, uint64_t now_ms, struct text *text);

#endif
