/* SPDX-License-Identifier: MIT */
/*
 * llama.c - tokens that llama.cpp generates of a prompt, the likeliest each time, one a line.
 *
 * For tests: one run at a time, no sampling, no pieces of text. LLAMA_MODEL is a file in GGUF,
 * LLAMA_BACKENDS the folder of libggml-*.so. All layers are on the device that ggml sees, or on the
 * CPU where it sees none; which ones it sees is in the log.
 */
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include <millrace/pipeline.h>

#define CONTEXT_TOKENS 4096
#define PROMPT_TOKENS 256

struct toy {
    const struct llama_vocab *vocab;
    struct llama_context *context;
    int32_t word_count;
};

/* ---- the start ----------------------------------------------------------------------------- */

static void log_what_matters(enum ggml_log_level level, const char *text, void *unused)
{
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR)
        mr_log(MR_LOG_ERROR, "%.*s", (int)strcspn(text, "\n"), text);
}

static bool tell_progress(float fraction, void *unused)
{
    (void)unused;
    mr_startup_progress(fraction, "loading the weights");
    return true;
}

static void log_devices(void)
{
    const size_t count = ggml_backend_dev_count();
    for (size_t i = 0; i < count; i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        mr_log(MR_LOG_INFO, "ggml device %zu of %zu: %s, %s", i, count,
               ggml_backend_dev_name(device), ggml_backend_dev_description(device));
    }
}

static struct llama_context *open_context(struct llama_model *model)
{
    struct llama_context_params how = llama_context_default_params();
    how.n_ctx = CONTEXT_TOKENS;
    how.n_threads = how.n_threads_batch = 1;
    how.type_k = how.type_v = GGML_TYPE_F32; /* the CPU and a device round alike */
    how.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    how.no_perf = true;
    return llama_init_from_model(model, how);
}

/* Shaders are compiled when they are used first: those for many tokens, and those for one. */
static int warm_up(struct toy *toy)
{
    llama_token tokens[16] = {0};
    int rc = llama_decode(toy->context, llama_batch_get_one(tokens, 16));
    if (rc == 0)
        rc = llama_decode(toy->context, llama_batch_get_one(tokens, 1));
    return rc;
}

static int start(struct mr_call *call)
{
    struct toy *toy = mr_state(call);
    const char *path = getenv("LLAMA_MODEL"), *backends = getenv("LLAMA_BACKENDS");
    if (!path || !backends)
        return mr_fail(call, MR_ERROR_STARTUP, "LLAMA_MODEL or LLAMA_BACKENDS is missing");
    llama_log_set(log_what_matters, NULL);
    ggml_backend_load_all_from_path(backends);
    llama_backend_init();
    log_devices();
    struct llama_model_params how = llama_model_default_params();
    how.n_gpu_layers = -1;
    how.progress_callback = tell_progress;
    struct llama_model *model = llama_model_load_from_file(path, how);
    if (!model)
        return mr_fail(call, MR_ERROR_STARTUP, "%s cannot be loaded", path);
    mr_startup_progress(-1, "opening a context");
    toy->context = open_context(model);
    if (!toy->context)
        return mr_fail(call, MR_ERROR_STARTUP, "there is no context");
    toy->vocab = llama_model_get_vocab(model);
    toy->word_count = llama_vocab_n_tokens(toy->vocab);
    mr_startup_progress(-1, "compiling shaders");
    if (warm_up(toy) != 0)
        return mr_fail(call, MR_ERROR_STARTUP, "the first tokens cannot be decoded");
    return 0;
}

/* ---- a run --------------------------------------------------------------------------------- */

struct text {
    const struct toy *toy;
    int64_t left;
    int32_t batch_count; /* of these tokens, which the context does not have yet */
    llama_token batch[PROMPT_TOKENS];
};

static llama_token likeliest(const struct toy *toy)
{
    const float *odds = llama_get_logits_ith(toy->context, -1);
    llama_token best = 0;
    for (llama_token word = 1; word < toy->word_count; word++)
        if (odds[word] > odds[best])
            best = word;
    return best;
}

static int text_next(void *state, struct mr_value *out)
{
    struct text *text = state;
    if (text->left-- == 0)
        return MR_END;
    struct llama_batch batch = llama_batch_get_one(text->batch, text->batch_count);
    int rc = llama_decode(text->toy->context, batch);
    if (rc != 0)
        return mr_value_fail(out, MR_ERROR_CUDA, "llama_decode: %d", rc);
    text->batch[0] = likeliest(text->toy);
    text->batch_count = 1;
    return mr_value_integer(out, text->batch[0]);
}

static int generate(struct mr_call *call)
{
    const struct mr_object *prompt = mr_arg(call, 0);
    struct text *text = mr_alloc(call, sizeof *text);
    if (!text)
        return -1; /* mr_alloc() has said why */
    text->toy = mr_state(call);
    text->left = mr_arg_integer(call, 1);
    text->batch_count =
        llama_tokenize(text->toy->vocab, prompt->u.string.bytes, (int32_t)prompt->u.string.count,
                       text->batch, PROMPT_TOKENS, true, false);
    if (text->batch_count < 1)
        return mr_fail(call, MR_ERROR_INPUT, "prompt: %d tokens at most", PROMPT_TOKENS);
    if (text->left < 1 || text->left > CONTEXT_TOKENS - text->batch_count)
        return mr_fail(call, MR_ERROR_INPUT, "count: from 1 to %d",
                       CONTEXT_TOKENS - text->batch_count);
    llama_memory_clear(llama_get_memory(text->toy->context), true);
    return mr_return_stream(call, &(struct mr_iterator){text, text_next, NULL});
}

MR_PIPELINE(llama)
{
    static struct toy toy;
    mr_set_state(builder, &toy, NULL);
    mr_on_startup(builder, start);
    mr_variable prompt = mr_input(builder, MR_STRING, .title = "prompt");
    mr_variable count = mr_input(builder, MR_INTEGER, .title = "count");
    mr_output(builder, mr_pipe(builder, generate, MR_STREAM, prompt, count));
}
