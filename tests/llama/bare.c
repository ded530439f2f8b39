/* SPDX-License-Identifier: MIT */
/*
 * bare.c - what llama.cpp says without a server: all prompts in one batch, in one process.
 *
 *     bare MODEL BACKENDS CONTEXT COUNT TEMPERATURE SEED PROMPT...
 *
 * Each prompt has a sequence of CONTEXT tokens, and the sampler of the example with its usual
 * values; its seed is SEED and its place among the prompts. A line for each prompt: its tokens,
 * COUNT of them, or fewer unless IGNORE_EOS is in the environment. Then one with how long the
 * prompts took and how fast the rest was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#define BATCH_TOKENS 2048

struct stream {
    llama_token *prompt, *said;
    int32_t prompt_count, count, row;
    bool is_over;
    struct llama_sampler *sampler;
};

static int32_t limit;
static bool ignores_end;
static float temperature;
static struct llama_context *context;
static const struct llama_vocab *vocab;
static struct llama_batch batch;

static void quiet(enum ggml_log_level level, const char *text, void *unused)
{
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void stop(const char *why)
{
    fprintf(stderr, "bare: %s\n", why);
    exit(1);
}

static void open_model(const char *path, const char *backends, uint32_t context_tokens,
                       uint32_t count)
{
    llama_log_set(quiet, NULL);
    ggml_backend_load_all_from_path(backends);
    llama_backend_init();
    ggml_backend_dev_t none = NULL;
    struct llama_model_params loading = llama_model_default_params();
    loading.devices = &none;
    loading.n_gpu_layers = 0;
    struct llama_model *model = llama_model_load_from_file(path, loading);
    if (!model)
        stop("the model cannot be loaded");
    struct llama_context_params how = llama_context_default_params();
    how.n_ctx = context_tokens * count;
    how.n_seq_max = count;
    how.n_batch = BATCH_TOKENS;
    how.n_threads = how.n_threads_batch = 1;
    how.type_k = how.type_v = GGML_TYPE_F32;
    how.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    how.kv_unified = false;
    how.no_perf = true;
    context = llama_init_from_model(model, how);
    if (!context)
        stop("there is no context");
    vocab = llama_model_get_vocab(model);
    batch = llama_batch_init(BATCH_TOKENS, 0, 1);
}

static void open_stream(struct stream *stream, const char *prompt, uint32_t seed)
{
    int32_t bytes = (int32_t)strlen(prompt);
    stream->prompt = calloc((size_t)bytes + 8, sizeof(llama_token));
    stream->said = calloc((size_t)limit, sizeof(llama_token));
    if (!stream->prompt || !stream->said)
        stop("out of memory");
    stream->prompt_count =
        llama_tokenize(vocab, prompt, bytes, stream->prompt, bytes + 8, true, true);
    stream->sampler = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (temperature == 0) {
        llama_sampler_chain_add(stream->sampler, llama_sampler_init_greedy());
        return;
    }
    llama_sampler_chain_add(stream->sampler, llama_sampler_init_top_k(40));
    llama_sampler_chain_add(stream->sampler, llama_sampler_init_top_p(0.95f, 1));
    llama_sampler_chain_add(stream->sampler, llama_sampler_init_min_p(0.05f, 1));
    llama_sampler_chain_add(stream->sampler, llama_sampler_init_temp(temperature));
    llama_sampler_chain_add(stream->sampler, llama_sampler_init_dist(seed));
}

static void add(llama_token token, int32_t place, int32_t sequence, bool wants_odds)
{
    int32_t i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = place;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = wants_odds;
}

static void sample(struct stream *stream)
{
    llama_token token = llama_sampler_sample(stream->sampler, context, stream->row);
    stream->said[stream->count++] = token;
    stream->is_over = stream->count == limit || (!ignores_end && llama_vocab_is_eog(vocab, token));
}

static void decode(struct stream *streams, int32_t count)
{
    if (llama_decode(context, batch) != 0)
        stop("a batch failed");
    for (int32_t i = 0; i < count; i++) {
        if (streams[i].row >= 0)
            sample(&streams[i]);
        streams[i].row = -1;
    }
    batch.n_tokens = 0;
}

static void read_prompts(struct stream *streams, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        for (int32_t k = 0; k < streams[i].prompt_count; k++) {
            bool is_last = k + 1 == streams[i].prompt_count;
            add(streams[i].prompt[k], k, i, is_last);
            if (is_last)
                streams[i].row = batch.n_tokens - 1;
            if (batch.n_tokens == BATCH_TOKENS)
                decode(streams, count);
        }
    }
    if (batch.n_tokens > 0)
        decode(streams, count);
}

static bool step(struct stream *streams, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        struct stream *stream = &streams[i];
        if (stream->is_over)
            continue;
        stream->row = batch.n_tokens;
        add(stream->said[stream->count - 1], stream->prompt_count + stream->count - 1, i, true);
    }
    if (batch.n_tokens == 0)
        return false;
    decode(streams, count);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 8)
        stop("MODEL BACKENDS CONTEXT COUNT TEMPERATURE SEED PROMPT...");
    int32_t count = argc - 7;
    limit = (int32_t)strtol(argv[4], NULL, 10);
    ignores_end = getenv("IGNORE_EOS") != NULL;
    temperature = strtof(argv[5], NULL);
    open_model(argv[1], argv[2], (uint32_t)strtoul(argv[3], NULL, 10), (uint32_t)count);
    struct stream *streams = calloc((size_t)count, sizeof *streams);
    if (!streams)
        stop("out of memory");
    for (int32_t i = 0; i < count; i++) {
        streams[i].row = -1;
        open_stream(&streams[i], argv[7 + i], (uint32_t)strtoul(argv[6], NULL, 10) + (uint32_t)i);
    }
    int64_t began_us = llama_time_us();
    read_prompts(streams, count);
    int64_t first_us = llama_time_us();
    while (step(streams, count))
        continue;
    double rest_s = (double)(llama_time_us() - first_us) / 1e6;
    int64_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        total += streams[i].count - 1;
        for (int32_t k = 0; k < streams[i].count; k++)
            printf("%d%c", streams[i].said[k], k + 1 == streams[i].count ? '\n' : ' ');
    }
    printf("first_ms=%.1f tokens_per_s=%.1f\n", (double)(first_us - began_us) / 1e3,
           (double)total / rest_s);
    return 0;
}
