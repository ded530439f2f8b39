/* SPDX-License-Identifier: MIT */
/* source_digest.c - BLAKE2b of a file, a piece at a time. */
#include "dispatcher/config/source_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define PIECE_BYTES 65536u

int source_digest_take(struct source_digest *out, const char *path)
{
    crypto_generichash_state state;
    *out = (struct source_digest){{0}};
    struct stat file = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1)
        return -errno;
    /* A pipe may not end, nor a device. */
    if (fstat(fd, &file) == -1 || !S_ISREG(file.st_mode)) {
        close(fd);
        return S_ISDIR(file.st_mode) ? -EISDIR : -EINVAL;
    }
    uint8_t *piece = malloc(PIECE_BYTES);
    ssize_t count = -1;
    int rc = piece ? 0 : -ENOMEM;
    crypto_generichash_init(&state, NULL, 0, sizeof out->bytes);
    while (rc == 0 && (count = read(fd, piece, PIECE_BYTES)) > 0)
        crypto_generichash_update(&state, piece, (unsigned long long)count);
    if (rc == 0 && count == -1)
        rc = -errno;
    if (rc == 0)
        crypto_generichash_final(&state, out->bytes, sizeof out->bytes);
    free(piece);
    close(fd);
    return rc;
}
