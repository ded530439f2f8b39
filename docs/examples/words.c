/* SPDX-License-Identifier: MIT */
/*
 * words.c - streams the words of a text, one every 100 ms.
 *
 *     cc -shared -fPIC words.c -o words.so $(pkg-config --cflags millrace)
 *     millrace serve my_user/my_pipeline:v1=words.so:my_pipeline
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"pipeline":"my_user/my_pipeline:v1",
 *               "inputs":[{"type":"string","value":"hello there"}]}'
 *
 * A real pipeline would compute between two words. This one only waits, and says so with
 * mr_later_ms(), so that one worker can serve many of its streams at once.
 */
#include <string.h>

#include <millrace/pipeline.h>

#define PACE_MS 100

struct words {
    char *rest;
    char *word;  /* the next one, while its time has not come; NULL: not looked for yet */
    char text[]; /* a copy that strtok_r cuts up */
};

static int words_next(void *state, struct mr_value *out)
{
    struct words *words = state;
    if (!words->word) {
        words->word = strtok_r(NULL, " \t\n", &words->rest);
        return words->word ? mr_later_ms(out, PACE_MS) : MR_END;
    }
    const char *word = words->word;
    words->word = NULL;
    return mr_value_stringf(out, "%s ", word);
}

static int streamer(struct mr_call *call)
{
    const char *text = mr_arg_string(call, 0);
    size_t bytes = strlen(text) + 1;
    struct words *words = mr_alloc(call, sizeof *words + bytes);
    if (!words)
        return -1; /* mr_alloc() has said why */
    words->rest = memcpy(words->text, text, bytes);
    return mr_return_stream(call, &(struct mr_iterator){.state = words, .next = words_next});
}

MR_PIPELINE(my_pipeline)
{
    mr_variable input_data = mr_input(builder, MR_STRING, .title = "input_data");
    mr_variable result = mr_pipe(builder, streamer, MR_STREAM, input_data);
    mr_output(builder, result);
}
