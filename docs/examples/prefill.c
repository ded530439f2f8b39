/* SPDX-License-Identifier: MIT */
/*
 * prefill.c - long inputs beside running streams: an engine that keeps to its step budget.
 *
 *     cc -shared -fPIC prefill.c -o prefill.so $(pkg-config --cflags millrace)
 *     millrace serve prefill.so --concurrency 32 --step-budget 64
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string","value":"backwards them says and words some reads"}]}'
 *
 * As a language model it takes up a prompt, and then says a token in each step. A step gives each
 * run that speaks its next token, and what is left of the budget to prompts, in the order in which
 * they came. A prompt of many thousand tokens takes as many steps as it needs, and delays nobody's
 * next token by more than one of these.
 *
 * Tokens are words here, compute() stands for the device, and what is said is the prompt backwards.
 */
#include <string.h>
#include <time.h>

#include <millrace/pipeline.h>

#define SEQUENCE_COUNT 32
#define STEP_TOKENS 256 /* when no budget is said */
#define TOKEN_NS 20000  /* that one takes in compute() */

static struct sequence {
    struct mr_run *run;
    const char *prompt, *at; /* what is before `at` was taken up, or is still to be said */
    bool speaks;             /* the whole prompt was taken up */
    bool is_due;             /* it is in the batch of this step */
} sequences[SEQUENCE_COUNT]; /* in the order in which they came */
static size_t sequence_count;

/* One step of the model, for so many tokens of whichever sequences. */
static void compute(uint64_t tokens)
{
    uint64_t ns = tokens * TOKEN_NS;
    nanosleep(&(struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)}, NULL);
}

static int admit(struct mr_run *run)
{
    const char *prompt = mr_run_arg_string(run, 0);
    if (sequence_count == SEQUENCE_COUNT)
        return MR_LATER;
    sequences[sequence_count++] = (struct sequence){.run = run, .prompt = prompt, .at = prompt};
    return 0;
}

static void leave(size_t i)
{
    sequence_count--;
    memmove(&sequences[i], &sequences[i + 1], (sequence_count - i) * sizeof sequences[0]);
}

static void evict(struct mr_run *run)
{
    for (size_t i = 0; i < sequence_count; i++)
        if (sequences[i].run == run)
            leave(i);
}

/* Takes up as many tokens of the prompt as are allowed; returns how many that were. */
static uint64_t take_up(struct sequence *sequence, uint64_t allowed)
{
    uint64_t tokens = 0;
    while (tokens < allowed && !sequence->speaks) {
        sequence->at += strcspn(sequence->at, " ");
        sequence->at += strspn(sequence->at, " ");
        sequence->speaks = *sequence->at == '\0';
        tokens++;
    }
    return tokens;
}

/* Says the last token that was not said yet. True: it was the first one of the prompt. */
static bool say(struct sequence *sequence)
{
    const char *end = sequence->at;
    while (end > sequence->prompt && end[-1] == ' ')
        end--;
    const char *token = end;
    while (token > sequence->prompt && token[-1] != ' ')
        token--;
    mr_value_string(mr_emit(sequence->run), token, (size_t)(end - token));
    sequence->at = token;
    return token == sequence->prompt;
}

/* The next tokens of those that speak are in the batch of this step; returns how many. */
static uint64_t gather_tokens(void)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < sequence_count; i++) {
        struct sequence *sequence = &sequences[i];
        sequence->is_due = sequence->speaks && !mr_run_is_full(sequence->run);
        tokens += sequence->is_due;
    }
    return tokens;
}

/* And so many of prompts. */
static uint64_t gather_prompts(uint64_t allowed)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < sequence_count && tokens < allowed; i++)
        tokens += take_up(&sequences[i], allowed - tokens);
    return tokens;
}

static int step(void *nothing)
{
    (void)nothing;
    uint64_t budget = mr_step_budget(STEP_TOKENS), tokens = gather_tokens();
    /* However many speak, prompts get on, if by a token. */
    tokens += gather_prompts(tokens < budget ? budget - tokens : 1);
    if (tokens == 0)
        return MR_LATER; /* all wait for their clients */
    compute(tokens);
    for (size_t i = sequence_count; i-- > 0;) {
        if (!sequences[i].is_due || !say(&sequences[i]))
            continue;
        mr_run_finish(sequences[i].run);
        leave(i);
    }
    return 0;
}

MR_PIPELINE(prefill)
{
    static const struct mr_engine engine = {.admit = admit, .step = step, .evict = evict};
    mr_engine(builder, &engine, mr_input(builder, MR_STRING, .title = "prompt"));
}
