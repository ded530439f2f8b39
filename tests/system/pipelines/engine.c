/* SPDX-License-Identifier: MIT */
/*
 * engine.c - an engine for system tests: a step takes MS whatever the batch, and gives each run a
 * value, until COUNT.
 *
 * A value is [number of the value, number of the step, runs in the step]. At value AT, WORD is
 * done: "fail", the run fails; "finish", it ends; "fail all", the step fails; "abort", the process
 * ends; "half", no whole value is written; "hang", the step takes for ever; "stale", the run is
 * used after it was finished. "refuse" fails in admit(), "one" is admitted only where there is no
 * other. The environment's CAPACITY is its capacity().
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/pipeline.h>

#define RUN_COUNT_MAX 4096

static const char *const words[] = {"none", "fail", "finish", "fail all", "abort",
                                    "half", "hang", "stale",  "one",      "refuse"};
enum { NONE, FAIL, FINISH, FAIL_ALL, ABORT, HALF, HANG, STALE, ONE, REFUSE, WORD_COUNT };

struct state {
    struct mr_run *run;
    int word;
    int64_t count, at, ms, sent;
};

static struct state *states[RUN_COUNT_MAX];
static size_t state_count;
static int64_t step_count;

static void forget(struct mr_run *run)
{
    for (size_t i = 0; i < state_count; i++)
        if (states[i]->run == run)
            states[i--] = states[--state_count];
}

static int admit(struct mr_run *run)
{
    int word = 0;
    while (word < WORD_COUNT && strcmp(words[word], mr_run_arg_string(run, 0)) != 0)
        word++;
    if (word == REFUSE)
        return mr_run_fail(run, MR_ERROR_INPUT, "refused");
    if (word == ONE && state_count > 0)
        return MR_LATER;
    struct state *state = mr_run_alloc(run, sizeof *state);
    if (!state)
        return -1;
    *state = (struct state){.run = run,
                            .word = word,
                            .count = mr_run_arg_integer(run, 1),
                            .at = mr_run_arg_integer(run, 2),
                            .ms = mr_run_arg_integer(run, 3)};
    mr_run_set(run, state);
    states[state_count++] = state;
    mr_log(MR_LOG_INFO, "admitted after %lld steps", (long long)step_count);
    return 0;
}

static void evict(struct mr_run *run)
{
    mr_log(MR_LOG_INFO, "evicted after %lld steps", (long long)step_count);
    forget(run);
}

static void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void emit(struct mr_run *run, int64_t number, size_t batch)
{
    struct mr_value *value = mr_emit(run);
    mr_value_array(value, 3);
    mr_value_integer(value, number);
    mr_value_integer(value, step_count);
    mr_value_integer(value, (int64_t)batch);
}

/* True when the run is over, and its memory gone. */
static bool act(const struct state *state)
{
    struct mr_run *run = state->run;
    switch (state->word) {
    case FAIL:
        mr_run_fail(run, MR_ERROR_CUDA, "failed at %lld", (long long)state->at);
        return true;
    case FINISH:
        mr_run_finish(run);
        return true;
    case STALE:
        mr_run_finish(run);
        mr_emit(run);
        return true;
    case ABORT:
        abort();
    case HALF:
        mr_value_array(mr_emit(run), 3);
        return false;
    case HANG:
        pause_ms(1000000);
        return false;
    default:
        return false;
    }
}

static int step(void *nothing)
{
    (void)nothing;
    size_t batch = 0;
    int64_t ms = 0;
    for (size_t i = 0; i < state_count; i++) {
        batch += !mr_run_is_full(states[i]->run);
        ms = states[i]->ms > ms ? states[i]->ms : ms;
    }
    if (batch == 0)
        return MR_LATER;
    step_count++;
    pause_ms(ms);
    for (size_t i = 0; i < state_count; i++) {
        struct state *state = states[i];
        struct mr_run *run = state->run;
        if (mr_run_is_full(run))
            continue;
        if (state->sent == state->at && state->word == FAIL_ALL)
            return mr_engine_fail(MR_ERROR_CUDA_OOM, "the step failed");
        bool is_over = state->sent == state->at && act(state);
        if (!is_over && !mr_run_is_full(run))
            emit(run, state->sent++, batch);
        if (!is_over && state->sent == state->count) {
            mr_run_finish(run);
            is_over = true;
        }
        if (is_over)
            states[i--] = states[--state_count];
    }
    return 0;
}

static int capacity(void *nothing)
{
    const char *text = getenv("CAPACITY");
    (void)nothing;
    return text ? (int)strtol(text, NULL, 10) : 0;
}

MR_PIPELINE(engine)
{
    static const struct mr_engine calls = {
        .admit = admit, .step = step, .evict = evict, .capacity = capacity};
    mr_variable word = mr_input(builder, MR_STRING, .title = "WORD");
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "COUNT");
    mr_variable at = mr_input(builder, MR_INTEGER, .title = "AT");
    mr_variable ms = mr_input(builder, MR_INTEGER, .title = "MS");
    mr_engine(builder, &calls, word, count, at, ms);
}
