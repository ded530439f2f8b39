/* SPDX-License-Identifier: MIT */
/*
 * file_signature.h - URLs that let whoever has them do one thing until a certain time, without a
 * token: they end in "?expires=<seconds>&signature=<64 hex>".
 *
 * The signature is an HMAC over what may be done, to what, and until when, with a secret of this
 * folder of files.
 */
#ifndef DISPATCHER_FILE_SIGNATURE_H
#define DISPATCHER_FILE_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "millrace/check.h"

#define FILE_SECRET_BYTES 32u
#define FILE_SIGNATURE_BYTES 65u /* 64 hex digits and the NUL */
#define FILE_PROOF_BYTES 105u    /* "?expires=", 20 digits, "&signature=", 64 and the NUL */

enum file_purpose {
    FILE_PURPOSE_DOWNLOAD = 0,
    FILE_PURPOSE_PART, /* to upload one */
    FILE_PURPOSE_COUNT
};

/* What may be done. */
struct file_claim {
    enum file_purpose purpose;
    const char *id;     /* of the file, or of what the part is of */
    uint32_t part;      /* its number; 0 for others */
    uint64_t expires_s; /* CLOCK_REALTIME; from then on it may not */
};

/* Reads the secret that lies in the folder, or makes one if there is none that this user alone may
 * read. Waits for the disk. 0 or -errno. */
int file_secret_open(int root_fd, uint8_t secret[FILE_SECRET_BYTES]) MUST_USE;

/* What a URL for this ends in. Returns the bytes written. */
size_t file_proof_format(const uint8_t secret[FILE_SECRET_BYTES], const struct file_claim *claim,
                         char out[FILE_PROOF_BYTES]);

/* Whether this signature, of any bytes, is that of the claim, in a time that tells nothing of it.
 * 0; -EACCES: it is not; -ETIME: it was, and the time is over. */
int file_signature_check(const uint8_t secret[FILE_SECRET_BYTES], const struct file_claim *claim,
                         const char *signature, size_t bytes, uint64_t now_s) MUST_USE;

#endif
