/* SPDX-License-Identifier: MIT */
/*
 * client_inputs.c - the words of `millrace run POINTER INPUT...` become the body of a request.
 */
#include "dispatcher/cli/client/client_inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/text/utf8.h"

#define TYPE_BYTES_MAX 16u
#define READ_BYTES 65536u

/* One word on its way, `index` from 0. */
struct input {
    int index;
    char type[TYPE_BYTES_MAX]; /* "string", "integer", ... */
    const char *word;
    char *reason;
};

static int inputs_read(struct text *items, const struct json_view *variables, char *const *words,
                       int count, char reason[INPUT_REASON_BYTES]);
static int inputs_gather(struct text *items, const char *pointer, char *const *words, int count,
                         const struct client_files *files, struct text *body,
                         char reason[INPUT_REASON_BYTES]);
static int inputs_file_check(const struct input *input, struct text *item);
static void inputs_type(struct input *input, const struct json_view *variables);
static int inputs_load(const struct input *input, struct text *out);
static int inputs_add(const struct input *input, const struct text *value, struct text *body);

int client_inputs_format(struct text *body, const char *pointer, const struct json_view *variables,
                         char *const *words, int count, const struct client_files *files,
                         char reason[INPUT_REASON_BYTES])
{
    struct text *items = calloc((size_t)count + 1, sizeof(*items));
    if (!items) {
        snprintf(reason, INPUT_REASON_BYTES, "no memory");
        return -ENOMEM;
    }
    int rc = inputs_read(items, variables, words, count, reason);
    if (rc == 0)
        rc = inputs_gather(items, pointer, words, count, files, body, reason);
    for (int i = 0; i < count; i++)
        text_finish(&items[i]);
    free(items);
    return rc;
}

/* An item for each word, but for those of files that are to be uploaded or named. */
static int inputs_read(struct text *items, const struct json_view *variables, char *const *words,
                       int count, char reason[INPUT_REASON_BYTES])
{
    struct json_view variable = {0};
    bool has_more = variables != NULL;
    int rc = 0;
    for (int i = 0; rc == 0 && i < count; i++) {
        has_more = has_more && json_view_next(variables, &variable);
        struct input input = {.index = i, .word = words[i], .reason = reason};
        inputs_type(&input, has_more ? &variable : NULL);
        if (strcmp(input.type, "file") == 0) {
            rc = inputs_file_check(&input, &items[i]);
            continue;
        }
        struct text value = {0};
        rc = inputs_load(&input, &value);
        if (rc == 0)
            rc = inputs_add(&input, &value, &items[i]);
        text_finish(&value);
    }
    return rc;
}

static int inputs_gather(struct text *items, const char *pointer, char *const *words, int count,
                         const struct client_files *files, struct text *body,
                         char reason[INPUT_REASON_BYTES])
{
    text_add(body, "{\"pipeline\":");
    text_add_json(body, pointer, strlen(pointer));
    text_add(body, ",\"inputs\":[");
    for (int i = 0; i < count; i++) {
        char why[CLIENT_REASON_BYTES] = "no memory";
        int rc = items[i].count > 0 ? 0 : client_file_send(files, words[i], &items[i], why);
        if (rc < 0) {
            snprintf(reason, INPUT_REASON_BYTES, "input %d: %s", i + 1, why);
            return rc;
        }
        text_add(body, "%s", i > 0 ? "," : "");
        text_add_bytes(body, items[i].bytes, items[i].count);
    }
    text_add(body, "]}");
    if (body->failed)
        snprintf(reason, INPUT_REASON_BYTES, "no memory");
    return body->failed ? -ENOMEM : 0;
}

/* `null`, where a pipeline does without one, becomes an item at once. */
static int inputs_file_check(const struct input *input, struct text *item)
{
    char why[CLIENT_REASON_BYTES];
    if (strcmp(input->word, "null") == 0) {
        text_add(item, "{\"type\":\"none\",\"value\":null}");
        return 0;
    }
    if (client_file_word(input->word) == FILE_WORD_NONE) {
        snprintf(input->reason, INPUT_REASON_BYTES,
                 "input %d: it is a file, which is @PATH, a URL or an id of the server's, and not "
                 "'%.200s'",
                 input->index + 1, input->word);
        return -EINVAL;
    }
    int rc = client_file_check(input->word, why);
    if (rc < 0)
        snprintf(input->reason, INPUT_REASON_BYTES, "input %d: %s", input->index + 1, why);
    return rc;
}

static void inputs_type(struct input *input, const struct json_view *variable)
{
    struct json_view type;
    snprintf(input->type, sizeof(input->type), "string");
    if (variable && json_view_member(variable, "type", &type) && json_view_is_string(&type) &&
        type.bytes - 2 < TYPE_BYTES_MAX)
        snprintf(input->type, sizeof(input->type), "%.*s", (int)type.bytes - 2, type.text + 1);
}

/* ---- where the text of a value is ---------------------------------------------------------- */

static int inputs_file_read(int fd, struct text *out)
{
    for (;;) {
        char *room = text_reserve(out, READ_BYTES);
        if (!room)
            return -ENOMEM;
        ssize_t count = read(fd, room, READ_BYTES);
        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0 ? 0 : -errno;
        out->count += (size_t)count;
        if (out->count > INPUT_FILE_BYTES_MAX)
            return -EFBIG;
    }
}

static int inputs_load(const struct input *input, struct text *out)
{
    const char *word = input->word;
    if (word[0] != '@' || word[1] == '@') {
        text_add_bytes(out, word + (word[0] == '@' ? 1 : 0),
                       strlen(word) - (word[0] == '@' ? 1 : 0));
        return out->failed ? -ENOMEM : 0;
    }
    bool is_stdin = strcmp(word, "@-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(word + 1, O_RDONLY | O_CLOEXEC);
    int rc = fd == -1 ? -errno : inputs_file_read(fd, out);
    if (fd != -1 && !is_stdin)
        close(fd);
    if (rc < 0)
        snprintf(input->reason, INPUT_REASON_BYTES, "input %d: %.300s: %s", input->index + 1,
                 is_stdin ? "stdin" : word + 1, strerror(-rc));
    return rc;
}

/* ---- what it is in the request ------------------------------------------------------------- */

static int inputs_add_json(const struct input *input, const struct text *value, struct text *body)
{
    struct json_view view;
    struct json_error error;
    int rc = json_view_parse(&view, value->bytes ? value->bytes : "", value->count, &error);
    if (rc == 0)
        text_add_bytes(body, view.text, view.bytes);
    else
        snprintf(input->reason, INPUT_REASON_BYTES,
                 "input %d: it is of type %s, which is written as JSON: %s", input->index + 1,
                 input->type, rc == -ENOMEM ? "no memory" : error.message);
    return rc;
}

static int inputs_add(const struct input *input, const struct text *value, struct text *body)
{
    text_add(body, "{\"type\":");
    text_add_json(body, input->type, strlen(input->type));
    text_add(body, ",\"value\":");
    int rc = 0;
    if (strcmp(input->type, "string") != 0) {
        rc = inputs_add_json(input, value, body);
    } else if (!utf8_is_valid(value->bytes ? value->bytes : "", value->count)) {
        snprintf(input->reason, INPUT_REASON_BYTES, "input %d: the text is not UTF-8",
                 input->index + 1);
        rc = -EINVAL;
    } else {
        text_add_json(body, value->bytes ? value->bytes : "", value->count);
    }
    text_add(body, "}");
    return rc;
}
