/* SPDX-License-Identifier: MIT */
/*
 * hello.c - packs a graph's variables as msgpack.
 */
#include "worker/engine/hello.h"

#include <string.h>
#include <unistd.h>

#include "millrace/protocol.h"
#include "worker/engine/message.h"
#include "worker/engine/object.h"

struct hello_text {
    const char *key;
    const char *text;
};

static void hello_pack(struct mr_value *value, const struct mr_builder *graph, const char *name,
                       uint32_t concurrency);
static void hello_pack_input(struct mr_value *value, const struct mr_builder *graph,
                             uint32_t index);
static void hello_pack_text(struct mr_value *value, const char *text);

int hello_send(int socket, const struct mr_builder *graph, const char *name, uint32_t concurrency)
{
    struct buffer body = {.data = NULL};
    struct mr_value value;
    value_start_in_buffer(&value, &body, NULL);
    hello_pack(&value, graph, name, concurrency);
    int rc = message_send_value(socket, MESSAGE_HELLO, &value);
    buffer_finish(&body);
    return rc;
}

/* A failure sticks to the value, so nothing is asked in between. */
static void hello_pack(struct mr_value *value, const struct mr_builder *graph, const char *name,
                       uint32_t concurrency)
{
    value_dictionary(value, 6);
    hello_pack_text(value, "protocol");
    value_natural(value, PROTOCOL_VERSION);
    hello_pack_text(value, "pid");
    value_natural(value, (uint64_t)getpid());
    hello_pack_text(value, "name");
    hello_pack_text(value, name);
    hello_pack_text(value, "concurrency");
    value_natural(value, concurrency);
    hello_pack_text(value, "inputs");
    value_array(value, graph->input_count);
    for (uint32_t i = 0; i < graph->input_count; i++)
        hello_pack_input(value, graph, i);
    hello_pack_text(value, "outputs");
    value_array(value, graph->output_count);
    for (uint32_t i = 0; i < graph->output_count; i++) {
        value_dictionary(value, 1);
        hello_pack_text(value, "type");
        hello_pack_text(value, object_type_word(graph->variables[graph->outputs[i]].type));
    }
}

static void hello_pack_input(struct mr_value *value, const struct mr_builder *graph, uint32_t index)
{
    const struct mr_input_options *input = &graph->inputs[index];
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
        {"schema", graph->schemas[index]},
        {"files", graph->files[index]},
    };
    size_t said = (input->min_length > 0) + (size_t)(input->max_length > 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        said += texts[i].text != NULL;

    value_dictionary(value, 2 + said);
    hello_pack_text(value, "type");
    hello_pack_text(value, object_type_word(input->type));
    hello_pack_text(value, "optional");
    value_boolean(value, input->optional);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        if (!texts[i].text)
            continue;
        hello_pack_text(value, texts[i].key);
        hello_pack_text(value, texts[i].text);
    }
    if (input->min_length > 0) {
        hello_pack_text(value, "min_length");
        value_natural(value, input->min_length);
    }
    if (input->max_length > 0) {
        hello_pack_text(value, "max_length");
        value_natural(value, input->max_length);
    }
}

static void hello_pack_text(struct mr_value *value, const char *text)
{
    value_string(value, text, strlen(text));
}
