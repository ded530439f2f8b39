/* SPDX-License-Identifier: MIT */
/*
 * settings.c - variables, read and checked.
 */
#include "settings.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT_TOKENS_MAX 16777216

/* Returns 0, or a failure; `*value` stays what it is where the variable is missing. */
static int read_number(struct mr_call *call, const char *name, long long least, long long most,
                       long long *value)
{
    const char *text = getenv(name);
    if (!text || *text == '\0')
        return 0;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < least || number > most)
        return mr_fail(call, MR_ERROR_STARTUP, "%s=%s: a number from %lld to %lld", name, text,
                       least, most);
    *value = number;
    return 0;
}

static int read_kv_type(struct settings *settings, struct mr_call *call)
{
    static const struct {
        const char *name;
        enum ggml_type type;
    } types[] = {{"f16", GGML_TYPE_F16}, {"f32", GGML_TYPE_F32}, {"q8_0", GGML_TYPE_Q8_0}};
    const char *name = getenv("LLAMA_KV_TYPE");
    if (!name || *name == '\0')
        name = "f16";
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name, types[i].name) == 0) {
            settings->kv_type = types[i].type;
            return 0;
        }
    }
    return mr_fail(call, MR_ERROR_STARTUP, "LLAMA_KV_TYPE=%s: f16, f32 or q8_0", name);
}

/* But for one, which the server has: threads of ggml wait for each other in a loop, and where one
 * of them has no core, all of them wait. */
static int32_t count_free_cores(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return 1;
    return CPU_COUNT(&cores) > 1 ? CPU_COUNT(&cores) - 1 : 1;
}

int settings_read(struct settings *settings, struct mr_call *call)
{
    long long context = 0, parallel = 32, batch = 2048, shared = 0, grammar = 16384, layers = -1;
    long long threads = 0;
    if (read_number(call, "LLAMA_CONTEXT", 16, CONTEXT_TOKENS_MAX, &context) != 0 ||
        read_number(call, "LLAMA_PARALLEL", 1, PARALLEL_COUNT_MAX, &parallel) != 0 ||
        read_number(call, "LLAMA_BATCH", 1, 65536, &batch) != 0 ||
        read_number(call, "LLAMA_SHARED", 0, CONTEXT_TOKENS_MAX, &shared) != 0 ||
        read_number(call, "LLAMA_GRAMMAR_BYTES", 0, 1 << 20, &grammar) != 0 ||
        read_number(call, "LLAMA_GPU_LAYERS", -1, 100000, &layers) != 0 ||
        read_number(call, "LLAMA_THREADS", 0, 1024, &threads) != 0 ||
        read_kv_type(settings, call) != 0)
        return -1;
    settings->model = getenv("LLAMA_MODEL");
    settings->library = getenv("LLAMA_LIBRARY");
    settings->context_tokens = (uint32_t)context;
    settings->parallel_count = (uint32_t)parallel;
    settings->batch_tokens = (uint32_t)batch;
    settings->shared_tokens = (uint32_t)shared;
    settings->grammar_bytes_max = (uint32_t)grammar;
    settings->gpu_layers = (int32_t)layers;
    settings->thread_count = threads > 0 ? (int32_t)threads : count_free_cores();
    if (!settings->model || *settings->model == '\0')
        return mr_fail(call, MR_ERROR_STARTUP,
                       "LLAMA_MODEL does not say where the model is: --env LLAMA_MODEL=FILE.gguf");
    return 0;
}
