/* SPDX-License-Identifier: MIT */
/* file_signature.c - the secret, and HMAC-SHA-256 with it. */
#include "dispatcher/files/file_signature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define SECRET_NAME "secret"
#define SECRET_NAME_NEW "secret.new"
#define CLAIM_BYTES_MAX 256u

_Static_assert(crypto_auth_hmacsha256_KEYBYTES == FILE_SECRET_BYTES, "a key");
_Static_assert(2 * crypto_auth_hmacsha256_BYTES + 1 == FILE_SIGNATURE_BYTES, "its digits");

/* ---- the secret ----------------------------------------------------------------------------- */

/* -ENOENT: there is none, or none that is worth something. */
static int secret_read(int root_fd, uint8_t secret[FILE_SECRET_BYTES])
{
    struct stat file;
    int fd = openat(root_fd, SECRET_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1)
        return errno == ENOENT || errno == ELOOP ? -ENOENT : -errno;
    int rc = fstat(fd, &file) == -1 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(file.st_mode) || (file.st_mode & (S_IRWXG | S_IRWXO)) ||
                    file.st_size != FILE_SECRET_BYTES ||
                    read(fd, secret, FILE_SECRET_BYTES) != FILE_SECRET_BYTES))
        rc = -ENOENT;
    close(fd);
    return rc;
}

/* It is there whole, or not at all. */
static int secret_write(int root_fd, const uint8_t secret[FILE_SECRET_BYTES])
{
    unlinkat(root_fd, SECRET_NAME_NEW, 0); /* of a start that was cut */
    int fd = openat(root_fd, SECRET_NAME_NEW, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd == -1)
        return -errno;
    ssize_t written = write(fd, secret, FILE_SECRET_BYTES);
    int rc = written == FILE_SECRET_BYTES ? 0 : written == -1 ? -errno : -ENOSPC;
    if (rc == 0 && fsync(fd) == -1)
        rc = -errno;
    close(fd);
    if (rc == 0 && renameat(root_fd, SECRET_NAME_NEW, root_fd, SECRET_NAME) == -1)
        rc = -errno;
    if (rc == 0 && fsync(root_fd) == -1)
        rc = -errno;
    return rc;
}

int file_secret_open(int root_fd, uint8_t secret[FILE_SECRET_BYTES])
{
    int rc = secret_read(root_fd, secret);
    if (rc != -ENOENT)
        return rc;
    randombytes_buf(secret, FILE_SECRET_BYTES);
    return secret_write(root_fd, secret);
}

/* ---- signatures ----------------------------------------------------------------------------- */

static void signature_make(const uint8_t *secret, const struct file_claim *claim,
                           char out[FILE_SIGNATURE_BYTES])
{
    static const char *const purposes[FILE_PURPOSE_COUNT] = {
        [FILE_PURPOSE_DOWNLOAD] = "download", [FILE_PURPOSE_PART] = "part"};
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    char text[CLAIM_BYTES_MAX];
    int bytes = snprintf(text, sizeof text, "%s\n%s\n%u\n%llu", purposes[claim->purpose], claim->id,
                         claim->part, (unsigned long long)claim->expires_s);
    mr_assert(bytes > 0 && (size_t)bytes < sizeof text); /* an id is short */
    crypto_auth_hmacsha256(mac, (const unsigned char *)text, (unsigned long long)bytes, secret);
    sodium_bin2hex(out, FILE_SIGNATURE_BYTES, mac, sizeof mac);
}

size_t file_proof_format(const uint8_t secret[FILE_SECRET_BYTES], const struct file_claim *claim,
                         char out[FILE_PROOF_BYTES])
{
    char signature[FILE_SIGNATURE_BYTES];
    signature_make(secret, claim, signature);
    int bytes = snprintf(out, FILE_PROOF_BYTES, "?expires=%llu&signature=%s",
                         (unsigned long long)claim->expires_s, signature);
    return (size_t)bytes;
}

int file_signature_check(const uint8_t secret[FILE_SECRET_BYTES], const struct file_claim *claim,
                         const char *signature, size_t bytes, uint64_t now_s)
{
    char right[FILE_SIGNATURE_BYTES];
    signature_make(secret, claim, right);
    if (bytes != sizeof right - 1 || sodium_memcmp(right, signature, sizeof right - 1) != 0)
        return -EACCES;
    return claim->expires_s <= now_s ? -ETIME : 0;
}
