/* SPDX-License-Identifier: MIT */
/* check_table.c - variables as lines, read from the JSON that GET /v4/pipelines has of them. */
#include "dispatcher/cli/serve/check_table.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/text/json_view.h"

#define NAME_COLUMNS 15
#define FIELD_DEPTH_MAX 8u /* of fields in fields; what is deeper is in the JSON */

static void table_fields_print(const struct json_view *schema, unsigned depth);

/* The characters of a string, and of anything else its JSON. */
static void table_value_print(const struct json_view *value)
{
    struct text text = {0};
    if (json_view_is_string(value))
        json_view_string(value, &text);
    else
        text_add_bytes(&text, value->text, value->bytes);
    text_add_bytes(&text, "", 1);
    if (!text.failed)
        cli_print(stdout, text.bytes);
    text_finish(&text);
}

static void table_json_print(const struct json_view *value)
{
    struct text text = {0};
    text_add_bytes(&text, value->text, value->bytes);
    text_add_bytes(&text, "", 1);
    if (!text.failed)
        cli_print(stdout, text.bytes);
    text_finish(&text);
}

static bool table_is_word(const struct json_view *value, const char *word)
{
    size_t bytes = strlen(word);
    return value->bytes == bytes + 2 && memcmp(value->text + 1, word, bytes) == 0;
}

/* What is said of a variable, or of a field of a schema, in the words of its author. */
static void table_details_print(const struct json_view *object)
{
    static const struct {
        const char *key, *word;
    } details[] = {
        {"default", "default"},
        {"choices", "choices"},
        {"enum", "choices"},
        {"gt", "gt"},
        {"exclusiveMinimum", "gt"},
        {"ge", "ge"},
        {"minimum", "ge"},
        {"lt", "lt"},
        {"exclusiveMaximum", "lt"},
        {"le", "le"},
        {"maximum", "le"},
        {"multiple_of", "multiple_of"},
        {"multipleOf", "multiple_of"},
        {"min_length", "min_length"},
        {"minLength", "min_length"},
        {"minItems", "min_length"},
        {"minProperties", "min_length"},
        {"max_length", "max_length"},
        {"maxLength", "max_length"},
        {"maxItems", "max_length"},
        {"maxProperties", "max_length"},
    };
    struct json_view value;
    for (size_t i = 0; i < ARRAY_COUNT(details); i++) {
        if (!json_view_member(object, details[i].key, &value))
            continue;
        printf("  %s ", details[i].word);
        table_json_print(&value);
    }
    if (json_view_member(object, "description", &value)) {
        printf("  ");
        table_value_print(&value);
    }
}

/* ---- fields -------------------------------------------------------------------------------- */

/* The word that authors have for a type of JSON Schema. */
static const char *table_type_of(const struct json_view *schema)
{
    static const struct {
        const char *json, *word;
    } types[] = {
        {"string", "string"},     {"integer", "integer"}, {"number", "fp"}, {"boolean", "boolean"},
        {"object", "dictionary"}, {"array", "array"},     {"null", "none"},
    };
    struct json_view type, item = {0};
    if (!json_view_member(schema, "type", &type))
        return "any";
    if (json_view_next(&type, &item)) /* a list: the others are null mostly */
        type = item;
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (table_is_word(&type, types[i].json))
            return types[i].word;
    return "any";
}

static bool table_is_required(const struct json_view *schema, const struct json_view *name)
{
    struct json_view list, item = {0};
    if (!json_view_member(schema, "required", &list))
        return false;
    while (json_view_next(&list, &item))
        if (item.bytes == name->bytes && memcmp(item.text, name->text, name->bytes) == 0)
            return true;
    return false;
}

static void table_fields_print(const struct json_view *schema, unsigned depth)
{
    struct json_view list, name = {0}, field, items;
    if (depth == FIELD_DEPTH_MAX || !json_view_member(schema, "properties", &list))
        return;
    while (json_view_next_member(&list, &name, &field)) {
        printf("%*sfield ", 2 * (int)depth + 4, "");
        table_value_print(&name);
        int padding = name.bytes - 2 < NAME_COLUMNS ? NAME_COLUMNS - ((int)name.bytes - 2) : 0;
        printf("%*s %-11s%-9s", padding, "", table_type_of(&field),
               table_is_required(schema, &name) ? "" : "optional");
        table_details_print(&field);
        printf("\n");
        table_fields_print(&field, depth + 1);
        if (json_view_member(&field, "items", &items))
            table_fields_print(&items, depth + 1);
    }
}

/* ---- variables ----------------------------------------------------------------------------- */

static void table_input_print(const struct input_variable *input, uint32_t number,
                              const struct json_view *object)
{
    struct json_view schema;
    printf("  input %-3u %-11s%-9s", number, variables_type_name(input->type),
           input->optional ? "optional" : "");
    cli_print(stdout, input->title ? input->title : "");
    if (object->text)
        table_details_print(object);
    printf("\n");
    if (object->text && json_view_member(object, "schema", &schema))
        table_fields_print(&schema, 0);
}

void check_table_print(const char *source, const struct variables *variables)
{
    struct json_view root, list, object = {0};
    struct json_error error;
    /* A default or schema as deep as JSON may be has gone too deep with what is around it. */
    bool is_read = json_view_parse(&root, variables->json, strlen(variables->json), &error) == 0 &&
                   json_view_member(&root, "input_variables", &list);
    cli_print(stdout, source);
    printf(": pipeline ");
    cli_print(stdout, variables->name);
    printf("\n");
    for (uint32_t i = 0; i < variables->input_count; i++) {
        is_read = is_read && json_view_next(&list, &object);
        table_input_print(&variables->inputs[i], i + 1, is_read ? &object : &(struct json_view){0});
    }
    for (uint32_t i = 0; i < variables->output_count; i++)
        printf("  output %-2u %s\n", i + 1, variables_type_name(variables->outputs[i].type));
}

/* ---- the manifest -------------------------------------------------------------------------- */

void check_table_manifest_print(const struct manifest *manifest)
{
    static const struct {
        const char *key, *remark;
    } members[] = {
        {"description", ""},
        {"accelerators", "  (not enforced)"},
        {"accelerator_memory", "  (not enforced)"},
        {"extras", ""},
    };
    struct text text = {0};
    struct json_view root, value;
    struct json_error error;
    text_add(&text, "{");
    text_add_bytes(&text, manifest->members, strlen(manifest->members));
    text_add(&text, "}");
    bool is_read = !text.failed && json_view_parse(&root, text.bytes, text.count, &error) == 0;
    for (size_t i = 0; i < ARRAY_COUNT(members) && is_read; i++) {
        if (!json_view_member(&root, members[i].key, &value) || json_view_is_null(&value))
            continue;
        printf("  %s ", members[i].key);
        table_value_print(&value);
        printf("%s\n", members[i].remark);
    }
    text_finish(&text);
    if (manifest->readme) {
        printf("  readme ");
        cli_print(stdout, manifest->readme);
        printf("\n");
    }
}
