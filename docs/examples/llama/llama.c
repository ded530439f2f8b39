/* SPDX-License-Identifier: MIT */
/*
 * llama.c - models in GGUF, served: answers a token at a time, and vectors of texts.
 *
 *     docs/examples/llama/fetch build/llama
 *     make build/examples/llama.so
 *     millrace serve build/examples/llama.so:llama --concurrency 32 \
 *          --env LLAMA_MODEL=model.gguf --env LLAMA_LIBRARY=$PWD/build/llama/lib
 *     curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
 *          -d '{"inputs":[{"type":"string","value":"In the beginning"}]}'
 *
 * README.md has inputs, outputs and variables. Each other file has one job:
 *
 *   library    llama.cpp, loaded              request    options of a run
 *   settings   variables                      sampling   the next token
 *   model      weights and context            text       UTF-8 and stop strings
 *   prompt     texts and chats to tokens      reply      what clients see
 *   sequences  prefixes in common             generate   the engine of answers
 *   batch      one llama_decode()             vectors    the engine of vectors
 *   grammar    a look before llama.cpp's
 */
#include "generate.h"
#include "request.h"
#include "vectors.h"

#define MESSAGES_SCHEMA                                                                            \
    "{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\",\"required\":[\"role\","    \
    "\"content\"],\"additionalProperties\":false,\"properties\":{\"role\":{\"type\":\"string\"},"  \
    "\"content\":{\"type\":\"string\"}}}}"

MR_PIPELINE(llama)
{
    mr_set_state(builder, NULL, generate_close);
    mr_on_startup(builder, generate_open);
    mr_variable prompt = mr_input(builder, MR_STRING, .title = "prompt", .optional = true,
                                  .description = "a text to go on with");
    mr_variable messages = mr_input(builder, MR_ARRAY, .title = "messages", .optional = true,
                                    .description = "a chat, in the place of a prompt");
    mr_variable options = mr_input(builder, MR_DICTIONARY, .title = "options", .optional = true);
    mr_input_schema(builder, messages, MESSAGES_SCHEMA);
    mr_input_schema(builder, options, request_schema);
    mr_engine(builder, &generate_engine, prompt, messages, options);
}

MR_PIPELINE(embeddings)
{
    mr_set_state(builder, NULL, vectors_close);
    mr_on_startup(builder, vectors_open);
    mr_variable texts = mr_input(builder, MR_ARRAY, .title = "texts");
    mr_variable normalize = mr_input(builder, MR_BOOLEAN, .title = "normalize", .optional = true,
                                     .description = "vectors of length 1", .default_json = "true");
    mr_engine(builder, &vectors_engine, texts, normalize);
}
