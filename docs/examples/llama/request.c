/* SPDX-License-Identifier: MIT */
/*
 * request.c - one table of numbers, and the options that are none.
 */
#include "request.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grammar.h"

#define refuse(why, ...) (snprintf((why)->text, sizeof(why)->text, __VA_ARGS__), -1)

#define SEED_MAX 4294967294LL /* one more means any, to llama.cpp */

struct number {
    const char *name;
    size_t offset; /* in struct request */
    bool is_integer;
    double least, most, usual;
};

#define INTEGER(name, least, most, usual)                                                          \
    {                                                                                              \
#name, offsetof(struct request, name), true, least, most, usual                            \
    }
#define FRACTION(name, least, most, usual)                                                         \
    {                                                                                              \
#name, offsetof(struct request, name), false, least, most, usual                           \
    }

static const struct number numbers[] = {
    FRACTION(temperature, 0, 100, 0.8),
    FRACTION(top_p, 0, 1, 0.95),
    FRACTION(min_p, 0, 1, 0.05),
    INTEGER(top_k, 0, INT32_MAX, 40),
    FRACTION(repeat_penalty, 0.01, 100, 1),
    FRACTION(frequency_penalty, -2, 2, 0),
    FRACTION(presence_penalty, -2, 2, 0),
    INTEGER(repeat_last_n, 0, 65536, 64),
    INTEGER(seed, 0, SEED_MAX, -1),
    INTEGER(max_tokens, 1, INT32_MAX, -1),
    INTEGER(logprobs, 0, TOP_LOGPROBS_MAX, -1),
};

const char request_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":100,\"default\":0.8},"
    "\"top_p\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.95},"
    "\"min_p\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.05},"
    "\"top_k\":{\"type\":\"integer\",\"minimum\":0,\"default\":40},"
    "\"repeat_penalty\":{\"type\":\"number\",\"minimum\":0.01,\"maximum\":100,\"default\":1},"
    "\"frequency_penalty\":{\"type\":\"number\",\"minimum\":-2,\"maximum\":2,\"default\":0},"
    "\"presence_penalty\":{\"type\":\"number\",\"minimum\":-2,\"maximum\":2,\"default\":0},"
    "\"repeat_last_n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":65536,\"default\":64},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967294},"
    "\"max_tokens\":{\"type\":\"integer\",\"minimum\":1},"
    "\"logprobs\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":20},"
    "\"stop\":{\"type\":[\"string\",\"array\"],\"items\":{\"type\":\"string\"},\"maxItems\":16},"
    "\"ignore_eos\":{\"type\":\"boolean\",\"default\":false},"
    "\"grammar\":{\"type\":\"string\"},"
    "\"plain\":{\"type\":\"boolean\",\"default\":false}}}";

/* NAN: it is no number. */
static double number_of(const struct mr_object *value, bool is_integer)
{
    if (value->type == MR_INTEGER)
        return value->is_unsigned ? (double)value->u.natural : (double)value->u.integer;
    if (value->type == MR_FP && (!is_integer || value->u.fp == floor(value->u.fp)))
        return value->u.fp;
    return NAN;
}

static void set_number(struct request *request, const struct number *number, double value)
{
    char *member = (char *)request + number->offset;
    int64_t integer = (int64_t)value;
    if (number->is_integer)
        memcpy(member, &integer, sizeof integer);
    else
        memcpy(member, &value, sizeof value);
}

/* 1: the option is such a number; 0: it is none of these; -1, and why: it cannot be. */
static int read_number(struct request *request, const char *name, const struct mr_object *value,
                       struct refusal *why)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct number *number = &numbers[i];
        if (strcmp(number->name, name) != 0)
            continue;
        double given = number_of(value, number->is_integer);
        if (!(given >= number->least && given <= number->most))
            return refuse(why, "options: %s is %s from %.10g to %.10g", name,
                          number->is_integer ? "an integer" : "a number", number->least,
                          number->most);
        set_number(request, number, given);
        return 1;
    }
    return 0;
}

static int read_stop(struct request *request, const struct mr_object *value, struct refusal *why)
{
    bool is_array = value->type == MR_ARRAY;
    const struct mr_object *items = is_array ? value->u.array.items : value;
    request->stop_count = is_array ? value->u.array.count : 1;
    if (request->stop_count > STOP_COUNT_MAX)
        return refuse(why, "options: stop has at most %d strings", STOP_COUNT_MAX);
    for (size_t i = 0; i < request->stop_count; i++) {
        if (items[i].type != MR_STRING || items[i].u.string.count < 1 ||
            items[i].u.string.count > STOP_BYTES_MAX)
            return refuse(why,
                          "options: stop is a string, or an array of strings, of 1 to %d bytes",
                          STOP_BYTES_MAX);
        request->stops[i] = (struct stop){items[i].u.string.bytes, items[i].u.string.count};
    }
    return 0;
}

static int read_grammar(struct request *request, const struct mr_object *value, struct refusal *why)
{
    uint32_t most = model.settings.grammar_bytes_max;
    if (most == 0)
        return refuse(why, "options: this server takes no grammar");
    if (value->type != MR_STRING || value->u.string.count < 1 || value->u.string.count > most)
        return refuse(why, "options: grammar is a string of 1 to %u bytes", most);
    const char *bytes = value->u.string.bytes;
    size_t count = value->u.string.count;
    if (memchr(bytes, '\0', count) || !utf8_is_valid(bytes, count))
        return refuse(why, "options: grammar has a NUL, or is not UTF-8");
    const char *fault = grammar_look(bytes, count);
    if (fault)
        return refuse(why, "options: grammar %s", fault);
    request->grammar = bytes;
    return 0;
}

static int read_flag(bool *flag, const char *name, const struct mr_object *value,
                     struct refusal *why)
{
    if (value->type != MR_BOOLEAN)
        return refuse(why, "options: %s is true or false", name);
    *flag = value->u.boolean;
    return 0;
}

static int read_option(struct request *request, const char *name, const struct mr_object *value,
                       struct refusal *why)
{
    if (value->type == MR_NONE)
        return 0;
    int rc = read_number(request, name, value, why);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (strcmp(name, "stop") == 0)
        return read_stop(request, value, why);
    if (strcmp(name, "grammar") == 0)
        return read_grammar(request, value, why);
    if (strcmp(name, "plain") == 0)
        return read_flag(&request->is_plain, name, value, why);
    if (strcmp(name, "ignore_eos") == 0)
        return read_flag(&request->ignores_end, name, value, why);
    return refuse(why, "options: there is no %.64s", name);
}

int request_read(struct request *request, const struct mr_object *options, struct refusal *why)
{
    *request = (struct request){.grammar = NULL};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        set_number(request, &numbers[i], numbers[i].usual);
    if (options->type != MR_DICTIONARY)
        return 0;
    for (size_t i = 0; i < options->u.dictionary.count; i++) {
        const struct mr_pair *pair = &options->u.dictionary.pairs[i];
        if (read_option(request, pair->key.u.string.bytes, &pair->value, why) != 0)
            return -1;
    }
    if (request->ignores_end && request->grammar)
        return refuse(why, "options: with ignore_eos there is no grammar");
    if (request->is_plain && request->logprobs >= 0)
        return refuse(why, "options: with plain there are no logprobs");
    return 0;
}
