/* SPDX-License-Identifier: MIT */
/* listen_address.h - the spelling of addresses to listen on. */
#ifndef DISPATCHER_LISTEN_ADDRESS_H
#define DISPATCHER_LISTEN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "dispatcher/config/cli.h"
#include "millrace/check.h"

/* "ADDR:PORT" or "[ADDR6]:PORT" in numbers, owned by the caller: "localhost" and "" (all addresses)
 * become such. -EINVAL, -ENOMEM, with `reason`. */
int listen_address_make(const char *text, char **out, char reason[CLI_REASON_BYTES]) MUST_USE;

/* "ADDR:PORT" as listen_address_make() made it, for bind(). -EINVAL with `reason`. Never resolves a
 * name, so never waits. */
int listen_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *bytes,
                         char reason[CLI_REASON_BYTES]) MUST_USE;
bool listen_address_is_loopback(const struct sockaddr_storage *address);

#endif
