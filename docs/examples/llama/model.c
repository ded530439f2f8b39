/* SPDX-License-Identifier: MIT */
/*
 * model.c - loads the weights onto the device that the worker has, and opens the context.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define WARM_UP_TOKENS 16

struct model model;

static bool tell_progress(float fraction, void *unused)
{
    (void)unused;
    mr_startup_progress(fraction, "loading the weights");
    return true;
}

static bool is_gpu(ggml_backend_dev_t device)
{
    enum ggml_backend_dev_type type = library.ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

/* A worker sees its own device alone, if it has one. NULL: it has none. */
static ggml_backend_dev_t find_device(void)
{
    ggml_backend_dev_t found = NULL;
    const size_t count = library.ggml_backend_dev_count();
    for (size_t i = 0; i < count; i++) {
        ggml_backend_dev_t device = library.ggml_backend_dev_get(i);
        mr_log(MR_LOG_INFO, "ggml device %zu of %zu: %s, %s", i, count,
               library.ggml_backend_dev_name(device), library.ggml_backend_dev_description(device));
        if (!found && is_gpu(device))
            found = device;
    }
    return mr_device() && strcmp(mr_device()->kind, "cpu") != 0 ? found : NULL;
}

static int load_weights(struct mr_call *call)
{
    const struct settings *settings = &model.settings;
    const struct mr_device_info *own = mr_device();
    ggml_backend_dev_t devices[] = {find_device(), NULL};
    if (own && strcmp(own->kind, "cpu") != 0 && !devices[0])
        return mr_fail(
            call, MR_ERROR_STARTUP,
            "the worker has %s device %d, but llama.cpp sees none: is its library for %s "
            "in LLAMA_LIBRARY?",
            own->kind, own->index, own->kind);
    if (access(settings->model, R_OK) != 0)
        return mr_fail(call, MR_ERROR_STARTUP, "LLAMA_MODEL=%s: %m", settings->model);
    struct llama_model_params how = library.llama_model_default_params();
    how.devices = devices;
    how.n_gpu_layers = devices[0] ? settings->gpu_layers : 0;
    how.progress_callback = tell_progress;
    library_forget_error();
    model.weights = library.llama_model_load_from_file(settings->model, how);
    if (!model.weights)
        return mr_fail(call, mr_device_error(library_error(), MR_ERROR_STARTUP),
                       "LLAMA_MODEL=%s cannot be loaded: %s", settings->model, library_error());
    if (library.llama_model_is_diffusion(model.weights))
        return mr_fail(call, MR_ERROR_STARTUP, "%s: diffusion models are not served",
                       settings->model);
    model.vocab = library.llama_model_get_vocab(model.weights);
    model.word_count = library.llama_vocab_n_tokens(model.vocab);
    if (library.llama_vocab_type(model.vocab) == LLAMA_VOCAB_TYPE_NONE || model.word_count < 1)
        return mr_fail(call, MR_ERROR_STARTUP, "%s has no vocabulary", settings->model);
    model.template = library.llama_model_chat_template(model.weights, NULL);
    return 0;
}

static void measure_words(void)
{
    model.piece_bytes_max = 1;
    for (llama_token word = 0; word < model.word_count; word++) {
        int32_t bytes = abs(library.llama_token_to_piece(model.vocab, word, NULL, 0, 0, true));
        size_t raw_bytes = strlen(library.llama_vocab_get_text(model.vocab, word));
        if ((int32_t)raw_bytes > bytes)
            bytes = (int32_t)raw_bytes;
        if (bytes > model.piece_bytes_max)
            model.piece_bytes_max = bytes;
    }
}

static void choose_sizes(void)
{
    const struct settings *settings = &model.settings;
    int32_t trained = library.llama_model_n_ctx_train(model.weights);
    model.context_tokens = (int32_t)settings->context_tokens;
    if (model.context_tokens == 0)
        model.context_tokens = trained > 0 && trained < 4096 ? trained : 4096;
}

static int open_context(struct mr_call *call, struct llama_context_params how)
{
    const struct settings *settings = &model.settings;
    how.n_threads = how.n_threads_batch = settings->thread_count;
    how.type_k = how.type_v = settings->kv_type;
    how.flash_attn_type = settings->kv_type == GGML_TYPE_F32 ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                                             : LLAMA_FLASH_ATTN_TYPE_AUTO;
    how.no_perf = true;
    mr_startup_progress(-1, "opening a context");
    library_forget_error();
    model.context = library.llama_init_from_model(model.weights, how);
    if (!model.context)
        return mr_fail(call, mr_device_error(library_error(), MR_ERROR_STARTUP),
                       "there is no context of %u tokens: %s", how.n_ctx, library_error());
    model.memory = library.llama_get_memory(model.context);
    char description[128];
    library.llama_model_desc(model.weights, description, sizeof description);
    mr_log(MR_LOG_INFO, "%s: %u runs of %d tokens", description, how.n_seq_max,
           model.context_tokens);
    return 0;
}

static int load(struct mr_call *call)
{
    if (settings_read(&model.settings, call) != 0 ||
        library_open(call, model.settings.library) != 0 || load_weights(call) != 0)
        return -1;
    measure_words();
    if (model.piece_bytes_max > TEXT_PIECE_BYTES_MAX)
        return mr_fail(call, MR_ERROR_STARTUP, "%s has words of %d bytes; %d are the most",
                       model.settings.model, model.piece_bytes_max, TEXT_PIECE_BYTES_MAX);
    choose_sizes();
    return 0;
}

/* Shaders, say, are compiled when they are used first. */
static int warm_up(struct mr_call *call, bool is_whole)
{
    mr_startup_progress(-1, "the first tokens");
    struct llama_batch batch = library.llama_batch_init(WARM_UP_TOKENS, 0, 1);
    for (int32_t count = WARM_UP_TOKENS; count >= 1; count -= WARM_UP_TOKENS - 1) {
        batch.n_tokens = count < model.batch_tokens ? count : model.batch_tokens;
        for (int32_t i = 0; i < batch.n_tokens; i++) {
            batch.token[i] = i % model.word_count;
            batch.pos[i] = i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = is_whole || i + 1 == batch.n_tokens;
        }
        library_forget_error();
        if (library.llama_decode(model.context, batch) != 0) {
            library.llama_batch_free(batch);
            return mr_fail(call, mr_device_error(library_error(), MR_ERROR_STARTUP),
                           "the first tokens failed: %s", library_error());
        }
        if (model.memory)
            library.llama_memory_clear(model.memory, true);
    }
    library.llama_batch_free(batch);
    return 0;
}

int model_open(struct mr_call *call)
{
    if (load(call) != 0)
        return -1;
    const struct settings *settings = &model.settings;
    if (library.llama_model_has_encoder(model.weights))
        return mr_fail(call, MR_ERROR_STARTUP, "%s: models with an encoder are not served",
                       settings->model);
    struct llama_context_params how = library.llama_context_default_params();
    bool is_shared = settings->shared_tokens > 0;
    model.batch_tokens = (int32_t)(settings->batch_tokens + settings->parallel_count);
    how.n_ctx = is_shared ? settings->shared_tokens
                          : (uint32_t)model.context_tokens * settings->parallel_count;
    how.n_seq_max = settings->parallel_count;
    how.n_batch = (uint32_t)model.batch_tokens;
    how.n_outputs_max = settings->parallel_count;
    how.kv_unified = is_shared;
    if (open_context(call, how) != 0)
        return -1;
    if (!model.memory)
        return mr_fail(call, MR_ERROR_STARTUP, "%s makes vectors, no answers", settings->model);
    if (is_shared && model.context_tokens > (int32_t)settings->shared_tokens)
        model.context_tokens = (int32_t)settings->shared_tokens;
    model.can_share = !library.llama_model_is_recurrent(model.weights) &&
                      !library.llama_model_is_hybrid(model.weights) &&
                      library.llama_model_n_swa(model.weights) == 0;
    return warm_up(call, false);
}

int model_open_for_vectors(struct mr_call *call)
{
    if (load(call) != 0)
        return -1;
    struct llama_context_params how = library.llama_context_default_params();
    /* A text is read at once: its words may look at later ones. */
    model.batch_tokens = model.context_tokens;
    how.n_ctx = how.n_batch = how.n_ubatch = (uint32_t)model.batch_tokens;
    how.n_seq_max = model.settings.parallel_count;
    how.kv_unified = true;
    how.embeddings = true;
    if (open_context(call, how) != 0)
        return -1;
    if (library.llama_pooling_type(model.context) == LLAMA_POOLING_TYPE_NONE) {
        library.llama_free(model.context);
        how.pooling_type = LLAMA_POOLING_TYPE_MEAN;
        if (open_context(call, how) != 0)
            return -1;
    }
    if (library.llama_pooling_type(model.context) == LLAMA_POOLING_TYPE_RANK)
        return mr_fail(call, MR_ERROR_STARTUP, "%s ranks, and has no vectors",
                       model.settings.model);
    return warm_up(call, true);
}

void model_close(void *unused)
{
    (void)unused;
    if (model.context)
        library.llama_free(model.context);
    if (model.weights)
        library.llama_model_free(model.weights);
}

enum mr_error model_error_kind(void)
{
    return mr_device_error(library_error(), MR_ERROR_PIPELINE);
}
