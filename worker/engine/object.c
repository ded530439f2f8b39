/* SPDX-License-Identifier: MIT */
/*
 * object.c - unpacks with msgpack-c, counts, then copies into one block of the run's memory.
 */
#include "worker/engine/object.h"

#include <endian.h>
#include <errno.h>
#include <msgpack.h>
#include <string.h>

#include "millrace/protocol.h"

/* Where the copy of a tree stands. msgpack-c goes no deeper than 32, so recursion is bounded. */
struct object_copy {
    unsigned char *next; /* free part of the block */
    uint8_t *text;       /* the packed bytes, writable */
    const struct object_files *files;
    int status;
};

static size_t object_tree_bytes(const msgpack_object *source);
static void object_copy_one(struct object_copy *copy, const msgpack_object *source,
                            struct mr_object *out);

int object_unpack(struct arena *arena, uint8_t *data, size_t bytes,
                  const struct object_files *files, const struct mr_object **out)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    int rc;
    switch (msgpack_unpack_next(&unpacked, (const char *)data, bytes, &offset)) {
    case MSGPACK_UNPACK_SUCCESS:
        rc = offset == bytes ? 0 : -EBADMSG;
        break;
    case MSGPACK_UNPACK_NOMEM_ERROR: /* what it says when its stack is full */
        rc = -ELOOP;
        break;
    case MSGPACK_UNPACK_EXTRA_BYTES:
    case MSGPACK_UNPACK_CONTINUE:
    case MSGPACK_UNPACK_PARSE_ERROR:
    default:
        rc = -EBADMSG;
        break;
    }
    if (rc != 0)
        goto destroy_unpacked;

    struct mr_object *root = arena_take(arena, sizeof *root + object_tree_bytes(&unpacked.data));
    if (!root) {
        rc = -ENOMEM;
        goto destroy_unpacked;
    }
    struct object_copy copy = {.next = (unsigned char *)(root + 1), .text = data, .files = files};
    object_copy_one(&copy, &unpacked.data, root);
    rc = copy.status;
    if (rc == 0)
        *out = root;

destroy_unpacked:
    msgpack_unpacked_destroy(&unpacked);
    return rc;
}

/* Bytes of all items and pairs below `source`. */
static size_t object_tree_bytes(const msgpack_object *source)
{
    size_t bytes = 0;
    if (source->type == MSGPACK_OBJECT_ARRAY) {
        bytes = source->via.array.size * sizeof(struct mr_object);
        for (uint32_t i = 0; i < source->via.array.size; i++)
            bytes += object_tree_bytes(&source->via.array.ptr[i]);
    } else if (source->type == MSGPACK_OBJECT_MAP) {
        bytes = source->via.map.size * sizeof(struct mr_pair);
        for (uint32_t i = 0; i < source->via.map.size; i++)
            bytes += object_tree_bytes(&source->via.map.ptr[i].val);
    }
    return bytes;
}

static void object_copy_text(struct object_copy *copy, const char *text, uint32_t count,
                             struct mr_object *out)
{
    out->type = MR_STRING;
    out->u.string.bytes = count == 0 ? "" : text;
    out->u.string.count = count;
    if (count == 0)
        return; /* msgpack-c does not say where an empty text lies */
    /* The byte behind was the head of the next object, which is unpacked already. */
    size_t offset = (size_t)((const uint8_t *)text - copy->text);
    copy->text[offset + count] = '\0';
}

static void object_copy_array(struct object_copy *copy, const msgpack_object *source,
                              struct mr_object *out)
{
    struct mr_object *items = (struct mr_object *)(void *)copy->next;
    uint32_t count = source->via.array.size;
    copy->next += count * sizeof *items;
    out->type = MR_ARRAY;
    out->u.array.items = items;
    out->u.array.count = count;
    for (uint32_t i = 0; i < count; i++)
        object_copy_one(copy, &source->via.array.ptr[i], &items[i]);
}

static void object_copy_map(struct object_copy *copy, const msgpack_object *source,
                            struct mr_object *out)
{
    struct mr_pair *pairs = (struct mr_pair *)(void *)copy->next;
    uint32_t count = source->via.map.size;
    copy->next += count * sizeof *pairs;
    out->type = MR_DICTIONARY;
    out->u.dictionary.pairs = pairs;
    out->u.dictionary.count = count;
    for (uint32_t i = 0; i < count; i++) {
        const msgpack_object_kv *pair = &source->via.map.ptr[i];
        if (pair->key.type != MSGPACK_OBJECT_STR) {
            copy->status = -EBADMSG;
            return;
        }
        object_copy_one(copy, &pair->key, &pairs[i].key);
        object_copy_one(copy, &pair->val, &pairs[i].value);
    }
}

static void object_copy_file(struct object_copy *copy, const msgpack_object *source,
                             struct mr_object *out)
{
    uint32_t number;
    if (source->via.ext.type != VALUE_FILE || source->via.ext.size != sizeof number) {
        copy->status = -EBADMSG;
        return;
    }
    memcpy(&number, source->via.ext.ptr, sizeof number);
    number = be32toh(number);
    if (number < copy->files->count)
        *out = copy->files->items[number];
    else
        copy->status = -EBADMSG;
}

static void object_copy_one(struct object_copy *copy, const msgpack_object *source,
                            struct mr_object *out)
{
    switch (source->type) {
    case MSGPACK_OBJECT_NIL:
        out->type = MR_NONE;
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        out->type = MR_BOOLEAN;
        out->u.boolean = source->via.boolean;
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        out->type = MR_INTEGER;
        out->is_unsigned = source->via.u64 > INT64_MAX;
        out->u.natural = source->via.u64;
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        out->type = MR_INTEGER;
        out->u.integer = source->via.i64;
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        out->type = MR_FP;
        out->u.fp = source->via.f64;
        break;
    case MSGPACK_OBJECT_STR:
        object_copy_text(copy, source->via.str.ptr, source->via.str.size, out);
        break;
    case MSGPACK_OBJECT_BIN:
        object_copy_text(copy, source->via.bin.ptr, source->via.bin.size, out);
        break;
    case MSGPACK_OBJECT_ARRAY:
        object_copy_array(copy, source, out);
        break;
    case MSGPACK_OBJECT_MAP:
        object_copy_map(copy, source, out);
        break;
    case MSGPACK_OBJECT_EXT:
        object_copy_file(copy, source, out);
        break;
    default:
        copy->status = -EBADMSG;
        break;
    }
}

bool object_fits(const struct mr_object *object, enum mr_type type)
{
    if (object->type == type)
        return true;
    if (type == MR_FP)
        return object->type == MR_INTEGER || object->type == MR_BOOLEAN;
    return type == MR_INTEGER && object->type == MR_BOOLEAN;
}

struct object_type_text {
    const char *word;
    const char *name;
};

static const struct object_type_text type_texts[MR_TYPE_COUNT] = {
    [MR_STRING] = {"string", "a string"},
    [MR_INTEGER] = {"integer", "an integer"},
    [MR_FP] = {"fp", "a float"},
    [MR_BOOLEAN] = {"boolean", "a boolean"},
    [MR_NONE] = {"none", "none"},
    [MR_ARRAY] = {"array", "an array"},
    [MR_DICTIONARY] = {"dictionary", "a dictionary"},
    [MR_STREAM] = {"stream", "a stream"},
    [MR_FILE] = {"file", "a file"},
};

const char *object_type_name(enum mr_type type)
{
    return (unsigned)type < MR_TYPE_COUNT ? type_texts[type].name : "of no known type";
}

const char *object_type_word(enum mr_type type)
{
    return (unsigned)type < MR_TYPE_COUNT ? type_texts[type].word : "unknown";
}
