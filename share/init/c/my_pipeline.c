/* my_pipeline.c - the words of a text, as they come. */
#include <string.h>

#include <millrace/pipeline.h>

struct words {
    char *rest;
    char text[]; /* a copy, which is cut up */
};

/* The next word; NULL: there are no more. */
static const char *word_take(char **rest)
{
    return strtok_r(NULL, " \t\n", rest);
}

/* Each value goes to the client when it is made: here the tokens of a model would come. */
static int words_next(void *state, struct mr_value *out)
{
    struct words *words = state;
    const char *word = word_take(&words->rest);
    return word ? mr_value_stringf(out, "%s ", word) : MR_END;
}

static int words_of(struct mr_call *call)
{
    const char *text = mr_arg_string(call, 0);
    size_t bytes = strlen(text) + 1;
    struct words *words = mr_alloc(call, sizeof *words + bytes);
    if (!words)
        return -1;
    words->rest = memcpy(words->text, text, bytes);
    return mr_return_stream(call, &(struct mr_iterator){.state = words, .next = words_next});
}

MR_PIPELINE(my_pipeline)
{
    mr_variable text =
        mr_input(builder, MR_STRING, .title = "text", .description = "what is cut into words");
    mr_output(builder, mr_pipe(builder, words_of, MR_STREAM, text));
}
