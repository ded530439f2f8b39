/* SPDX-License-Identifier: MIT */
/*
 * library.h - llama.cpp, loaded when the worker starts: the functions of llama.h that are used.
 *
 * The structs that they take by value change from release to release. So the header and the library
 * are of one release: LLAMA_RELEASE is what the header's is called, and a library that calls itself
 * something else is refused.
 */
#ifndef LLAMA_LIBRARY_H
#define LLAMA_LIBRARY_H

#include <llama.h>

#include <millrace/pipeline.h>

#ifndef LLAMA_RELEASE
#error "compile with -DLLAMA_RELEASE='\"0.4.0\"': the release of llama.h"
#endif

#define LIBRARY_FUNCTIONS(X)                                                                       \
    X(ggml_backend_load_all)                                                                       \
    X(ggml_backend_load_all_from_path)                                                             \
    X(ggml_backend_dev_count)                                                                      \
    X(ggml_backend_dev_get)                                                                        \
    X(ggml_backend_dev_name)                                                                       \
    X(ggml_backend_dev_description)                                                                \
    X(ggml_backend_dev_type)                                                                       \
    X(llama_version)                                                                               \
    X(llama_log_set)                                                                               \
    X(llama_backend_init)                                                                          \
    X(llama_max_parallel_sequences)                                                                \
    X(llama_model_default_params)                                                                  \
    X(llama_model_load_from_file)                                                                  \
    X(llama_model_free)                                                                            \
    X(llama_model_get_vocab)                                                                       \
    X(llama_model_n_ctx_train)                                                                     \
    X(llama_model_n_embd_out)                                                                      \
    X(llama_model_n_swa)                                                                           \
    X(llama_model_has_encoder)                                                                     \
    X(llama_model_is_recurrent)                                                                    \
    X(llama_model_is_hybrid)                                                                       \
    X(llama_model_is_diffusion)                                                                    \
    X(llama_model_chat_template)                                                                   \
    X(llama_model_desc)                                                                            \
    X(llama_context_default_params)                                                                \
    X(llama_init_from_model)                                                                       \
    X(llama_free)                                                                                  \
    X(llama_set_abort_callback)                                                                    \
    X(llama_n_ctx_seq)                                                                             \
    X(llama_n_ubatch)                                                                              \
    X(llama_get_memory)                                                                            \
    X(llama_memory_clear)                                                                          \
    X(llama_memory_seq_cp)                                                                         \
    X(llama_memory_seq_rm)                                                                         \
    X(llama_pooling_type)                                                                          \
    X(llama_batch_init)                                                                            \
    X(llama_batch_free)                                                                            \
    X(llama_decode)                                                                                \
    X(llama_get_logits_ith)                                                                        \
    X(llama_get_embeddings_seq)                                                                    \
    X(llama_vocab_n_tokens)                                                                        \
    X(llama_vocab_type)                                                                            \
    X(llama_vocab_is_eog)                                                                          \
    X(llama_vocab_get_text)                                                                        \
    X(llama_tokenize)                                                                              \
    X(llama_token_to_piece)                                                                        \
    X(llama_chat_apply_template)                                                                   \
    X(llama_sampler_chain_default_params)                                                          \
    X(llama_sampler_chain_init)                                                                    \
    X(llama_sampler_chain_add)                                                                     \
    X(llama_sampler_init_greedy)                                                                   \
    X(llama_sampler_init_dist)                                                                     \
    X(llama_sampler_init_top_k)                                                                    \
    X(llama_sampler_init_top_p)                                                                    \
    X(llama_sampler_init_min_p)                                                                    \
    X(llama_sampler_init_temp)                                                                     \
    X(llama_sampler_init_penalties)                                                                \
    X(llama_sampler_init_grammar)                                                                  \
    X(llama_sampler_apply)                                                                         \
    X(llama_sampler_accept)                                                                        \
    X(llama_sampler_sample)                                                                        \
    X(llama_sampler_free)

#define LIBRARY_MEMBER(name) __typeof__(name) *name;
struct library {
    LIBRARY_FUNCTIONS(LIBRARY_MEMBER)
};

/* Whole once library_open() has returned 0. */
extern struct library library;

/* Loads libllama of `folder`, or the system's where that is NULL, and the kinds of devices that
 * ggml has beside it. Else the failure of a startup hook. */
int library_open(struct mr_call *call, const char *folder);

/* The last error that llama.cpp has told its log, since library_forget_error(); "" where it told
 * none. It is in the server's log, too. */
const char *library_error(void);
void library_forget_error(void);

#endif
