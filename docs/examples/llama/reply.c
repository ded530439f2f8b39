/* SPDX-License-Identifier: MIT */
/*
 * reply.c - writes the values.
 */
#include "reply.h"

#include <string.h>

static void put_key(struct mr_value *value, const char *key)
{
    mr_value_string(value, key, strlen(key));
}

static void put_integer(struct mr_value *value, const char *key, int64_t number)
{
    put_key(value, key);
    mr_value_integer(value, number);
}

/* A token need not be whole characters. */
static void put_token(struct mr_value *value, llama_token token, float logprob)
{
    char piece[TEXT_PIECE_BYTES_MAX], clean[3 * TEXT_PIECE_BYTES_MAX];
    int32_t bytes = library.llama_token_to_piece(model.vocab, token, piece, sizeof piece, 0, true);
    size_t count = utf8_clean(clean, piece, bytes > 0 ? (size_t)bytes : 0, NULL);
    put_integer(value, "token", token);
    put_key(value, "text");
    mr_value_string(value, clean, count);
    put_key(value, "logprob");
    mr_value_fp(value, (double)logprob);
}

static void put_logprobs(struct mr_value *value, const struct reply *reply)
{
    struct likelihood best[TOP_LOGPROBS_MAX];
    size_t count = (size_t)reply->request->logprobs;
    if (count > (size_t)model.word_count)
        count = (size_t)model.word_count;
    float own = sampling_look(reply->row, reply->token, best, count);
    put_key(value, "logprobs");
    mr_value_array(value, 1);
    mr_value_dictionary(value, 4);
    put_token(value, reply->token, own);
    put_key(value, "top");
    mr_value_array(value, count);
    for (size_t i = 0; i < count; i++) {
        mr_value_dictionary(value, 3);
        put_token(value, best[i].token, best[i].logprob);
    }
}

static void put_end(struct mr_value *value, const struct reply *reply)
{
    put_key(value, "finish_reason");
    put_key(value, reply->finish_reason);
    put_integer(value, "seed", reply->seed);
    put_key(value, "usage");
    mr_value_dictionary(value, 3);
    put_integer(value, "prompt_tokens", reply->usage->prompt_tokens);
    put_integer(value, "completion_tokens", reply->usage->completion_tokens);
    put_integer(value, "cached_tokens", reply->usage->cached_tokens);
}

/* NULL from mr_emit(): the run is lost, and about to be evicted. */
void reply_emit(struct mr_run *run, const struct reply *reply)
{
    bool has_logprobs = reply->request->logprobs >= 0;
    bool is_last = reply->finish_reason && !reply->request->is_plain;
    if (reply->text->ready == 0 && !has_logprobs && !is_last)
        return;
    struct mr_value *value = mr_emit(run);
    if (!value)
        return;
    if (!reply->request->is_plain) {
        mr_value_dictionary(value, 1u + (has_logprobs ? 1 : 0) + (is_last ? 3 : 0));
        put_key(value, "text");
    }
    mr_value_string(value, reply->text->bytes, reply->text->ready);
    if (has_logprobs)
        put_logprobs(value, reply);
    if (is_last)
        put_end(value, reply);
}
