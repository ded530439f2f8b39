/* SPDX-License-Identifier: MIT */
/*
 * hello.c - packs a graph's variables as msgpack.
 */
#include "worker/engine/hello.h"

#include <msgpack.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/engine/message.h"
#include "worker/engine/object.h"

struct hello_text {
    const char *key;
    const char *text;
};

static void hello_pack_text(msgpack_packer *packer, const char *text);
static void hello_pack_input(msgpack_packer *packer, const struct mr_input_options *input);

int hello_send(int socket, const struct mr_builder *graph, const char *name, uint32_t concurrency)
{
    msgpack_sbuffer body;
    msgpack_sbuffer_init(&body);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &body, msgpack_sbuffer_write);

    msgpack_pack_map(&packer, 6);
    hello_pack_text(&packer, "protocol");
    msgpack_pack_uint32(&packer, PROTOCOL_VERSION);
    hello_pack_text(&packer, "pid");
    msgpack_pack_uint32(&packer, (uint32_t)getpid());
    hello_pack_text(&packer, "name");
    hello_pack_text(&packer, name);
    hello_pack_text(&packer, "concurrency");
    msgpack_pack_uint32(&packer, concurrency);
    hello_pack_text(&packer, "inputs");
    msgpack_pack_array(&packer, graph->input_count);
    for (uint32_t i = 0; i < graph->input_count; i++)
        hello_pack_input(&packer, &graph->inputs[i]);
    hello_pack_text(&packer, "outputs");
    msgpack_pack_array(&packer, graph->output_count);
    for (uint32_t i = 0; i < graph->output_count; i++) {
        msgpack_pack_map(&packer, 1);
        hello_pack_text(&packer, "type");
        hello_pack_text(&packer, object_type_word(graph->variables[graph->outputs[i]].type));
    }

    int rc = message_send(socket, MESSAGE_HELLO, body.data, body.size);
    msgpack_sbuffer_destroy(&body);
    return rc;
}

static void hello_pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void hello_pack_input(msgpack_packer *packer, const struct mr_input_options *input)
{
    const struct hello_text texts[] = {
        {"title", input->title},
        {"description", input->description},
        {"examples", input->examples},
        {"default", input->default_json},
        {"choices", input->choices},
        {"gt", input->gt},
        {"ge", input->ge},
        {"lt", input->lt},
        {"le", input->le},
        {"multiple_of", input->multiple_of},
    };
    size_t said = (input->min_length > 0) + (size_t)(input->max_length > 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        said += texts[i].text != NULL;

    msgpack_pack_map(packer, 2 + said);
    hello_pack_text(packer, "type");
    hello_pack_text(packer, object_type_word(input->type));
    hello_pack_text(packer, "optional");
    if (input->optional)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (!texts[i].text)
            continue;
        hello_pack_text(packer, texts[i].key);
        hello_pack_text(packer, texts[i].text);
    }
    if (input->min_length > 0) {
        hello_pack_text(packer, "min_length");
        msgpack_pack_uint64(packer, input->min_length);
    }
    if (input->max_length > 0) {
        hello_pack_text(packer, "max_length");
        msgpack_pack_uint64(packer, input->max_length);
    }
}
