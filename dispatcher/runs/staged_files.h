/* SPDX-License-Identifier: MIT */
/*
 * staged_files.h - files that a run's inputs name, as the run has them: whoever brought them keeps
 * them where its worker can read them until the run is over.
 */
#ifndef DISPATCHER_STAGED_FILES_H
#define DISPATCHER_STAGED_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Made by whoever brings them, and theirs again after `release`. */
struct staged_files {
    const uint8_t *message; /* the body of FILES (protocol.h); set before the run is admitted */
    size_t message_bytes;
    void (*release)(struct staged_files *files); /* the run is over, at whatever point */
};

#endif
