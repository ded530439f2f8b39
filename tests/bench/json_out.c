/* SPDX-License-Identifier: MIT */
/*
 * json_out.c - nanoseconds a chunk costs as JSON, for the chunks of a stream and for large ones.
 *
 * The reference builds what a general library would: msgpack-c's tree, a cJSON tree, its text. Each
 * figure is the best of several rounds, which is what a noisy machine can say about code.
 */
#include <cjson/cJSON.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dispatcher/text/json_out.h"

#define ROUND_NS 20000000u
#define ROUND_COUNT 7

struct sample {
    const char *name;
    msgpack_sbuffer payload;
    char *room;
};

typedef size_t convert_fn(const struct sample *sample);

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the two ways ---------------------------------------------------------------------------- */

static size_t convert_once(const struct sample *sample)
{
    const uint8_t *payload = (const uint8_t *)sample->payload.data;
    int64_t bytes = json_out_outputs(payload, sample->payload.size, 1, sample->room);
    mr_assert(bytes > 0);
    return (size_t)bytes;
}

static cJSON *tree_of(const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return cJSON_CreateNumber((double)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return cJSON_CreateNumber((double)object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return cJSON_CreateNumber(object->via.f64);
    case MSGPACK_OBJECT_STR: {
        char *copy = strndup(object->via.str.ptr, object->via.str.size);
        cJSON *string = cJSON_CreateString(copy);
        free(copy);
        return string;
    }
    case MSGPACK_OBJECT_ARRAY: {
        cJSON *array = cJSON_CreateArray();
        for (uint32_t i = 0; i < object->via.array.size; i++)
            cJSON_AddItemToArray(array, tree_of(&object->via.array.ptr[i]));
        return array;
    }
    case MSGPACK_OBJECT_MAP: {
        cJSON *map = cJSON_CreateObject();
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            const msgpack_object_kv *pair = &object->via.map.ptr[i];
            char *key = strndup(pair->key.via.str.ptr, pair->key.via.str.size);
            cJSON_AddItemToObject(map, key, tree_of(&pair->val));
            free(key);
        }
        return map;
    }
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BOOLEAN:
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return cJSON_CreateNull();
}

static size_t convert_with_trees(const struct sample *sample)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return rc =
        msgpack_unpack_next(&unpacked, sample->payload.data, sample->payload.size, &offset);
    mr_assert(rc == MSGPACK_UNPACK_SUCCESS);
    cJSON *tree = tree_of(&unpacked.data);
    char *text = cJSON_PrintUnformatted(tree);
    mr_assert(text != NULL);
    size_t bytes = strlen(text);
    free(text);
    cJSON_Delete(tree);
    msgpack_unpacked_destroy(&unpacked);
    return bytes;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static double best_ns(convert_fn *convert, const struct sample *sample)
{
    double best = 0;
    for (int round = 0; round < ROUND_COUNT; round++) {
        uint64_t count = 0;
        uint64_t began = now_ns();
        uint64_t took;
        do {
            for (int i = 0; i < 16; i++)
                convert(sample);
            count += 16;
            took = now_ns() - began;
        } while (took < ROUND_NS);
        double each = (double)took / (double)count;
        if (round == 0 || each < best)
            best = each;
    }
    return best;
}

static void report(struct sample *sample)
{
    sample->room = malloc(json_out_bound(sample->payload.size, 1));
    mr_assert(sample->room != NULL);
    size_t bytes = convert_once(sample);
    double once = best_ns(convert_once, sample);
    double trees = best_ns(convert_with_trees, sample);
    printf("%-28s %9zu %12.0f %8.2f %14.0f %8.1f\n", sample->name, bytes, once,
           (double)bytes / once, trees, trees / once);
    free(sample->room);
    msgpack_sbuffer_destroy(&sample->payload);
}

/* ---- the chunks ------------------------------------------------------------------------------ */

static void begin(struct sample *sample, msgpack_packer *packer, const char *name)
{
    sample->name = name;
    msgpack_sbuffer_init(&sample->payload);
    msgpack_packer_init(packer, &sample->payload, msgpack_sbuffer_write);
    msgpack_pack_array(packer, 1);
}

static void pack_text(msgpack_packer *packer, const char *text, size_t count)
{
    msgpack_pack_str(packer, count);
    msgpack_pack_str_body(packer, text, count);
}

static void report_word(void)
{
    struct sample sample;
    msgpack_packer packer;
    begin(&sample, &packer, "word");
    pack_text(&packer, "hello ", 6);
    report(&sample);
}

static void report_numbers_chunk(void)
{
    struct sample sample;
    msgpack_packer packer;
    char chunk[64];
    memset(chunk, 'x', sizeof(chunk));
    begin(&sample, &packer, "{i, t_ns, chunk of 64 B}");
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "i", 1);
    msgpack_pack_int(&packer, 123);
    pack_text(&packer, "t_ns", 4);
    msgpack_pack_uint64(&packer, UINT64_C(123456789012345));
    pack_text(&packer, "chunk", 5);
    pack_text(&packer, chunk, sizeof(chunk));
    report(&sample);
}

/* A string of `bytes` made of `piece` again and again. */
static void report_text(const char *name, const char *piece, size_t bytes)
{
    struct sample sample;
    msgpack_packer packer;
    size_t piece_bytes = strlen(piece);
    size_t count = bytes / piece_bytes * piece_bytes;
    char *text = malloc(count);
    mr_assert(text != NULL);
    for (size_t i = 0; i < count; i++)
        text[i] = piece[i % piece_bytes];
    begin(&sample, &packer, name);
    pack_text(&packer, text, count);
    free(text);
    report(&sample);
}

static void report_doubles(const char *name, size_t count, double (*next)(unsigned *))
{
    struct sample sample;
    msgpack_packer packer;
    unsigned state = 1;
    begin(&sample, &packer, name);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_double(&packer, next(&state));
    report(&sample);
}

static double next_score(unsigned *state)
{
    return (double)rand_r(state) / RAND_MAX;
}

static double next_price(unsigned *state)
{
    return (double)(rand_r(state) % 100000) / 100;
}

static double next_whole(unsigned *state)
{
    return (double)(rand_r(state) % 100000);
}

int main(void)
{
    printf("%-28s %9s %12s %8s %14s %8s\n", "chunk", "B of JSON", "ns", "B/ns", "with trees, ns",
           "ratio");
    report_word();
    report_numbers_chunk();
    report_text("text, 1 KiB", "the quick brown fox ", 1024);
    report_text("text, 1 MiB", "the quick brown fox ", 1024 * 1024);
    report_text("with quotes, 1 KiB", "he said \"no\"; she said \"yes\"\n", 1024);
    report_text("French, 1 KiB", "le c\xc5\x93ur a ses raisons, \xc3\xa0 la fin ", 1024);
    report_text("Chinese, 1 KiB", "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97\xe7\xac\xa6", 1024);
    report_text("control bytes, 1 KiB", "\x01\x02\x03", 1024);
    report_doubles("1000 random doubles", 1000, next_score);
    report_doubles("1000 prices (two decimals)", 1000, next_price);
    report_doubles("1000 whole doubles", 1000, next_whole);
    return 0;
}
