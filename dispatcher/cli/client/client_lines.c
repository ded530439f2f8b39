/* SPDX-License-Identifier: MIT */
/*
 * client_lines.c - the answer to a run, piece by piece: lines are printed as soon as they are
 * whole.
 */
#include "dispatcher/cli/client/client_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/client/client_refusal.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/text/json_view.h"
#include "millrace/limits.h"

static void lines_take(struct client_lines *lines, long status);
static void lines_error_say(struct client_lines *lines, const struct json_view *error);
static void lines_detail_say(struct client_lines *lines, long status,
                             const struct json_view *detail);
static void lines_reason_lacks(struct client_lines *lines);
static void lines_outputs_print(struct client_lines *lines, const struct json_view *outputs);

bool client_lines_take(struct client_lines *lines, long status, const char *bytes, size_t count)
{
    while (count > 0 && lines->end == LINES_OPEN) {
        const char *newline = memchr(bytes, '\n', count);
        size_t part = newline ? (size_t)(newline - bytes) : count;
        text_add_bytes(&lines->line, bytes, part);
        if (lines->line.failed || lines->line.count > LINE_BYTES_MAX) {
            cli_fail("%s: a line of the answer is too long", lines->command);
            lines->end = LINES_UNREADABLE;
        }
        if (newline)
            lines_take(lines, status);
        part += newline ? 1 : 0;
        bytes += part;
        count -= part;
    }
    return lines->end == LINES_OPEN;
}

void client_lines_finish(struct client_lines *lines, long status, bool is_whole)
{
    if (is_whole && lines->end == LINES_OPEN)
        lines_take(lines, status);
    text_finish(&lines->line);
    text_finish(&lines->saved);
    text_finish(&lines->saved_before);
}

static bool lines_is_blank(const struct text *line)
{
    for (size_t i = 0; i < line->count; i++)
        if (line->bytes[i] != ' ' && line->bytes[i] != '\r' && line->bytes[i] != '\t')
            return false;
    return true;
}

/* Of a server that sends what no id is, none is taken. */
static void lines_run_id_take(struct client_lines *lines, const struct json_view *line)
{
    struct json_view id;
    if (!json_view_member(line, "id", &id) || id.bytes != RUN_ID_BYTES - 1 + 2)
        return;
    for (size_t i = 1; i < id.bytes - 1; i++)
        if (!((id.text[i] >= '0' && id.text[i] <= '9') ||
              (id.text[i] >= 'a' && id.text[i] <= 'z') || id.text[i] == '_'))
            return;
    memcpy(lines->run_id, id.text + 1, RUN_ID_BYTES - 1);
}

static bool lines_is_failed(const struct json_view *line)
{
    static const char failed[] = "\"failed\"";
    struct json_view state;
    return json_view_member(line, "state", &state) && state.bytes == sizeof failed - 1 &&
           memcmp(state.text, failed, state.bytes) == 0;
}

static void lines_read(struct client_lines *lines, long status)
{
    struct json_view line, part;
    struct json_error error = {.message = "no object"};
    int rc = json_view_parse(&line, lines->line.bytes, lines->line.count, &error);
    if (rc < 0 || line.text[0] != '{') {
        if (status == 200)
            cli_fail("%s: line %llu of the answer is no result: %s", lines->command,
                     (unsigned long long)lines->output_count + 1, error.message);
        else
            cli_fail("%s: the server answered with status %ld", lines->command, status);
        lines->end = LINES_UNREADABLE;
        return;
    }
    if (lines->run_id[0] == '\0')
        lines_run_id_take(lines, &line);
    if (json_view_member(&line, "error", &part) && !json_view_is_null(&part))
        lines_error_say(lines, &part);
    else if (json_view_member(&line, "detail", &part))
        lines_detail_say(lines, status, &part);
    else if (lines_is_failed(&line))
        lines_reason_lacks(lines);
    if (json_view_member(&line, "outputs", &part) && !json_view_is_null(&part))
        lines_outputs_print(lines, &part);
}

/* A file or another program gets every byte. */
static void lines_bytes_print(const struct client_lines *lines, const char *bytes, size_t count)
{
    if (lines->is_terminal)
        cli_print_value(lines->out, bytes, count);
    else
        fwrite(bytes, 1, count, lines->out);
}

/* Blank lines say that the server is alive, and nothing else. */
static void lines_take(struct client_lines *lines, long status)
{
    if (!lines_is_blank(&lines->line)) {
        if (lines->is_json) {
            lines_bytes_print(lines, lines->line.bytes, lines->line.count);
            fputc('\n', lines->out);
        }
        lines_read(lines, status);
        if (fflush(lines->out) == EOF && lines->end == LINES_OPEN) {
            cli_fail("%s: cannot write to stdout: %s", lines->command, strerror(errno));
            lines->end = LINES_NO_OUTPUT;
        }
    }
    lines->line.count = 0;
}

/* ---- what went wrong ----------------------------------------------------------------------- */

static void lines_error_say(struct client_lines *lines, const struct json_view *error)
{
    struct text type = {0}, message = {0}, traceback = {0};
    const char *type_text = client_member_text(error, "type", &type);
    const char *message_text = client_member_text(error, "message", &message);
    const char *traceback_text = client_member_text(error, "traceback", &traceback);
    cli_fail("%s: %s: %s", lines->command, type_text ? type_text : "unknown",
             message_text ? message_text : "");
    if (traceback_text)
        cli_print_lines(stderr, traceback_text, strlen(traceback_text));
    lines->is_failed = true;
    text_finish(&type);
    text_finish(&message);
    text_finish(&traceback);
}

static void lines_reason_lacks(struct client_lines *lines)
{
    cli_fail("%s: the run failed, and the answer does not say why", lines->command);
    lines->is_failed = true;
}

static void lines_detail_say(struct client_lines *lines, long status,
                             const struct json_view *detail)
{
    struct text text = {0};
    client_detail_add(status, detail, &text);
    cli_fail("%s: %.*s", lines->command, (int)text.count, text.bytes ? text.bytes : "");
    lines->is_failed = true;
    text_finish(&text);
}

/* ---- values -------------------------------------------------------------------------------- */

/* What a file says of itself where a value is: {"type":"file","file":{...}}. */
static bool lines_is_file(const struct json_view *value, struct json_view *file)
{
    static const char word[] = "\"file\"";
    struct json_view type, name;
    return json_view_member(value, "type", &type) && type.bytes == sizeof word - 1 &&
           memcmp(type.text, word, type.bytes) == 0 && json_view_member(value, "file", file) &&
           json_view_member(file, "name", &name) && json_view_is_string(&name);
}

/* Where a file was saved that the server has at `path`, a NUL behind it; NULL: nowhere. */
static const char *lines_saved_find(const struct text *saved, const char *path)
{
    const char *at = saved->bytes, *end = at ? at + saved->count : NULL;
    while (at < end) {
        const char *ours = at + strlen(at) + 1;
        if (strcmp(at, path) == 0)
            return ours;
        at = ours + strlen(ours) + 1;
    }
    return NULL;
}

static void lines_saved_add(struct text *saved, const char *path, const char *ours, size_t bytes)
{
    if (saved->failed)
        return;
    text_add_bytes(saved, path, strlen(path) + 1);
    text_add_bytes(saved, ours, bytes);
    text_add_bytes(saved, "", 1);
    if (saved->failed)
        text_finish(saved); /* then it is saved again */
}

/* Adds the path that it has now. */
static void lines_file_save(struct client_lines *lines, const struct json_view *file,
                            struct text *ours)
{
    char reason[CLIENT_REASON_BYTES] = "no memory";
    struct text text = {0};
    const char *path = client_member_text(file, "path", &text);
    const char *known = path ? lines_saved_find(&lines->saved_before, path) : NULL;
    if (!known && path)
        known = lines_saved_find(&lines->saved, path);
    if (known) {
        text_add(ours, "%s", known);
    } else if (client_file_save(lines->files, file, ours, reason) < 0) {
        cli_fail("%s: %s", lines->command, reason);
        lines->is_failed = true;
    } else if (lines->is_json) {
        fprintf(stderr, "%.*s\n", (int)ours->count, ours->bytes);
    }
    if (path && ours->count > 0)
        lines_saved_add(&lines->saved, path, ours->bytes, ours->count);
    text_finish(&text);
}

/* A list or a dictionary of which the parts are being added, and the part that it is at. */
struct lines_level {
    struct json_view whole, key, part;
    bool is_begun;
};

/* Adds what stands before the next part, which is then in the level; at the end what stands behind
 * the last one, and false. */
static bool lines_level_next(struct lines_level *level, struct text *out)
{
    const bool is_list = level->whole.text[0] == '[';
    const bool has_more = is_list ? json_view_next(&level->whole, &level->part)
                                  : json_view_next_member(&level->whole, &level->key, &level->part);
    if (!level->is_begun)
        text_add(out, "%s", is_list ? "[" : "{");
    else if (has_more)
        text_add(out, ",");
    level->is_begun = true;
    if (!has_more)
        text_add(out, "%s", is_list ? "]" : "}");
    else if (!is_list)
        text_add(out, "%.*s:", (int)level->key.bytes, level->key.text);
    return has_more;
}

/* Adds the JSON of a list or a dictionary with paths in the place of the files in it, however deep
 * they are. */
static void lines_inner_add(struct client_lines *lines, const struct json_view *value,
                            struct text *out)
{
    static struct lines_level levels[JSON_DEPTH_MAX]; /* large for a stack */
    uint32_t depth = 1;
    levels[0] = (struct lines_level){.whole = *value};
    while (depth > 0) {
        struct lines_level *level = &levels[depth - 1];
        struct json_view file;
        if (!lines_level_next(level, out)) {
            depth--;
        } else if (lines_is_file(&level->part, &file)) {
            struct text path = {0};
            lines_file_save(lines, &file, &path);
            text_add_json(out, path.bytes ? path.bytes : "", path.count);
            text_finish(&path);
        } else if ((level->part.text[0] == '[' || level->part.text[0] == '{') &&
                   depth < ARRAY_COUNT(levels)) {
            levels[depth++] = (struct lines_level){.whole = level->part};
        } else {
            text_add_bytes(out, level->part.text, level->part.bytes);
        }
    }
}

/* Whether there may be files in it: most values have none, and stay as they came. */
static bool lines_may_have_files(const struct json_view *value)
{
    static const char word[] = "\"file\"";
    return (value->text[0] == '[' || value->text[0] == '{') &&
           memmem(value->text, value->bytes, word, sizeof word - 1) != NULL;
}

static void lines_output_add(struct client_lines *lines, const struct json_view *output,
                             struct text *out)
{
    struct json_view value, file;
    if (lines->files && lines_is_file(output, &file))
        lines_file_save(lines, &file, out);
    else if (json_view_member(output, "value", &value) && lines->files &&
             lines_may_have_files(&value))
        lines_inner_add(lines, &value, out);
    else if (json_view_member(output, "value", &value))
        client_value_add(&value, out);
}

/* Values of one line are apart by tabs; strings are their characters, files their paths, everything
 * else is JSON. */
static void lines_outputs_print(struct client_lines *lines, const struct json_view *outputs)
{
    struct json_view output = {0};
    bool is_first = true;
    lines->output_count++;
    if (lines->is_json && !lines->files)
        return;
    while (json_view_next(outputs, &output)) {
        struct text text = {0};
        lines_output_add(lines, &output, &text);
        if (!is_first && !lines->is_json)
            fputc('\t', lines->out);
        is_first = false;
        if (text.count > 0 && !lines->is_json)
            lines_bytes_print(lines, text.bytes, text.count);
        text_finish(&text);
    }
    if (!lines->is_json)
        fputc('\n', lines->out);
    text_finish(&lines->saved_before);
    lines->saved_before = lines->saved;
    lines->saved = (struct text){0};
}
