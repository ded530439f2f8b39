/* SPDX-License-Identifier: MIT */
/*
 * client_files.h - files on their way between this machine and a server: what @photo.jpg names is
 * uploaded, what a run gives is saved.
 *
 * Nothing that a server says becomes a path: of a name what follows the last slash is taken, made
 * harmless, and no file that is there is written over.
 */
#ifndef DISPATCHER_CLIENT_FILES_H
#define DISPATCHER_CLIENT_FILES_H

#include "dispatcher/cli/client/client.h"
#include "dispatcher/text/json_view.h"
#include "dispatcher/text/text.h"
#include "millrace/check.h"

struct client_files {
    struct client *client; /* borrowed, with no request under way */
    const char *folder;    /* where files are saved; NULL: the current one */
    client_told *told;     /* how far each is; NULL: nobody wants to know */
    void *context;
};

/* What a word says of a file: @PATH, @- (stdin), a URL with or without an @, the id of a file on
 * the server. */
enum file_word { FILE_WORD_NONE = 0, FILE_WORD_PATH, FILE_WORD_URL, FILE_WORD_ID };

enum file_word client_file_word(const char *word);

/* Whether what @PATH names could be sent: 0, or -errno with `reason`. */
int client_file_check(const char *word, char reason[CLIENT_REASON_BYTES]) MUST_USE;

/* Adds what a request says of the file: {"type":"file",...}. What is on this machine is uploaded
 * before. 0; -ENOMEM; else a negative errno as client_request() has it, -EPROTO when the server
 * does not take it, with `reason`. */
int client_file_send(const struct client_files *files, const char *word, struct text *item,
                     char reason[CLIENT_REASON_BYTES]) MUST_USE;

/* Saves the `file` of an output, {"name":...,"path":...,"size":...,"url":...}, under a name that
 * was free, and adds its path. Likewise; nothing is left of one that did not come whole. */
int client_file_save(const struct client_files *files, const struct json_view *file,
                     struct text *path, char reason[CLIENT_REASON_BYTES]) MUST_USE;

#endif
