/* SPDX-License-Identifier: MIT */
/*
 * fuzz_json_in.c - any text: the scan and the parser agree, and what was accepted comes back.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/inputs/input.h"
#include "dispatcher/text/json_in.h"
#include "dispatcher/text/json_out.h"
#include "dispatcher/text/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The document as the text a client would see, to be freed; NULL when it is nested too deeply. */
static char *text_of(const struct json_document *document, size_t *text_bytes)
{
    struct input_packing packing;
    input_packing_init(&packing);
    int rc = input_pack(&packing, document, json_in_root(document), INPUT_DEPTH_MAX);
    mr_assert(rc == 0 || rc == -ELOOP);
    size_t bytes;
    uint8_t *packed = input_packing_take(&packing, &bytes);
    input_packing_finish(&packing);
    char *text = NULL;
    if (rc == 0) {
        size_t consumed;
        const char *type;
        mr_assert(packed_is_sound(packed, bytes, INPUT_DEPTH_MAX));
        text = malloc(json_out_bound(bytes, 0));
        mr_assert(text != NULL);
        int64_t written = json_out_value(packed, bytes, &consumed, &type, text);
        mr_assert(written > 0);
        mr_assert(consumed == bytes);
        *text_bytes = (size_t)written;
    }
    free(packed);
    return text;
}

static void check_return(const struct json_document *document)
{
    struct json_document *back;
    struct json_error error;
    size_t bytes;
    size_t again_bytes;
    char *text = text_of(document, &bytes);
    if (text == NULL)
        return;
    mr_assert(json_in_parse(&back, text, bytes, &error) == 0);
    char *again = text_of(back, &again_bytes);
    mr_assert(again != NULL);
    mr_assert(again_bytes == bytes);
    mr_assert(memcmp(again, text, bytes) == 0);
    json_in_destroy(back);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    struct json_document *document = NULL;
    struct json_error scanned = {0};
    struct json_error parsed = {0};
    struct json_tokens tokens = {0};
    int scan_rc = json_scan(text, bytes, &tokens, &scanned);
    json_tokens_finish(&tokens);
    int rc = json_in_parse(&document, text, bytes, &parsed);
    mr_assert(rc == 0 || rc == -EINVAL);
    mr_assert((rc == 0) == (document != NULL));
    if (scan_rc != 0) {
        mr_assert(rc == scan_rc);
        mr_assert(parsed.offset == scanned.offset);
        mr_assert(parsed.offset <= bytes);
        mr_assert(strcmp(parsed.message, scanned.message) == 0);
    }
    mr_assert(scan_rc != 0 || json_scan(text, bytes, NULL, &scanned) == 0);
    if (rc == 0)
        check_return(document);
    json_in_destroy(document);
    return 0;
}
