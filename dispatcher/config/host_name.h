/* SPDX-License-Identifier: MIT */
/*
 * host_name.h - names of hosts, and origins of web pages as browsers write them (RFC 6454, 6.1).
 */
#ifndef DISPATCHER_HOST_NAME_H
#define DISPATCHER_HOST_NAME_H

#include <stdbool.h>

/* Of --allow-host and --allow-origin: true when it is the name of a host, or an origin. */
bool host_name_is_valid(const char *host);
bool host_origin_is_valid(const char *origin);

#endif
