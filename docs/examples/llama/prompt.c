/* SPDX-License-Identifier: MIT */
/*
 * prompt.c - the tokenizer, and templates of chats.
 *
 * llama.cpp throws where text is no UTF-8, and no C program can catch that: it is looked at before.
 */
#include "prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define MESSAGE_COUNT_MAX 4096

#define refuse(why, ...) (snprintf((why)->text, sizeof(why)->text, __VA_ARGS__), -1)

/* No text of so many bytes has so few tokens: then the tokenizer is spared. */
static bool is_too_long(size_t count, int32_t limit)
{
    return count > (size_t)limit * (size_t)model.piece_bytes_max;
}

static int32_t tokenize(const char *bytes, size_t count, bool has_special, llama_token *tokens,
                        int32_t limit, struct refusal *why)
{
    if (is_too_long(count, limit))
        return refuse(why, "the prompt of %zu bytes is longer than the context of %d tokens", count,
                      limit);
    int32_t written = library.llama_tokenize(model.vocab, bytes, (int32_t)count, tokens, limit,
                                             true, has_special);
    if (written < 0)
        return refuse(why, "the prompt has %d tokens, the context %d", -written, limit);
    if (written == 0)
        return refuse(why, "the prompt is empty, and the model has no token to begin with");
    return written;
}

int32_t prompt_read(const struct mr_object *prompt, llama_token *tokens, int32_t limit,
                    struct refusal *why)
{
    const char *bytes = prompt->u.string.bytes;
    size_t count = prompt->u.string.count;
    if (!utf8_is_valid(bytes, count))
        return refuse(why, "the prompt is not UTF-8");
    return tokenize(bytes, count, false, tokens, limit, why);
}

/* Returns 0, or -1 and why. The text is used as a C string. */
static int read_member(const struct mr_object *message, size_t index, const char *name,
                       const char **text, size_t *bytes, struct refusal *why)
{
    const struct mr_object *member = mr_object_get(message, name);
    if (!member || member->type != MR_STRING)
        return refuse(why, "messages[%zu] has no \"%s\" that is a string", index, name);
    size_t count = member->u.string.count;
    if (memchr(member->u.string.bytes, '\0', count))
        return refuse(why, "messages[%zu]: \"%s\" has a NUL", index, name);
    if (!utf8_is_valid(member->u.string.bytes, count))
        return refuse(why, "messages[%zu]: \"%s\" is not UTF-8", index, name);
    *text = member->u.string.bytes;
    *bytes += count;
    return 0;
}

static int read_chat(const struct mr_object *messages, struct llama_chat_message *chat,
                     size_t *bytes, struct refusal *why)
{
    for (size_t i = 0; i < messages->u.array.count; i++) {
        const struct mr_object *message = &messages->u.array.items[i];
        if (message->type != MR_DICTIONARY || message->u.dictionary.count != 2)
            return refuse(why, "messages[%zu] is not {\"role\", \"content\"}", i);
        if (read_member(message, i, "role", &chat[i].role, bytes, why) != 0 ||
            read_member(message, i, "content", &chat[i].content, bytes, why) != 0)
            return -1;
    }
    return 0;
}

static int32_t apply_template(const struct llama_chat_message *chat, size_t count, size_t bytes,
                              llama_token *tokens, int32_t limit, struct refusal *why)
{
    int32_t most = (int32_t)(bytes + 256 * (count + 1));
    char *text = malloc((size_t)most);
    if (!text)
        return refuse(why, "out of memory");
    int32_t written =
        library.llama_chat_apply_template(model.template, chat, count, true, text, most);
    if (written < 0 || written > most)
        written = refuse(why, "the model's chat template is none that llama.cpp knows; "
                              "give a prompt instead");
    else
        written = tokenize(text, (size_t)written, true, tokens, limit, why);
    free(text);
    return written;
}

int32_t prompt_read_messages(const struct mr_object *messages, llama_token *tokens, int32_t limit,
                             struct refusal *why)
{
    size_t count = messages->u.array.count, bytes = 0;
    if (!model.template)
        return refuse(why, "the model has no chat template; give a prompt instead");
    if (count < 1 || count > MESSAGE_COUNT_MAX)
        return refuse(why, "messages: from 1 to %d", MESSAGE_COUNT_MAX);
    struct llama_chat_message *chat = calloc(count, sizeof *chat);
    if (!chat)
        return refuse(why, "out of memory");
    int32_t written = read_chat(messages, chat, &bytes, why);
    if (written == 0 && is_too_long(bytes, limit))
        written = refuse(why, "the messages of %zu bytes are longer than the context of %d tokens",
                         bytes, limit);
    if (written == 0)
        written = apply_template(chat, count, bytes, tokens, limit, why);
    free(chat);
    return written;
}
