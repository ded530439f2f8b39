/* SPDX-License-Identifier: MIT */
/*
 * client.h - HTTP requests to a millrace server, for `millrace run` and what asks the control
 * socket. The only user of libcurl.
 *
 * Waits: nothing here belongs into the loop. One request at a time, each on a connection of its
 * own: libcurl sends a request again when the server closes a connection that was used before, and
 * a run must not begin twice. The end of the process closes the connection, which cancels what
 * still runs.
 */
#ifndef DISPATCHER_CLIENT_H
#define DISPATCHER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "millrace/check.h"

#define CLIENT_REASON_BYTES 512u
#define CLIENT_STATE_BYTES 16u
#define CLIENT_URL_BYTES 256u

#define CLIENT_URL_DEFAULT "http://127.0.0.1:8080"

struct client_options {
    const char *url;     /* http://HOST:PORT, https://...; the routes are below it */
    const char *token;   /* NULL: none */
    uint32_t timeout_ms; /* of each request as a whole; 0: none */
    const char *ca_file; /* who may sign the server's certificate; NULL: whom the system trusts */
    const char *socket_path; /* a unix socket in place of the URL's host; NULL: none */
    /* Later requests go over the connection of the first one, which libcurl may send again. */
    bool keeps_connection;
    /* Asked at least once a second while a request waits; false: it ends with -ECANCELED. NULL:
     * it waits on. */
    bool (*goes_on)(void *context);
    void *context;
};

struct client;

/* What was learned of one answer, apart from its body. */
struct client_answer {
    long status;
    /* The trailers that prove a stream complete; "" and UINT64_MAX when they did not come. */
    char run_state[CLIENT_STATE_BYTES];
    uint64_t run_line_count;
    uint64_t log_bytes; /* of the body, those that were in the log before; UINT64_MAX: not said */
    int os_error;       /* why no connection came about; 0: not known */
    char elsewhere
        [CLIENT_URL_BYTES]; /* where it says that the answer is; "": not said, or too long */
};

/* How far a file is: `done` of its `bytes`, which are UINT64_MAX where nobody knows. When they are
 * the same it is over. */
typedef void client_told(void *context, const char *name, uint64_t done, uint64_t bytes);

/* A file that is sent. */
struct client_file {
    const char *name;  /* what the server is told that it is called */
    int fd;            /* the caller's; it is read from where it stands */
    uint64_t bytes;    /* UINT64_MAX: to its end */
    client_told *told; /* NULL: nobody wants to know */
    void *context;     /* for told() */
    uint64_t sent;     /* outcome */
    int error;         /* outcome: an errno of reading it; 0 */
};

/* Takes a piece of the body of an answer with `status`. False: no more of it is wanted. */
typedef bool client_consumer(void *context, long status, const char *bytes, size_t count);

/* NULL: no memory, or no libcurl on this machine. The options' texts are copied. */
struct client *client_create(const struct client_options *options,
                             char reason[CLIENT_REASON_BYTES]);
void client_destroy(struct client *client);

/* One request; `body` NULL: GET, else POST of JSON. Returns when the answer has come to its end:
 *   0              and it was whole, whatever its status
 *   -EINVAL        the URL is none that can be used, or ca_file holds no certificates
 *   -ECONNREFUSED  nobody answers there, or nobody who is known to be the server
 *   -ETIMEDOUT     the time is up
 *   -EPIPE         the answer was cut: neither a length nor a last chunk says that this was all
 *   -ECONNRESET    the connection was closed before the request was sent
 *   -ECANCELED     the consumer wanted no more, or goes_on() said so
 *   -EIO           anything else
 * and, but for 0 and -ECANCELED, one line in `reason`. What a header says is in *answer before the
 * consumer is given the first piece. */
int client_request(struct client *client, const char *path, const char *body, size_t body_bytes,
                   client_consumer *consumer, void *context, struct client_answer *answer,
                   char reason[CLIENT_REASON_BYTES]) MUST_USE;

/* POST of a file as it is, read while it is sent. Likewise; -EIO, too, when it cannot be read. */
int client_upload(struct client *client, const char *path, struct client_file *file,
                  client_consumer *consumer, void *context, struct client_answer *answer,
                  char reason[CLIENT_REASON_BYTES]) MUST_USE;

/* GET of a whole URL, wherever that is: without the token. */
int client_fetch(struct client *client, const char *url, client_consumer *consumer, void *context,
                 struct client_answer *answer, char reason[CLIENT_REASON_BYTES]) MUST_USE;

/* The process that listens on the unix socket of a kept connection; 0: it is not known, or in
 * another namespace. */
pid_t client_peer_pid(struct client *client);

#endif
