/* SPDX-License-Identifier: MIT */
/*
 * explorer.c - sides that stop and go on, decisions that are made again, points that are known.
 */
#include "tests/explore/explorer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "millrace/check.h"
#include "tests/explore/intercept.h"
#include "tests/explore/weak_memory.h"

#define STACK_BYTES (128u * 1024)
#define STEP_MAX 400u
#define RUN_MAX 20000000u
#define BELL_BASE (1 << 20) /* no real descriptor */
#define NOBODY UINT32_MAX

enum step_kind {
    STEP_LOAD = 0,
    STEP_STORE,
    STEP_ADD,
    STEP_EXCHANGE,
    STEP_FENCE,
    STEP_RING,
    STEP_WAKE,
    STEP_POLL,
    STEP_CHOICE
};

/* For people: what a side did. */
struct step {
    uint32_t side;
    enum step_kind kind;
    int order;
    bool is_old;
    const void *address;
    uint64_t bits;
};

struct decision {
    uint32_t taken;
    uint32_t count;
};

struct side {
    jmp_buf context;
    ucontext_t entry;
    void *stack;
    uint64_t history; /* of all it has seen: with it, its next step is the same */
    uint32_t bell;    /* that it sleeps on, or NOBODY */
    bool is_entered;
    bool has_ended;
};

static struct explorer {
    const struct explorer_world *world;
    struct explorer_result *result;
    struct weak_memory memory;
    jmp_buf scheduler;
    struct side sides[EXPLORER_SIDE_MAX];
    uint32_t current; /* the side that runs, or NOBODY */
    uint32_t last;    /* that ran before */
    struct decision path[STEP_MAX * 3];
    uint32_t path_count;
    uint32_t depth; /* decisions of this run that are made */
    struct step steps[STEP_MAX];
    uint32_t step_count;
    uint64_t *points; /* a table with open addresses; 0 is none */
    size_t point_room;
} explorer = {.current = NOBODY};

/* ---- decisions ------------------------------------------------------------------------------- */

static uint32_t explorer_decide(uint32_t count)
{
    mr_assert(count > 0);
    if (count == 1)
        return 0;
    mr_assert(explorer.depth < ARRAY_COUNT(explorer.path));
    if (explorer.depth == explorer.path_count)
        explorer.path[explorer.path_count++] = (struct decision){.taken = 0, .count = count};
    /* A side that does not do the same again after the same decisions cannot be explored. */
    mr_assert(explorer.path[explorer.depth].count == count);
    return explorer.path[explorer.depth++].taken;
}

/* Changes the last decision that can still be changed. False when all were made. */
static bool explorer_next_path(void)
{
    while (explorer.path_count > 0) {
        struct decision *last = &explorer.path[explorer.path_count - 1];
        if (++last->taken < last->count)
            return true;
        explorer.path_count--;
    }
    return false;
}

/* ---- known points ---------------------------------------------------------------------------- */

static void explorer_points_put(uint64_t *points, size_t room, uint64_t hash)
{
    size_t at = hash & (room - 1);
    while (points[at] != 0)
        at = (at + 1) & (room - 1);
    points[at] = hash;
}

static void explorer_points_grow(void)
{
    size_t room = explorer.point_room == 0 ? 1u << 14 : explorer.point_room * 2;
    uint64_t *points = calloc(room, sizeof *points);
    mr_assert(points != NULL);
    for (size_t i = 0; i < explorer.point_room; i++)
        if (explorer.points[i] != 0)
            explorer_points_put(points, room, explorer.points[i]);
    free(explorer.points);
    explorer.points = points;
    explorer.point_room = room;
}

/* True when a run has been here. */
static bool explorer_is_known(uint64_t hash)
{
    hash |= hash == 0;
    if (explorer.result->point_count * 2 >= explorer.point_room)
        explorer_points_grow();
    size_t at = hash & (explorer.point_room - 1);
    for (; explorer.points[at] != 0; at = (at + 1) & (explorer.point_room - 1))
        if (explorer.points[at] == hash)
            return true;
    explorer.points[at] = hash;
    explorer.result->point_count++;
    return false;
}

static uint64_t explorer_hash(void)
{
    uint64_t hash = weak_hash(&explorer.memory);
    for (uint32_t i = 0; i < explorer.world->side_count; i++) {
        const struct side *side = &explorer.sides[i];
        hash = weak_mix(hash, side->history);
        hash = weak_mix(hash, (uint64_t)side->bell << 1 | side->has_ended);
    }
    return hash;
}

/* ---- what went wrong ------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void explorer_say(const char *format, ...)
{
    char *text = explorer.result->text;
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, EXPLORER_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
}

static const char *explorer_name_of(const void *address)
{
    static char other[32];
    size_t offset = (uintptr_t)address - (uintptr_t)explorer.world->memory;
    for (uint32_t i = 0; i < explorer.world->name_count; i++)
        if (explorer.world->names[i].offset == offset)
            return explorer.world->names[i].text;
    snprintf(other, sizeof other, "world+%zu", offset);
    return other;
}

static void explorer_say_step(const struct step *step)
{
    static const char *const orders[] = {"relaxed", "consume", "acquire",
                                         "release", "acq_rel", "seq_cst"};
    const char *order = orders[step->order];
    const unsigned long long bits = step->bits;
    const char *name = explorer_name_of(step->address);
    explorer_say("  %-12s", explorer.world->sides[step->side].name);
    switch (step->kind) {
    case STEP_LOAD:
        explorer_say("load %s: %llu%s, %s\n", name, bits,
                     step->is_old ? " (a newer one is there)" : "", order);
        break;
    case STEP_STORE:
        explorer_say("store %s = %llu, %s\n", name, bits, order);
        break;
    case STEP_ADD:
        explorer_say("add to %s: %llu before, %s\n", name, bits, order);
        break;
    case STEP_EXCHANGE:
        explorer_say("compare and exchange %s: %llu before, %s\n", name, bits, order);
        break;
    case STEP_FENCE:
        explorer_say("fence, %s\n", order);
        break;
    case STEP_RING:
        explorer_say("write bell %llu\n", bits);
        break;
    case STEP_WAKE:
        explorer_say("woken by bell %llu\n", bits);
        break;
    case STEP_POLL:
        explorer_say("looks at its bell, which was written %llu times\n", bits);
        break;
    case STEP_CHOICE:
        explorer_say("takes way %llu\n", bits);
        break;
    }
}

static void explorer_find(enum explorer_finding finding)
{
    explorer.result->finding = finding;
    for (uint32_t i = 0; i < explorer.step_count; i++)
        explorer_say_step(&explorer.steps[i]);
}

/* ---- sides ----------------------------------------------------------------------------------- */

bool explorer_is_exploring(void)
{
    return explorer.current != NOBODY;
}

/* Stops the side before its next step. */
static void explorer_stop(void)
{
    struct side *side = &explorer.sides[explorer.current];
    if (_setjmp(side->context) == 0)
        _longjmp(explorer.scheduler, 1);
}

/* Stops it for good: the run has gone wrong. */
static void explorer_stop_for_good(void)
{
    for (;;)
        explorer_stop();
}

static void explorer_step_done(struct step step)
{
    step.side = explorer.current;
    if (explorer.step_count == STEP_MAX) {
        explorer_find(EXPLORER_ENDLESS);
        explorer_say("more than %u steps\n", STEP_MAX);
        explorer_stop_for_good();
    }
    explorer.steps[explorer.step_count++] = step;
    struct side *side = &explorer.sides[explorer.current];
    side->history = weak_mix(side->history, step.bits + 1);
    weak_tick(&explorer.memory, explorer.current);
}

static void explorer_side_main(void)
{
    explorer.world->sides[explorer.current].run(explorer.world->memory);
    explorer.sides[explorer.current].has_ended = true;
    explorer_stop_for_good();
}

static void explorer_go_on(uint32_t index)
{
    struct side *side = &explorer.sides[index];
    explorer.current = index;
    if (_setjmp(explorer.scheduler) == 0) {
        if (side->is_entered)
            _longjmp(side->context, 1);
        side->is_entered = true;
        setcontext(&side->entry);
        mr_unreachable("setcontext() came back");
    }
    explorer.current = NOBODY;
    explorer.last = index;
}

static struct weak_access explorer_access(void *address, uint8_t bytes, int order)
{
    explorer_stop();
    return (struct weak_access){
        .side = explorer.current,
        .order = order,
        .address = address,
        .bytes = bytes,
    };
}

uint64_t explorer_load(void *address, uint8_t bytes, int order)
{
    struct weak_access access = explorer_access(address, bytes, order);
    struct step step = {.kind = STEP_LOAD, .order = order, .address = address};
    step.bits = weak_load(&explorer.memory, &access, &step.is_old);
    explorer_step_done(step);
    return step.bits;
}

void explorer_store(void *address, uint8_t bytes, int order, uint64_t bits)
{
    struct weak_access access = explorer_access(address, bytes, order);
    weak_store(&explorer.memory, &access, bits);
    explorer_step_done(
        (struct step){.kind = STEP_STORE, .order = order, .address = address, .bits = bits});
}

uint64_t explorer_add(void *address, uint8_t bytes, int order, uint64_t operand)
{
    struct weak_access access = explorer_access(address, bytes, order);
    uint64_t before = weak_add(&explorer.memory, &access, operand);
    explorer_step_done(
        (struct step){.kind = STEP_ADD, .order = order, .address = address, .bits = before});
    return before;
}

uint64_t explorer_compare_exchange(void *address, uint8_t bytes, int order, int order_failed,
                                   uint64_t expected, uint64_t desired)
{
    struct weak_access access = explorer_access(address, bytes, order);
    uint64_t before =
        weak_compare_exchange(&explorer.memory, &access, expected, desired, order_failed);
    explorer_step_done(
        (struct step){.kind = STEP_EXCHANGE, .order = order, .address = address, .bits = before});
    return before;
}

void explorer_fence(int order)
{
    explorer_stop();
    weak_fence(&explorer.memory, explorer.current, order);
    explorer_step_done((struct step){.kind = STEP_FENCE, .order = order});
}

/* Plain bytes are what they are, so what was read of them is part of what the side has seen. */
void explorer_plain(const void *address, size_t bytes, bool is_write)
{
    if (!explorer_is_exploring() || bytes == 0 || !weak_is_plain(&explorer.memory, address))
        return;
    if (!weak_plain(&explorer.memory, explorer.current, address, bytes, is_write)) {
        explorer_find(EXPLORER_RACE);
        explorer_say("data race: %s %s %zu bytes at %s, and nothing orders that\n",
                     explorer.world->sides[explorer.current].name, is_write ? "writes" : "reads",
                     bytes, explorer_name_of(address));
        explorer_stop_for_good();
    }
    struct side *side = &explorer.sides[explorer.current];
    for (size_t i = 0; i < bytes && !is_write; i++)
        side->history = weak_mix(side->history, ((const uint8_t *)address)[i]);
}

/* ---- for sides ------------------------------------------------------------------------------- */

int explorer_bell(uint32_t number)
{
    mr_assert(number < WEAK_BELL_MAX);
    return BELL_BASE + (int)number;
}

bool explorer_bell_write(int fd)
{
    if (!explorer_is_exploring() || fd < BELL_BASE)
        return false;
    explorer_stop();
    uint32_t bell = (uint32_t)(fd - BELL_BASE);
    weak_bell_write(&explorer.memory, explorer.current, bell);
    explorer_step_done((struct step){.kind = STEP_RING, .bits = bell});
    return true;
}

void explorer_sleep(int fd)
{
    mr_assert(explorer_is_exploring());
    mr_assert(fd >= BELL_BASE);
    struct side *side = &explorer.sides[explorer.current];
    side->bell = (uint32_t)(fd - BELL_BASE);
    explorer_stop();
    weak_bell_read(&explorer.memory, explorer.current, side->bell);
    explorer_step_done((struct step){.kind = STEP_WAKE, .bits = side->bell});
    side->bell = NOBODY;
}

void explorer_poll(int fd)
{
    mr_assert(explorer_is_exploring());
    mr_assert(fd >= BELL_BASE);
    explorer_stop();
    uint32_t bell = (uint32_t)(fd - BELL_BASE);
    uint32_t count = explorer.memory.bells[bell].count;
    if (count > 0)
        weak_bell_read(&explorer.memory, explorer.current, bell);
    explorer_step_done((struct step){.kind = STEP_POLL, .bits = count});
}

uint32_t explorer_choose(uint32_t count)
{
    explorer_stop();
    uint32_t taken = explorer_decide(count);
    explorer_step_done((struct step){.kind = STEP_CHOICE, .bits = taken});
    return taken;
}

void explorer_expect_that(bool holds, const char *text)
{
    if (holds)
        return;
    explorer_find(EXPLORER_BROKEN);
    explorer_say("not so: %s\n", text);
    if (explorer_is_exploring())
        explorer_stop_for_good();
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void explorer_run_begin(void)
{
    const struct explorer_world *world = explorer.world;
    memset(world->memory, 0, world->bytes);
    if (world->begin)
        world->begin(world->memory);
    weak_memory_reset(&explorer.memory, world->side_count, world->memory, world->bytes);
    explorer.depth = 0;
    explorer.step_count = 0;
    explorer.last = 0;
    explorer.result->text[0] = '\0';
    for (uint32_t i = 0; i < world->side_count; i++) {
        struct side *side = &explorer.sides[i];
        side->history = 0;
        side->bell = NOBODY;
        side->has_ended = false;
        side->is_entered = false;
        mr_assert(getcontext(&side->entry) == 0);
        side->entry.uc_stack.ss_sp = side->stack;
        side->entry.uc_stack.ss_size = STACK_BYTES;
        side->entry.uc_link = NULL;
        makecontext(&side->entry, explorer_side_main, 0);
        explorer_go_on(i); /* as far as its first step */
    }
}

/* The sides that can go on; that which ran last is first, which makes the steps of a run easier to
 * read. */
static uint32_t explorer_ready(uint32_t *ready)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < explorer.world->side_count; i++) {
        uint32_t index = (explorer.last + i) % explorer.world->side_count;
        const struct side *side = &explorer.sides[index];
        if (!side->has_ended &&
            (side->bell == NOBODY || explorer.memory.bells[side->bell].count > 0))
            ready[count++] = index;
    }
    return count;
}

static void explorer_run_end(void)
{
    for (uint32_t i = 0; i < explorer.world->side_count; i++) {
        if (explorer.sides[i].has_ended)
            continue;
        if (explorer.result->finding == EXPLORER_NOTHING)
            explorer_find(EXPLORER_STUCK);
        explorer_say("wake-up lost: %s sleeps, and nobody is left to wake it\n",
                     explorer.world->sides[i].name);
    }
    if (explorer.result->finding != EXPLORER_NOTHING)
        return;
    explorer.result->whole_count++;
    weak_settle(&explorer.memory);
    if (explorer.world->end)
        explorer.world->end(explorer.world->memory);
}

/* One run, up to its end, a known point, or what is wrong with it. */
static void explorer_run(void)
{
    explorer.result->run_count++;
    explorer_run_begin();
    while (explorer.result->finding == EXPLORER_NOTHING) {
        uint32_t ready[EXPLORER_SIDE_MAX];
        uint32_t count = explorer_ready(ready);
        if (count == 0) {
            explorer_run_end();
            return;
        }
        /* Behind the decisions that are made again there is something to be learned. */
        if (explorer.depth == explorer.path_count && explorer_is_known(explorer_hash()))
            return;
        explorer_go_on(ready[explorer_decide(count)]);
    }
}

static void explorer_stacks_map(void)
{
    for (uint32_t i = 0; i < explorer.world->side_count; i++) {
        void *stack =
            mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mr_assert(stack != MAP_FAILED);
        explorer.sides[i].stack = stack;
    }
}

static void explorer_stacks_unmap(void)
{
    for (uint32_t i = 0; i < explorer.world->side_count; i++)
        mr_assert(munmap(explorer.sides[i].stack, STACK_BYTES) == 0);
}

void explorer_explore(const struct explorer_world *world, struct explorer_result *result)
{
    mr_assert(world->side_count <= EXPLORER_SIDE_MAX);
    *result = (struct explorer_result){.finding = EXPLORER_NOTHING};
    explorer.world = world;
    explorer.result = result;
    explorer.memory.choose = explorer_decide;
    explorer.path_count = 0;
    explorer_stacks_map();
    do
        explorer_run();
    while (result->finding == EXPLORER_NOTHING && result->run_count < RUN_MAX &&
           explorer_next_path());
    if (result->finding == EXPLORER_NOTHING && result->run_count == RUN_MAX)
        result->finding = EXPLORER_ENDLESS;
    explorer_stacks_unmap();
    free(explorer.points);
    explorer.points = NULL;
    explorer.point_room = 0;
}

void explorer_print(const struct explorer_result *result)
{
    static const char *const findings[] = {"nothing found", "stuck", "race", "broken", "endless"};
    fprintf(stderr, "explorer: %s; %llu runs, %llu of them whole, %llu points\n%s",
            findings[result->finding], (unsigned long long)result->run_count,
            (unsigned long long)result->whole_count, (unsigned long long)result->point_count,
            result->text);
}
