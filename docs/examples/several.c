/* SPDX-License-Identifier: MIT */
/*
 * several.c - several pipes in a graph, several outputs, a state and a startup hook.
 *
 *     cc -shared -fPIC several.c -o several.so $(pkg-config --cflags millrace)
 *     millrace serve several.so:several
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string","value":"  Hello there  "},
 *                         {"type":"integer","value":null}]}'
 *
 * Each line has one value of each output: streams advance together, a plain value is repeated, and
 * a stream that is exhausted gives none while the others go on.
 *
 *   several    text, limit -> trim -> text
 *                               +---> words (stream)
 *                               +---> letters (stream, at most `limit` of them)
 *                               +---> summary (plain): a dictionary
 *   lockstep   the streams 1, 2, 3, 4 and hello, world with a plain "static" between them
 *   paced      the same, where the second stream takes its time
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/pipeline.h>

/* ---- several ------------------------------------------------------------------------------- */

/* One for each worker: what lives longer than a run. */
struct several {
    bool is_started;
    int64_t run_count;
};

/* A place in a text that lives as long as the run. */
struct cursor {
    const char *at;
    const char *end;
};

static int start_up(struct mr_call *call)
{
    struct several *several = mr_state(call);
    several->is_started = true;
    mr_log(MR_LOG_INFO, "several is ready");
    return 0;
}

static void shut_down(void *state)
{
    struct several *several = state;
    mr_log(MR_LOG_INFO, "several served %lld runs", (long long)several->run_count);
    free(several);
}

/* A plain pipe: its result is an argument of the others. */
static int trim(struct mr_call *call)
{
    const struct mr_object *text = mr_arg(call, 0);
    const char *start = text->u.string.bytes;
    const char *end = start + text->u.string.count;
    while (start < end && isspace((unsigned char)*start))
        start++;
    while (end > start && isspace((unsigned char)end[-1]))
        end--;
    return mr_value_string(mr_return(call), start, (size_t)(end - start));
}

static int return_cursor(struct mr_call *call, int (*next)(void *, struct mr_value *),
                         size_t count_max)
{
    const struct mr_object *text = mr_arg(call, 0);
    size_t count = text->u.string.count < count_max ? text->u.string.count : count_max;
    struct cursor *cursor = malloc(sizeof *cursor);
    if (!cursor)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    *cursor = (struct cursor){text->u.string.bytes, text->u.string.bytes + count};
    const struct mr_iterator iterator = {
        .state = cursor,
        .next = next,
        .close = free,
    };
    return mr_return_stream(call, &iterator);
}

static int words_next(void *state, struct mr_value *out)
{
    struct cursor *cursor = state;
    while (cursor->at < cursor->end && *cursor->at == ' ')
        cursor->at++;
    if (cursor->at == cursor->end)
        return MR_END;
    const char *word = cursor->at;
    while (cursor->at < cursor->end && *cursor->at != ' ')
        cursor->at++;
    return mr_value_string(out, word, (size_t)(cursor->at - word));
}

static int words(struct mr_call *call)
{
    return return_cursor(call, words_next, SIZE_MAX);
}

static int letters_next(void *state, struct mr_value *out)
{
    struct cursor *cursor = state;
    if (cursor->at == cursor->end)
        return MR_END;
    return mr_value_string(out, cursor->at++, 1);
}

static int letters(struct mr_call *call)
{
    bool has_limit = mr_arg(call, 1)->type != MR_NONE;
    if (has_limit && mr_arg_integer(call, 1) < 0)
        return mr_fail(call, MR_ERROR_INPUT, "a limit of %lld letters",
                       (long long)mr_arg_integer(call, 1));
    return return_cursor(call, letters_next,
                         has_limit ? (size_t)mr_arg_integer(call, 1) : SIZE_MAX);
}

static int summary(struct mr_call *call)
{
    struct several *several = mr_state(call);
    struct mr_value *out = mr_return(call);
    mr_value_dictionary(out, 3);
    mr_value_string(out, "bytes", 5);
    mr_value_integer(out, (int64_t)mr_arg(call, 0)->u.string.count);
    mr_value_string(out, "run", 3);
    mr_value_integer(out, several->run_count++);
    mr_value_string(out, "started", 7);
    return mr_value_boolean(out, several->is_started);
}

MR_PIPELINE(several)
{
    mr_set_state(builder, calloc(1, sizeof(struct several)), shut_down);
    mr_on_startup(builder, start_up);
    mr_variable text = mr_input(builder, MR_STRING, .title = "text", .min_length = 1);
    mr_variable limit = mr_input(builder, MR_INTEGER, .title = "limit", .optional = true,
                                 .description = "letters at most", .ge = "0");
    mr_variable trimmed = mr_pipe(builder, trim, MR_STRING, text);
    mr_output(builder, mr_pipe(builder, words, MR_STREAM, trimmed));
    mr_output(builder, mr_pipe(builder, letters, MR_STREAM, trimmed, limit));
    mr_output(builder, mr_pipe(builder, summary, MR_DICTIONARY, trimmed));
}

/* ---- lockstep, paced ----------------------------------------------------------------------- */

struct list {
    const char *const *texts; /* NULL: numbers */
    int64_t count;
    int64_t next;
    uint64_t pace_ms;
    bool has_waited;
};

static int list_next(void *state, struct mr_value *out)
{
    struct list *list = state;
    if (list->pace_ms > 0 && !list->has_waited) {
        list->has_waited = true;
        return mr_later_ms(out, list->pace_ms);
    }
    list->has_waited = false;
    if (list->next == list->count)
        return MR_END;
    int64_t index = list->next++;
    if (!list->texts)
        return mr_value_integer(out, index + 1);
    return mr_value_stringf(out, "%s", list->texts[index]);
}

static int return_list(struct mr_call *call, struct list list)
{
    struct list *copy = malloc(sizeof *copy);
    if (!copy)
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    *copy = list;
    const struct mr_iterator iterator = {
        .state = copy,
        .next = list_next,
        .close = free,
    };
    return mr_return_stream(call, &iterator);
}

static const char *const greeting[] = {"hello", "world"};

static int one_to_four(struct mr_call *call)
{
    return return_list(call, (struct list){.count = 4});
}

static int hello_world(struct mr_call *call)
{
    return return_list(call, (struct list){.texts = greeting, .count = 2});
}

static int slow_hello_world(struct mr_call *call)
{
    return return_list(call, (struct list){.texts = greeting, .count = 2, .pace_ms = 20});
}

static int constant(struct mr_call *call)
{
    return mr_value_stringf(mr_return(call), "static");
}

MR_PIPELINE(lockstep)
{
    mr_output(builder, mr_pipe(builder, one_to_four, MR_STREAM));
    mr_output(builder, mr_pipe(builder, constant, MR_STRING));
    mr_output(builder, mr_pipe(builder, hello_world, MR_STREAM));
}

MR_PIPELINE(paced)
{
    mr_output(builder, mr_pipe(builder, one_to_four, MR_STREAM));
    mr_output(builder, mr_pipe(builder, constant, MR_STRING));
    mr_output(builder, mr_pipe(builder, slow_hello_world, MR_STREAM));
}
