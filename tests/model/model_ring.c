/* SPDX-License-Identifier: MIT */
/*
 * model_ring.c - any sequence of ring operations does what a plain queue does.
 *
 *     N=5000000 SEED=7 build/release/tests/model/model_ring
 *
 * Random operations on both ends of one ring, and the same on an array of records. Beside the
 * contents the model foretells when a claim finds the ring full. N is the number of operations,
 * SEED (printed) brings a failure back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "shm/ring.h"

#include <cmocka.h>

#include "tests/unit/shm/ring_memory.h"

#define OPERATION_COUNT 500000u
#define QUEUE_COUNT 1024u /* a ring of 16 KiB holds that many headers */

/* The plain queue: records from `released` (oldest still in the ring) over `peeked` to `put`. */
struct model {
    struct record records[QUEUE_COUNT];
    uint64_t ends[QUEUE_COUNT]; /* the position behind each */
    uint64_t put;
    uint64_t peeked;
    uint64_t released;
    uint64_t tail;
    uint64_t head;
    uint64_t claimed; /* payload bytes claimed, one more; 0 when no claim is open */
    uint32_t written; /* bytes of pattern in the claim */
    bool behind_pad;  /* the claim starts behind the wrap */
};

struct world {
    uint32_t capacity;
    uint64_t seed;
    struct ring_shared *shared;
    struct ring_tx tx;
    struct ring_rx rx;
    void *payload;
    struct model model;
};

static uint64_t model_total(uint64_t bytes)
{
    return (16 + bytes + 15) / 16 * 16;
}

static uint64_t model_rest(const struct world *world)
{
    return world->capacity - world->model.tail % world->capacity;
}

/* What a claim of `bytes` must say, computed from the lengths of the records alone. */
static int model_claim(const struct world *world, uint32_t bytes)
{
    const struct model *model = &world->model;
    uint64_t total = model_total(bytes);
    uint64_t pad = total > model_rest(world) ? model_rest(world) : 0;
    if (bytes > world->capacity / 4 - 16)
        return -EMSGSIZE;
    return model->tail - model->head + pad + total > world->capacity ? -EAGAIN : 0;
}

static uint32_t random_length(struct world *world)
{
    uint32_t longest = world->capacity / 4 - 16;
    switch (random_below(&world->seed, 8)) {
    case 0:
        return 0;
    case 1:
        return longest;
    case 2:
        return longest + random_below(&world->seed, 3);
    case 3:
        return random_below(&world->seed, longest + 1);
    case 4: /* exactly to the wrap, or one byte more */
        return ((uint32_t)model_rest(world) - 16 + random_below(&world->seed, 2)) % longest;
    default:
        return random_below(&world->seed, 100);
    }
}

static void step_claim(struct world *world)
{
    struct model *model = &world->model;
    uint32_t bytes = random_length(world);
    int rc = ring_claim(&world->tx, bytes, &world->payload);
    assert_int_equal(rc, model_claim(world, bytes));
    if (rc == 0) {
        model->claimed = (uint64_t)bytes + 1;
        model->written = 0;
        model->behind_pad = model_total(bytes) > model_rest(world);
    }
}

static void step_write(struct world *world)
{
    struct model *model = &world->model;
    uint32_t room = (uint32_t)model->claimed - 1 - model->written;
    uint32_t more = random_below(&world->seed, room + 1);
    pattern_fill(world->payload, model->written, model->written + more, (uint32_t)model->put);
    model->written += more;
}

static void step_extend(struct world *world)
{
    struct model *model = &world->model;
    uint32_t claimed = (uint32_t)model->claimed - 1;
    uint32_t bytes = claimed + random_length(world);
    /* A claim that already starts behind the wrap stays there, whatever the model's tail says. */
    uint64_t total = model_total(bytes);
    uint64_t pad = model->behind_pad || total > model_rest(world) ? model_rest(world) : 0;
    int expected = 0;
    if (bytes > world->capacity / 4 - 16)
        expected = -EMSGSIZE;
    else if (model->tail - model->head + pad + total > world->capacity)
        expected = -EAGAIN;
    int rc = ring_extend(&world->tx, model->written, bytes, &world->payload);
    assert_int_equal(rc, expected);
    if (rc == 0) {
        model->claimed = (uint64_t)bytes + 1;
        model->behind_pad = pad != 0;
    }
    assert_true(pattern_holds(world->payload, model->written, (uint32_t)model->put));
}

static void step_commit(struct world *world)
{
    struct model *model = &world->model;
    const struct record meta = {
        .bytes = model->written,
        .slot = (uint16_t)random_next(&world->seed),
        .kind = (uint8_t)(1 + random_below(&world->seed, 255)),
        .flags = (uint8_t)random_next(&world->seed),
        .generation = random_next(&world->seed),
        .sequence = (uint32_t)model->put,
    };
    ring_commit(&world->tx, &meta);
    model->tail += (model->behind_pad ? model_rest(world) : 0) + model_total(meta.bytes);
    model->records[model->put % QUEUE_COUNT] = meta;
    model->ends[model->put % QUEUE_COUNT] = model->tail;
    model->put++;
    model->claimed = 0;
    assert_int_equal(world->tx.tail, model->tail);
}

static void step_peek(struct world *world)
{
    struct model *model = &world->model;
    struct record meta;
    const void *payload;
    assert_int_equal(ring_is_empty(&world->rx), model->peeked == model->put);
    int rc = ring_peek(&world->rx, &meta, &payload);
    assert_int_equal(rc, model->peeked < model->put);
    if (rc == 1) {
        assert_memory_equal(&meta, &model->records[model->peeked % QUEUE_COUNT], sizeof meta);
        assert_true(pattern_holds(payload, meta.bytes, meta.sequence));
        model->peeked++;
    }
}

static void step_release(struct world *world)
{
    struct model *model = &world->model;
    assert_int_equal(ring_release(&world->rx), model->released < model->peeked);
    if (model->peeked > 0)
        model->head = model->ends[(model->peeked - 1) % QUEUE_COUNT];
    model->released = model->peeked;
    assert_int_equal(world->rx.head, model->head);
}

static void step_claimable(struct world *world)
{
    uint32_t bytes = ring_claimable(&world->tx);
    if (bytes > 0)
        assert_int_equal(model_claim(world, bytes), 0);
    assert_int_not_equal(model_claim(world, bytes + 1), 0);
}

static void step(struct world *world)
{
    uint32_t choice = random_below(&world->seed, 16);
    if (world->model.claimed != 0) {
        switch (choice) {
        case 0:
            ring_abort(&world->tx);
            world->model.claimed = 0;
            break;
        case 1:
        case 2:
            step_extend(world);
            break;
        case 3:
        case 4:
        case 5:
            step_write(world);
            break;
        case 6:
            step_peek(world);
            break;
        case 7:
            step_release(world);
            break;
        default:
            step_write(world);
            step_commit(world);
            break;
        }
    } else if (choice < 7) {
        step_claim(world);
    } else if (choice < 8) {
        step_claimable(world);
    } else if (choice < 13) {
        step_peek(world);
    } else {
        step_release(world);
    }
    ring_tx_check(&world->tx);
    ring_rx_check(&world->rx);
}

static void run_model(uint32_t capacity)
{
    const uint64_t seed = environment_number("SEED", 1);
    const uint64_t count = environment_number("N", OPERATION_COUNT);
    print_message("SEED=%llu N=%llu capacity %u\n", (unsigned long long)seed,
                  (unsigned long long)count, capacity);
    static struct world world;
    /* Both positions pass the end of 64 bits on the way. */
    const uint64_t position = 0 - (uint64_t)capacity * 16;
    world = (struct world){
        .capacity = capacity,
        .seed = seed * 2 + 1,
        .shared = ring_memory_map(capacity, position),
        .model = {.tail = position, .head = position},
    };
    ring_tx_init(&world.tx, world.shared, capacity);
    ring_rx_init(&world.rx, world.shared, capacity);
    for (uint64_t i = 0; i < count; i++)
        step(&world);
    assert_true(world.model.put > count / 20);
    ring_memory_unmap(world.shared, capacity);
}

static void the_smallest_ring_is_a_queue(void **state)
{
    (void)state;
    run_model(RING_BYTES_MIN);
}

static void a_larger_ring_is_a_queue(void **state)
{
    (void)state;
    run_model(4 * RING_BYTES_MIN);
}

int main(void)
{
    if (environment_number("N", OPERATION_COUNT) <= OPERATION_COUNT)
        alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_ring_is_a_queue),
        cmocka_unit_test(a_larger_ring_is_a_queue),
    };
    return cmocka_run_group_tests(tests, descriptors_note, descriptors_compare);
}
