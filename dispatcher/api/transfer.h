/* SPDX-License-Identifier: MIT */
/*
 * transfer.h - a file between a connection and the disk, one way or the other: what an upload or a
 * download and its connection have in common.
 */
#ifndef DISPATCHER_TRANSFER_H
#define DISPATCHER_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/files/file_url.h"
#include "dispatcher/files/parts.h"
#include "dispatcher/http/http_parse.h"
#include "dispatcher/http/http_range.h"

struct api;
struct conn;
struct download;
struct file;
struct multipart;
struct text;
struct upload;

#define TRANSFER_NAME_BYTES 1024u

struct transfer {
    struct answer answer; /* first, and all zero: one without a run, see api_exchange.c */
    struct api *api;
    struct conn *conn; /* of which it is what is pending */
    struct transfer *next, *previous;

    struct upload *upload;     /* one of them */
    char tag[PARTS_TAG_BYTES]; /* of a part */
    struct parts *parts;       /* that are put together for it */
    char base[BASE_BYTES];     /* "http://host": how the client calls this server */
    struct multipart *form;    /* owned; NULL: the body is the file itself */
    bool has_file, is_in_file; /* of a form: its part was seen; the bytes are its */
    uint32_t name_bytes;       /* as the client said it */
    char name[TRANSFER_NAME_BYTES];

    struct download *download;
    struct http_range range;
    bool is_part;        /* and not all */
    bool has_begun;      /* its head was sent */
    uint64_t left;       /* to be put into the connection's output */
    uint64_t on_its_way; /* there, and not sent yet */
    const char *ready;   /* read, and not there yet */
    size_t ready_bytes;
};

/* One for this connection, which waits for it; NULL: no memory. */
struct transfer *transfer_take(struct api *api, struct conn *conn);

/* It is over, at whatever point: nobody is pending any more. */
void transfer_give(struct transfer *transfer);

/* exchange_ops: its client left. */
void transfer_on_gone(struct api *api, struct conn *conn);

/* All there are, at the end of the process. */
void transfers_finish(struct api *api);

/* The request is answered with this detail, also where more of its body would come. */
void transfer_refuse(struct transfer *transfer, int status, const char *text);

/* It is a file, or the disk did not take it: answered. */
void transfer_file_kept(struct transfer *transfer, const struct file *file);
void transfer_file_lost(struct transfer *transfer, int rc);

/* What is said with 413, and twice with 507. */
extern const char transfer_too_large[], transfer_no_room[], transfer_too_many[];

/* {"id": ...} */
void transfer_file_format(struct text *text, const char *base, const struct file *file);

/* Answers that there are no files here, if so. */
bool transfer_is_refused(struct api *api, struct conn *conn);

/* Answers that there is no such file, or none that he may see. */
void transfer_missing(struct api *api, struct conn *conn);

/* Likewise no such upload in parts. */
void transfer_missing_upload(struct api *api, struct conn *conn);

#endif
