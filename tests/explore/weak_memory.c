/* SPDX-License-Identifier: MIT */
/*
 * weak_memory.c - views, the lists of values, clocks.
 */
#include "tests/explore/weak_memory.h"

#include <stdatomic.h>
#include <string.h>

#include "millrace/check.h"

void weak_memory_reset(struct weak_memory *memory, uint32_t side_count, void *plain,
                       size_t plain_bytes)
{
    mr_assert(side_count <= WEAK_SIDE_MAX);
    mr_assert(plain_bytes <= WEAK_CELL_MAX * WEAK_CELL_BYTES);
    for (uint32_t i = 0; i < memory->touched_count; i++)
        memory->cells[memory->touched[i]] = (struct weak_cell){.is_touched = false};
    memory->side_count = side_count;
    memory->word_count = 0;
    memory->touched_count = 0;
    memory->plain = plain;
    memory->plain_bytes = plain_bytes;
    memory->fenced = (struct weak_view){.known = {0}};
    for (uint32_t i = 0; i < WEAK_SIDE_MAX; i++) {
        memory->sides[i] = (struct weak_side){.now = {.known = {0}}};
        memory->sides[i].now.clocks[i] = 1;
    }
    for (uint32_t i = 0; i < WEAK_BELL_MAX; i++)
        memory->bells[i] = (struct weak_bell){.count = 0};
}

/* ---- views ----------------------------------------------------------------------------------- */

static void weak_view_know(const struct weak_memory *memory, struct weak_view *view, uint32_t word,
                           uint8_t value)
{
    const uint8_t *place = memory->words[word].place;
    if (place[value] > place[view->known[word]])
        view->known[word] = value;
}

static void weak_view_add_words(const struct weak_memory *memory, struct weak_view *view,
                                const struct weak_view *other)
{
    for (uint32_t i = 0; i < memory->word_count; i++)
        weak_view_know(memory, view, i, other->known[i]);
}

static void weak_view_add(const struct weak_memory *memory, struct weak_view *view,
                          const struct weak_view *other)
{
    weak_view_add_words(memory, view, other);
    for (uint32_t i = 0; i < memory->side_count; i++)
        if (other->clocks[i] > view->clocks[i])
            view->clocks[i] = other->clocks[i];
}

void weak_tick(struct weak_memory *memory, uint32_t side)
{
    memory->sides[side].now.clocks[side]++;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool weak_acquires(int order)
{
    return order == memory_order_acquire || order == memory_order_acq_rel;
}

static bool weak_releases(int order)
{
    return order == memory_order_release || order == memory_order_acq_rel;
}

static uint64_t weak_bits_at(const void *address, uint8_t bytes)
{
    uint64_t bits = 0;
    memcpy(&bits, address, bytes);
    return bits;
}

/* A word is known from its first access on; what was there before any side began is value 0. */
static uint32_t weak_word_of(struct weak_memory *memory, const struct weak_access *access)
{
    mr_assert(access->order !=
              memory_order_seq_cst); /* accesses in one total order: not modelled */
    for (uint32_t i = 0; i < memory->word_count; i++)
        if (memory->words[i].address == access->address) {
            mr_assert(memory->words[i].bytes == access->bytes);
            return i;
        }
    mr_assert(memory->word_count < WEAK_WORD_MAX);
    struct weak_word *word = &memory->words[memory->word_count];
    word->address = access->address;
    word->bytes = access->bytes;
    word->count = 1;
    word->order[0] = 0;
    word->place[0] = 0;
    word->values[0] = (struct weak_value){.bits = weak_bits_at(access->address, access->bytes)};
    return memory->word_count++;
}

static uint8_t weak_known_place(const struct weak_memory *memory, uint32_t side, uint32_t word)
{
    return memory->words[word].place[memory->sides[side].now.known[word]];
}

/* What a side learns by reading a value. */
static uint64_t weak_take(struct weak_memory *memory, uint32_t side, uint32_t word, uint8_t value,
                          int order)
{
    struct weak_side *reader = &memory->sides[side];
    const struct weak_value *read = &memory->words[word].values[value];
    weak_view_know(memory, &reader->now, word, value);
    weak_view_know(memory, &reader->received, word, value);
    weak_view_add(memory, &reader->received, &read->sent);
    if (weak_acquires(order))
        weak_view_add(memory, &reader->now, &read->sent);
    return read->bits;
}

/* Puts a value at a place; those from there on move one up. */
static uint8_t weak_put(struct weak_memory *memory, uint32_t side, uint32_t index, uint32_t place,
                        uint64_t bits, int order)
{
    struct weak_word *word = &memory->words[index];
    mr_assert(word->count < WEAK_VALUE_MAX);
    uint8_t value = word->count++;
    for (uint32_t i = value; i > place; i--) {
        word->order[i] = word->order[i - 1];
        word->place[word->order[i]] = (uint8_t)i;
    }
    word->order[place] = value;
    word->place[value] = (uint8_t)place;

    struct weak_side *writer = &memory->sides[side];
    weak_view_know(memory, &writer->now, index, value);
    weak_view_know(memory, &writer->received, index, value);
    word->values[value] = (struct weak_value){
        .bits = bits,
        .sent = weak_releases(order) ? writer->now : writer->released,
    };
    weak_view_know(memory, &word->values[value].sent, index, value);
    return value;
}

uint64_t weak_load(struct weak_memory *memory, const struct weak_access *access, bool *is_old)
{
    uint32_t index = weak_word_of(memory, access);
    const struct weak_word *word = &memory->words[index];
    uint32_t known = weak_known_place(memory, access->side, index);
    uint32_t back = memory->choose(word->count - known);
    *is_old = back != 0;
    return weak_take(memory, access->side, index, word->order[word->count - 1u - back],
                     access->order);
}

void weak_store(struct weak_memory *memory, const struct weak_access *access, uint64_t bits)
{
    uint32_t index = weak_word_of(memory, access);
    const struct weak_word *word = &memory->words[index];
    uint32_t places[WEAK_VALUE_MAX];
    uint32_t count = 0;
    for (uint32_t i = word->count; i > weak_known_place(memory, access->side, index); i--)
        if (!word->values[word->order[i - 1]].is_exchanged)
            places[count++] = i;
    weak_put(memory, access->side, index, places[memory->choose(count)], bits, access->order);
}

/* What was read is sent on: a release sequence. */
static void weak_replace(struct weak_memory *memory, const struct weak_access *access,
                         uint32_t index, uint8_t read, uint64_t bits)
{
    struct weak_word *word = &memory->words[index];
    word->values[read].is_exchanged = true;
    uint8_t value =
        weak_put(memory, access->side, index, word->place[read] + 1u, bits, access->order);
    weak_view_add(memory, &word->values[value].sent, &word->values[read].sent);
}

uint64_t weak_add(struct weak_memory *memory, const struct weak_access *access, uint64_t operand)
{
    uint32_t index = weak_word_of(memory, access);
    const struct weak_word *word = &memory->words[index];
    uint8_t choices[WEAK_VALUE_MAX];
    uint32_t count = 0;
    for (uint32_t i = word->count; i > weak_known_place(memory, access->side, index); i--)
        if (!word->values[word->order[i - 1]].is_exchanged)
            choices[count++] = word->order[i - 1];
    uint8_t read = choices[memory->choose(count)];
    uint64_t before = weak_take(memory, access->side, index, read, access->order);
    weak_replace(memory, access, index, read, before + operand);
    return before;
}

uint64_t weak_compare_exchange(struct weak_memory *memory, const struct weak_access *access,
                               uint64_t expected, uint64_t desired, int order_failed)
{
    uint32_t index = weak_word_of(memory, access);
    const struct weak_word *word = &memory->words[index];
    uint8_t choices[WEAK_VALUE_MAX];
    uint32_t count = 0;
    /* It fails only for another value, and succeeds only where nothing was made of it yet. */
    for (uint32_t i = word->count; i > weak_known_place(memory, access->side, index); i--) {
        const struct weak_value *value = &word->values[word->order[i - 1]];
        if (value->bits != expected || !value->is_exchanged)
            choices[count++] = word->order[i - 1];
    }
    uint8_t read = choices[memory->choose(count)];
    if (word->values[read].bits != expected)
        return weak_take(memory, access->side, index, read, order_failed);
    weak_take(memory, access->side, index, read, access->order);
    weak_replace(memory, access, index, read, desired);
    return expected;
}

void weak_fence(struct weak_memory *memory, uint32_t side, int order)
{
    struct weak_side *own = &memory->sides[side];
    bool is_total = order == memory_order_seq_cst;
    if (is_total || weak_acquires(order))
        weak_view_add(memory, &own->now, &own->received);
    if (is_total) {
        weak_view_add_words(memory, &own->now, &memory->fenced);
        weak_view_add_words(memory, &memory->fenced, &own->now);
        weak_view_add_words(memory, &own->received, &own->now);
    }
    if (is_total || weak_releases(order))
        own->released = own->now;
}

void weak_bell_write(struct weak_memory *memory, uint32_t side, uint32_t bell)
{
    mr_assert(bell < WEAK_BELL_MAX);
    memory->bells[bell].count++;
    weak_view_add(memory, &memory->bells[bell].sent, &memory->sides[side].now);
}

void weak_bell_read(struct weak_memory *memory, uint32_t side, uint32_t bell)
{
    mr_assert(bell < WEAK_BELL_MAX);
    memory->bells[bell].count = 0;
    weak_view_add(memory, &memory->sides[side].now, &memory->bells[bell].sent);
    weak_view_add(memory, &memory->sides[side].received, &memory->bells[bell].sent);
}

/* ---- plain bytes ----------------------------------------------------------------------------- */

bool weak_is_plain(const struct weak_memory *memory, const void *address)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)memory->plain;
    return offset < memory->plain_bytes;
}

static bool weak_cell_access(struct weak_memory *memory, uint32_t side, uint16_t index,
                             bool is_write)
{
    struct weak_cell *cell = &memory->cells[index];
    const uint16_t *clocks = memory->sides[side].now.clocks;
    if (!cell->is_touched)
        memory->touched[memory->touched_count++] = index;
    cell->is_touched = true;
    if (cell->written > clocks[cell->writer])
        return false;
    if (!is_write) {
        cell->read[side] = clocks[side];
        return true;
    }
    for (uint32_t i = 0; i < memory->side_count; i++)
        if (cell->read[i] > clocks[i])
            return false;
    cell->written = clocks[side];
    cell->writer = (uint16_t)side;
    return true;
}

bool weak_plain(struct weak_memory *memory, uint32_t side, const void *address, size_t bytes,
                bool is_write)
{
    size_t first = ((uintptr_t)address - (uintptr_t)memory->plain) / WEAK_CELL_BYTES;
    size_t last = ((uintptr_t)address - (uintptr_t)memory->plain + bytes - 1) / WEAK_CELL_BYTES;
    mr_assert(last < WEAK_CELL_MAX);
    for (size_t i = first; i <= last; i++)
        if (!weak_cell_access(memory, side, (uint16_t)i, is_write))
            return false;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* By addresses and places, so that it does not matter which word was touched first. */
static uint64_t weak_view_hash(const struct weak_memory *memory, const struct weak_view *view)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < memory->word_count; i++) {
        const struct weak_word *word = &memory->words[i];
        if (view->known[i] != 0)
            hash += weak_mix((uintptr_t)word->address, 1u + word->place[view->known[i]]);
    }
    for (uint32_t i = 0; i < memory->side_count; i++)
        hash = weak_mix(hash, view->clocks[i]);
    return hash;
}

/* A word that nobody stored to is as good as unknown. */
static uint64_t weak_word_hash(const struct weak_memory *memory, const struct weak_word *word)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < word->count && word->count > 1; i++) {
        const struct weak_value *value = &word->values[word->order[i]];
        hash = weak_mix(hash, value->bits);
        hash = weak_mix(hash, weak_view_hash(memory, &value->sent) + value->is_exchanged);
        hash = weak_mix(hash, word->order[i] == 0);
    }
    return hash == 0 ? 0 : weak_mix(hash, (uintptr_t)word->address);
}

static uint64_t weak_cell_hash(const struct weak_memory *memory, uint16_t index)
{
    const struct weak_cell *cell = &memory->cells[index];
    uint64_t hash = weak_mix(index + 1u, (uint64_t)cell->written << 16 | cell->writer);
    for (uint32_t i = 0; i < memory->side_count; i++)
        hash = weak_mix(hash, cell->read[i]);
    return hash;
}

uint64_t weak_hash(const struct weak_memory *memory)
{
    uint64_t hash = weak_view_hash(memory, &memory->fenced);
    for (uint32_t i = 0; i < memory->side_count; i++) {
        hash = weak_mix(hash, weak_view_hash(memory, &memory->sides[i].now));
        hash = weak_mix(hash, weak_view_hash(memory, &memory->sides[i].received));
        hash = weak_mix(hash, weak_view_hash(memory, &memory->sides[i].released));
    }
    for (uint32_t i = 0; i < WEAK_BELL_MAX; i++) {
        hash = weak_mix(hash, memory->bells[i].count);
        hash = weak_mix(hash, weak_view_hash(memory, &memory->bells[i].sent));
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < memory->word_count; i++)
        sum += weak_word_hash(memory, &memory->words[i]);
    for (uint32_t i = 0; i < memory->touched_count; i++)
        sum += weak_cell_hash(memory, memory->touched[i]);
    return weak_mix(hash, sum);
}

void weak_settle(const struct weak_memory *memory)
{
    for (uint32_t i = 0; i < memory->word_count; i++) {
        const struct weak_word *word = &memory->words[i];
        memcpy(word->address, &word->values[word->order[word->count - 1]].bits, word->bytes);
    }
}
