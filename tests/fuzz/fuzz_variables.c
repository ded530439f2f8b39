/* SPDX-License-Identifier: MIT */
/*
 * fuzz_variables.c - any HELLO body: refused with a reason, or a description that holds together.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "dispatcher/inputs/input.h"
#include "dispatcher/inputs/variables.h"
#include "dispatcher/text/json_scan.h"
#include "dispatcher/text/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct variables *variables)
{
    struct json_error error;
    mr_assert(variables->name != NULL);
    mr_assert(variables->input_count <= INPUT_COUNT_MAX);
    mr_assert(variables->output_count >= 1);
    mr_assert(variables->output_count <= OUTPUT_COUNT_MAX);
    mr_assert(json_scan(variables->json, strlen(variables->json), NULL, &error) == 0);
    mr_assert(strchr(variables->json, '\n') == NULL);
    mr_assert(variables_equal(variables, variables));
    for (uint32_t i = 0; i < variables->input_count; i++) {
        const struct input_variable *input = &variables->inputs[i];
        mr_assert(input->type < MR_STREAM);
        mr_assert(input->default_msgpack == NULL ||
                  packed_is_sound(input->default_msgpack, input->default_bytes, INPUT_DEPTH_MAX));
    }
    for (uint32_t i = 0; i < variables->output_count; i++)
        mr_assert(variables->outputs[i].type < MR_TYPE_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct variables variables;
    char reason[200] = "";
    int rc = variables_parse(&variables, data, bytes, reason, sizeof(reason));
    mr_assert(rc == 0 || rc == -EBADMSG);
    if (rc < 0) {
        mr_assert(reason[0] != '\0');
        return 0;
    }
    check(&variables);
    variables_finish(&variables);
    return 0;
}
