/* SPDX-License-Identifier: MIT */
/*
 * gives.c - pipelines that give out files, for system tests.
 *
 *   pictures   a stream of COUNT files of BYTES bytes each, every one written to the same path
 *   parcel     one plain result: a dictionary with two files in a list, one of memory
 *   pair       a plain file beside a stream of words
 *   odd        a file that cannot be sent, of the kind that is asked for
 *   cut        a file of which a part is gone when it is read
 *   vast       a file of BYTES zeros, which take no memory here; with NAME
 *   words      a stream of three words
 *   chained    a file as the argument of another pipe, which cannot be
 *   both       a small file, and one of BYTES, in a list
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <millrace/pipeline.h>

#define PART_BYTES 65536u

/* Bytes that tell of which file they are, and where. */
static int gives_write(int fd, uint64_t number, uint64_t bytes)
{
    static unsigned char part[PART_BYTES];
    for (uint64_t at = 0; at < bytes;) {
        const size_t count = bytes - at < PART_BYTES ? (size_t)(bytes - at) : PART_BYTES;
        for (size_t i = 0; i < count; i++)
            part[i] = (unsigned char)((number * 31 + (at + i) * 7 + ((at + i) >> 8)) & 0xff);
        if (write(fd, part, count) != (ssize_t)count)
            return -errno;
        at += count;
    }
    return 0;
}

static int gives_make(const char *path, uint64_t number, uint64_t bytes)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    int rc = fd == -1 ? -errno : gives_write(fd, number, bytes);
    if (fd != -1)
        close(fd);
    return rc;
}

static int gives_memory(uint64_t number, uint64_t bytes)
{
    int fd = memfd_create("gives", MFD_CLOEXEC);
    if (fd != -1 && gives_write(fd, number, bytes) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- pictures ------------------------------------------------------------------------------ */

struct pictures {
    uint64_t next, count, bytes;
    char path[64];
};

static int pictures_next(void *state, struct mr_value *out)
{
    struct pictures *own = state;
    char name[32];
    if (own->next == own->count)
        return MR_END;
    if (gives_make(own->path, own->next, own->bytes) < 0)
        return mr_value_fail(out, MR_ERROR_PIPELINE, "%s cannot be written", own->path);
    snprintf(name, sizeof name, "picture %llu.png", (unsigned long long)own->next++);
    return mr_value_file(out, own->path, name);
}

static void pictures_close(void *state)
{
    const struct pictures *own = state;
    unlink(own->path);
}

static int pictures_make(struct mr_call *call)
{
    struct pictures *own = mr_alloc(call, sizeof *own);
    if (!own)
        return -1;
    own->count = (uint64_t)mr_arg_integer(call, 0);
    own->bytes = (uint64_t)mr_arg_integer(call, 1);
    snprintf(own->path, sizeof own->path, "/tmp/%s", mr_run_id());
    return mr_return_stream(
        call, &(struct mr_iterator){.state = own, .next = pictures_next, .close = pictures_close});
}

MR_PIPELINE(pictures)
{
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count");
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "bytes");
    mr_output(builder, mr_pipe(builder, pictures_make, MR_STREAM, count, bytes));
}

/* ---- parcel, pair -------------------------------------------------------------------------- */

static int parcel_make(struct mr_call *call)
{
    struct mr_value *out = mr_return(call);
    const uint64_t bytes = (uint64_t)mr_arg_integer(call, 0);
    char path[64];
    snprintf(path, sizeof path, "/tmp/%s.txt", mr_run_id());
    if (gives_make(path, 1, bytes) < 0)
        return mr_fail(call, MR_ERROR_PIPELINE, "%s cannot be written", path);
    int fd = gives_memory(2, bytes);
    mr_value_dictionary(out, 2);
    mr_value_string(out, "files", 5);
    mr_value_array(out, 2);
    mr_value_file(out, path, NULL);
    mr_value_file_fd(out, fd, NULL);
    close(fd);
    unlink(path);
    mr_value_string(out, "said", 4);
    return mr_value_string(out, "\xd6\x81 and more", 11);
}

MR_PIPELINE(parcel)
{
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "bytes");
    mr_output(builder, mr_pipe(builder, parcel_make, MR_DICTIONARY, bytes));
}

static int file_make(struct mr_call *call)
{
    int fd = gives_memory(3, 1000);
    int rc = mr_value_file_fd(mr_return(call), fd, "a name.bin");
    close(fd);
    return rc;
}

static int words_next(void *state, struct mr_value *out)
{
    int *left = state;
    return (*left)-- > 0 ? mr_value_stringf(out, "word %d", *left) : MR_END;
}

static int words_make(struct mr_call *call)
{
    int *left = mr_alloc(call, sizeof *left);
    if (!left)
        return -1;
    *left = 3;
    return mr_return_stream(call, &(struct mr_iterator){.state = left, .next = words_next});
}

MR_PIPELINE(words)
{
    mr_output(builder, mr_pipe(builder, words_make, MR_STREAM));
}

MR_PIPELINE(pair)
{
    mr_output(builder, mr_pipe(builder, file_make, MR_FILE));
    mr_output(builder, mr_pipe(builder, words_make, MR_STREAM));
}

static int chained_take(struct mr_call *call)
{
    return mr_value_integer(mr_return(call), mr_arg(call, 0)->type);
}

MR_PIPELINE(chained)
{
    mr_variable file = mr_pipe(builder, file_make, MR_FILE);
    mr_output(builder, mr_pipe(builder, chained_take, MR_INTEGER, file));
}

/* ---- odd, cut ------------------------------------------------------------------------------ */

static int odd_make(struct mr_call *call)
{
    const char *kind = mr_arg_string(call, 0);
    struct mr_value *out = mr_return(call);
    int ends[2];
    if (strcmp(kind, "many") == 0) {
        int fd = gives_memory(1, 1);
        mr_value_array(out, 65);
        for (int i = 0; i < 65; i++)
            mr_value_file_fd(out, fd, "one.bin");
        close(fd);
        return MR_ITEM;
    }
    if (strcmp(kind, "pipe") == 0) {
        if (pipe(ends) == -1)
            return mr_fail(call, MR_ERROR_PIPELINE, "no pipe");
        int rc = mr_value_file_fd(out, ends[0], "pipe.bin");
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    if (strcmp(kind, "path") == 0) {
        int fd = open("/", O_PATH | O_CLOEXEC);
        int rc = mr_value_file_fd(out, fd, "path.bin");
        close(fd);
        return rc;
    }
    return mr_value_file(out, kind, NULL);
}

MR_PIPELINE(odd)
{
    mr_variable kind = mr_input(builder, MR_STRING, .title = "kind");
    mr_output(builder, mr_pipe(builder, odd_make, MR_ARRAY, kind));
}

static int cut_make(struct mr_call *call)
{
    int fd = gives_memory(1, 100000);
    int rc = mr_value_file_fd(mr_return(call), fd, "cut.bin");
    if (ftruncate(fd, 70000) == -1)
        rc = mr_fail(call, MR_ERROR_PIPELINE, "it cannot be cut");
    close(fd);
    return rc;
}

MR_PIPELINE(cut)
{
    mr_output(builder, mr_pipe(builder, cut_make, MR_FILE));
}

/* ---- vast ---------------------------------------------------------------------------------- */

static int vast_make(struct mr_call *call)
{
    int fd = memfd_create("vast", MFD_CLOEXEC);
    if (fd == -1 || ftruncate(fd, (off_t)mr_arg_integer(call, 0)) == -1)
        return mr_fail(call, MR_ERROR_PIPELINE, "no file of memory");
    int rc = mr_value_file_fd(mr_return(call), fd, mr_arg_string(call, 1));
    close(fd);
    return rc;
}

MR_PIPELINE(vast)
{
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "bytes");
    mr_variable name = mr_input(builder, MR_STRING, .title = "name");
    mr_output(builder, mr_pipe(builder, vast_make, MR_FILE, bytes, name));
}

/* ---- both ---------------------------------------------------------------------------------- */

static int both_make(struct mr_call *call)
{
    struct mr_value *out = mr_return(call);
    int small = gives_memory(1, 10), large = memfd_create("large", MFD_CLOEXEC);
    if (small == -1 || large == -1 || ftruncate(large, (off_t)mr_arg_integer(call, 0)) == -1)
        return mr_fail(call, MR_ERROR_PIPELINE, "no file of memory");
    mr_value_array(out, 2);
    mr_value_file_fd(out, small, "small.bin");
    int rc = mr_value_file_fd(out, large, "large.bin");
    close(small);
    close(large);
    return rc;
}

MR_PIPELINE(both)
{
    mr_variable bytes = mr_input(builder, MR_INTEGER, .title = "bytes");
    mr_output(builder, mr_pipe(builder, both_make, MR_ARRAY, bytes));
}
