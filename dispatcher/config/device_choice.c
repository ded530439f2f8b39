/* SPDX-License-Identifier: MIT */
/* device_choice.c - --devices is read, word by word. */
#include "dispatcher/config/device_choice.h"

#include <errno.h>
#include <string.h>

#include "dispatcher/config/refuse.h"
#include "millrace/limits.h"

#define UUID_BYTES_MAX 95u

/* A word of what is said. */
struct word {
    const char *text;
    size_t bytes;
};

static bool word_is(struct word word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.text, text, word.bytes) == 0;
}

static int choice_refuse(const char *text, const char *why, char reason[CLI_REASON_BYTES])
{
    return refuse(reason, "--devices %.100s: %s", text, why);
}

static bool choice_number(struct word word, uint32_t max, uint32_t *out)
{
    uint32_t number = 0;
    if (word.bytes == 0 || word.bytes > 4)
        return false;
    for (size_t i = 0; i < word.bytes; i++) {
        if (word.text[i] < '0' || word.text[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(word.text[i] - '0');
    }
    *out = number;
    return number <= max;
}

/* As the drivers write them: GPU-, MIG-, and what else begins with a letter and has a dash. */
static bool choice_is_uuid(struct word word)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "-_./:";
    bool has_dash = false;
    if (word.bytes == 0 || word.bytes > UUID_BYTES_MAX)
        return false;
    for (size_t i = 0; i < word.bytes; i++) {
        if (!memchr(letters, word.text[i], sizeof letters - 1))
            return false;
        has_dash |= word.text[i] == '-';
    }
    return has_dash;
}

static bool choice_has(const struct device_choice *choice, const struct device_pick *pick)
{
    for (uint32_t i = 0; i < choice->pick_count; i++) {
        const struct device_pick *other = &choice->picks[i];
        bool is_same = !pick->uuid == !other->uuid;
        if (is_same && pick->uuid)
            is_same = pick->uuid_bytes == other->uuid_bytes &&
                      memcmp(pick->uuid, other->uuid, pick->uuid_bytes) == 0;
        else if (is_same)
            is_same = pick->index == other->index;
        if (is_same)
            return true;
    }
    return false;
}

/* ---- words --------------------------------------------------------------------------------- */

static int choice_pick_add(struct device_choice *choice, const char *text, struct word word,
                           char reason[CLI_REASON_BYTES])
{
    struct device_pick pick = {.index = 0};
    if (!choice_number(word, WORKER_COUNT_MAX - 1, &pick.index)) {
        if (!choice_is_uuid(word))
            return choice_refuse(text,
                                 "it is none, auto, a kind (cuda, hip, level-zero, vulkan, opencl, "
                                 "cpu), indexes (0 to 255), UUIDs, or a kind with them like "
                                 "cuda:0,2, vulkan:x4 or cpu:core",
                                 reason);
        pick = (struct device_pick){.uuid = word.text, .uuid_bytes = word.bytes};
    }
    if (choice_has(choice, &pick))
        return choice_refuse(text, "one device is said twice", reason);
    if (choice->pick_count == DEVICE_PICK_COUNT_MAX)
        return choice_refuse(text, "64 devices at most", reason);
    choice->kind = DEVICE_CHOICE_PICKS;
    choice->picks[choice->pick_count++] = pick;
    return 0;
}

static int choice_picks_add(struct device_choice *choice, const char *text, struct word words,
                            char reason[CLI_REASON_BYTES])
{
    for (;;) {
        const char *comma = memchr(words.text, ',', words.bytes);
        struct word word = {words.text, comma ? (size_t)(comma - words.text) : words.bytes};
        while (word.bytes > 0 && *word.text == ' ')
            word = (struct word){word.text + 1, word.bytes - 1};
        int rc = choice_pick_add(choice, text, word, reason);
        if (rc < 0 || !comma)
            return rc;
        words = (struct word){comma + 1, words.bytes - (size_t)(comma + 1 - words.text)};
    }
}

static int choice_per_set(struct device_choice *choice, const char *text, struct word word,
                          char reason[CLI_REASON_BYTES])
{
    choice->kind = DEVICE_CHOICE_ALL;
    choice->is_per_core = word_is(word, "core");
    if (choice->is_per_core || word_is(word, "numa"))
        return 0;
    return choice_refuse(
        text, "cores are cpu:numa, those of a NUMA node each, or cpu:core, one each", reason);
}

static int choice_count_set(struct device_choice *choice, const char *text, struct word word,
                            char reason[CLI_REASON_BYTES])
{
    choice->kind = DEVICE_CHOICE_COUNT;
    if (choice_number(word, WORKER_COUNT_MAX, &choice->count) && choice->count > 0)
        return 0;
    return choice_refuse(text, "behind the x is a number from 1 to 256", reason);
}

/* What stands behind a kind and its colon. */
static int choice_of_kind(struct device_choice *choice, const char *text, struct word word,
                          char reason[CLI_REASON_BYTES])
{
    if (choice->of == DEVICE_CPU && word.bytes > 0 && (*word.text < '0' || *word.text > '9'))
        return choice_per_set(choice, text, word, reason);
    if (word.bytes > 0 && *word.text == 'x' && choice->of != DEVICE_CPU)
        return choice_count_set(choice, text, (struct word){word.text + 1, word.bytes - 1}, reason);
    if (!device_kind_is_found(choice->of))
        return choice_refuse(text, "of this kind it is said how many, like opencl:x4", reason);
    return choice_picks_add(choice, text, word, reason);
}

/* ---- what is said -------------------------------------------------------------------------- */

/* All but a list of picks, which may go on. */
static int choice_begin(struct device_choice *choice, const char *text,
                        char reason[CLI_REASON_BYTES])
{
    struct word all = {text, strlen(text)};
    const char *colon = strchr(text, ':');
    struct word first = {text, colon ? (size_t)(colon - text) : all.bytes};
    *choice = (struct device_choice){.is_of_any = true};
    if (word_is(all, "none") || word_is(all, "auto")) {
        choice->kind = word_is(all, "none") ? DEVICE_CHOICE_NONE : DEVICE_CHOICE_ALL;
        return 0;
    }
    if (device_kind_find(first.text, first.bytes, &choice->of) < 0)
        return choice_picks_add(choice, text, all, reason);
    choice->is_of_any = false;
    if (colon)
        return choice_of_kind(choice, text, (struct word){colon + 1, all.bytes - first.bytes - 1},
                              reason);
    if (!device_kind_is_found(choice->of))
        return choice_refuse(text, "of this kind it is said how many, like opencl:x4", reason);
    choice->kind = DEVICE_CHOICE_ALL;
    return 0;
}

int device_choice_add(struct device_choice *choice, const char *text, char reason[CLI_REASON_BYTES])
{
    struct device_choice more;
    int rc = choice_begin(&more, text, reason);
    if (rc < 0)
        return rc;
    if (choice->kind == DEVICE_CHOICE_UNSAID) {
        *choice = more;
        return 0;
    }
    if (choice->kind != DEVICE_CHOICE_PICKS || more.kind != DEVICE_CHOICE_PICKS)
        return choice_refuse(text, "only indexes and UUIDs can be several", reason);
    if (!more.is_of_any && (choice->is_of_any || more.of != choice->of))
        return choice_refuse(text, "the devices of a pipeline are of one kind", reason);
    for (uint32_t i = 0; i < more.pick_count; i++) {
        if (choice_has(choice, &more.picks[i]))
            return choice_refuse(text, "one device is said twice", reason);
        if (choice->pick_count == DEVICE_PICK_COUNT_MAX)
            return choice_refuse(text, "64 devices at most", reason);
        choice->picks[choice->pick_count++] = more.picks[i];
    }
    return 0;
}

int device_choice_check(const char *text, char reason[CLI_REASON_BYTES])
{
    struct device_choice unused = {0};
    return device_choice_add(&unused, text, reason);
}

uint32_t device_choice_count(const struct device_choice *choice)
{
    switch (choice->kind) {
    case DEVICE_CHOICE_PICKS:
        return choice->pick_count;
    case DEVICE_CHOICE_COUNT:
        return choice->count;
    case DEVICE_CHOICE_UNSAID:
    case DEVICE_CHOICE_NONE:
    case DEVICE_CHOICE_ALL:
        break;
    }
    return 0;
}

bool device_choice_is_same(const struct device_choice *choice, const struct device_choice *other)
{
    if (choice->kind != other->kind || choice->is_of_any != other->is_of_any ||
        choice->of != other->of || choice->is_per_core != other->is_per_core ||
        choice->count != other->count || choice->pick_count != other->pick_count)
        return false;
    for (uint32_t i = 0; i < choice->pick_count; i++)
        if (!choice_has(other, &choice->picks[i]))
            return false;
    return true;
}
