/* SPDX-License-Identifier: MIT */
/*
 * test_live_state.c - what a server says of itself is read as far as it makes sense, and whatever
 * it is, no further.
 */
#include "dispatcher/cli/operate/live_state.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/cli/operate/devices_table.h"
#include "dispatcher/cli/operate/ps_table.h"
#include "dispatcher/cli/operate/top_frame.h"

static const char whole[] =
    "{\"server\":{\"pid\":1,\"version\":\"0.1.0\",\"uptime_s\":192.5,\"state\":\"serving\","
    "\"listen\":[\"127.0.0.1:8080\",\"[::1]:8080\"],\"config\":null,\"runs\":2,\"lines\":7},"
    "\"reload\":{\"state\":\"reading\",\"generation\":3,\"last_result\":\"failed\"},"
    "\"pipelines\":[{\"pointer\":\"me/a:v1\",\"id\":\"p1\",\"state\":\"ready\",\"drained\":true,"
    "\"error\":\"a\\u0000\\\"b\\n\",\"active\":2,\"queued\":null,\"workers_min\":1,"
    "\"workers_max\":8,\"workers_wanted\":2,\"completed\":1,\"failed\":0,\"cancelled\":0,"
    "\"template\":{\"preload\":\"import\",\"state\":\"ready\",\"pid\":7,\"copies\":1,"
    "\"reason\":null},\"waiting\":{\"elapsed_s\":4.2,\"bytes\":1024,"
    "\"device\":{\"kind\":\"cuda\",\"index\":2}},"
    "\"lines\":5,\"first_chunk\":{\"le_s\":[0.001,1],\"counts\":[1,2],\"count\":3},"
    "\"workers\":[{\"number\":0,\"pid\":null,\"state\":\"spawning\",\"age_s\":null,\"device\":null}"
    ","
    "{\"number\":1,\"pid\":4711,\"state\":\"ready\",\"ring_bytes\":4,\"ring_used_bytes\":1,"
    "\"device\":{\"kind\":\"cuda\",\"index\":2,\"uuid\":\"GPU-a\"}}]}],"
    "\"aliases\":[{\"pointer\":\"me/b:prod\",\"targets\":[{\"pointer\":\"me/"
    "a:v1\",\"weight\":1}]}],"
    "\"clients\":[{\"client\":null,\"token\":\"t\",\"pipeline\":\"me/a:v1\",\"quiet_s\":1}],"
    "\"devices\":[{\"kind\":\"cuda\",\"index\":2,\"uuid\":\"GPU-a\",\"memory_bytes\":null,"
    "\"state\":\"lost\",\"reason\":\"why\",\"workers\":[{\"pipeline\":\"me/a:v1\","
    "\"worker\":1,\"pid\":4711}]},{\"kind\":\"vulkan\",\"index\":0,\"workers\":[]}]}";

static int read_state(struct live_state *state, const char *text, size_t bytes)
{
    struct json_view root;
    struct json_error error;
    int rc = json_view_parse(&root, text, bytes, &error);
    return rc < 0 ? rc : live_state_read(state, &root);
}

static void a_state_is_read_and_what_is_not_said_is_nothing(void **state)
{
    (void)state;
    struct live_state live;
    assert_int_equal(read_state(&live, whole, sizeof whole - 1), 0);
    assert_string_equal(live.version, "0.1.0");
    assert_string_equal(live.server_state, "serving");
    assert_string_equal(live.config, "");
    assert_string_equal(live.listen, "127.0.0.1:8080");
    assert_int_equal(live.listen_count, 2);
    assert_true(live.runs == 2 && isnan(live.connections));
    assert_int_equal(live.pipeline_count, 1);
    const struct live_pipeline *pipeline = &live.pipelines[0];
    assert_string_equal(pipeline->pointer, "me/a:v1");
    assert_string_equal(pipeline->error, "a"); /* a NUL ends it */
    assert_string_equal(pipeline->phase, "");
    assert_true(pipeline->drained && pipeline->active == 2 && isnan(pipeline->queued));
    assert_int_equal(pipeline->first_chunk.bound_count, 2);
    assert_true(pipeline->first_chunk.counts[1] == 2 && pipeline->first_chunk.count == 3);
    assert_int_equal(pipeline->worker_count, 2);
    assert_true(isnan(pipeline->workers[0].pid) && pipeline->workers[1].pid == 4711);
    assert_string_equal(pipeline->workers[0].device_kind, "");
    assert_string_equal(pipeline->workers[1].device_kind, "cuda");
    assert_true(pipeline->workers[1].device_index == 2);
    assert_string_equal(live.aliases[0].targets[0].pointer, "me/a:v1");
    assert_string_equal(live.clients[0].client, "");
    assert_string_equal(live.clients[0].token, "t");
    assert_int_equal(live.device_count, 2);
    const struct live_device *device = &live.devices[0];
    assert_string_equal(device->uuid, "GPU-a");
    assert_string_equal(device->reason, "why");
    assert_true(device->index == 2 && isnan(device->memory_bytes));
    assert_int_equal(device->holder_count, 1);
    assert_true(device->holders[0].worker == 1 && device->holders[0].pid == 4711);
    assert_string_equal(live.devices[1].state, "");
    live_state_finish(&live);
    live_state_finish(&live);
}

static void what_no_server_says_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"1",
                                        "[]",
                                        "{}",
                                        "{\"server\":[]}",
                                        "{\"server\":null}",
                                        "{\"server\":{},\"pipelines\":[[]]}",
                                        "{\"server\":{},\"pipelines\":[{},1]}",
                                        "{\"server\":{},\"pipelines\":[{\"workers\":[1]}]}",
                                        "{\"server\":{},\"aliases\":[{\"targets\":[\"a\"]}]}",
                                        "{\"server\":{},\"clients\":[null]}",
                                        "{\"server\":{},\"devices\":[{\"workers\":[1]}]}"};
    struct live_state live;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_int_equal(read_state(&live, texts[i], strlen(texts[i])), -EBADMSG);
    static const char little[] = "{\"server\":{},\"reload\":1,\"pipelines\":{},\"clients\":[]}";
    assert_int_equal(read_state(&live, little, sizeof little - 1), 0);
    assert_int_equal(live.pipeline_count, 0);
    live_state_finish(&live);
}

/* Each byte in turn is another one; what is JSON then is read, and shown. */
static void whatever_is_read_can_be_shown(void **state)
{
    (void)state;
    static const char others[] = "\"{}[],:0-9en\\x";
    uint32_t read_count = 0;
    for (size_t at = 0; at < sizeof whole - 1; at++) {
        for (size_t i = 0; i < sizeof others - 1; i++) {
            struct live_state live;
            struct text out = {0};
            char *text = malloc(sizeof whole - 1); /* with nothing behind it */
            assert_non_null(text);
            memcpy(text, whole, sizeof whole - 1);
            text[at] = others[i];
            if (read_state(&live, text, sizeof whole - 1) == 0) {
                struct top_view view = {.columns = 80, .rows = 24, .shows_workers = true};
                const struct top_sample sample = {&live, 1};
                struct device_rows rows;
                assert_int_equal(device_rows_make(&rows, NULL, 0, &live), 0);
                ps_table_add(&out, &live);
                top_frame_add(&out, &sample, &sample, &view);
                devices_table_add(&out, &rows, NULL, 0);
                devices_json_add(&out, &rows, NULL, 0);
                device_rows_finish(&rows);
                assert_false(out.failed);
                live_state_finish(&live);
                read_count++;
            }
            text_finish(&out);
            free(text);
        }
    }
    assert_true(read_count > sizeof whole);
}

int main(void)
{
    alarm(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_read_and_what_is_not_said_is_nothing),
        cmocka_unit_test(what_no_server_says_is_refused),
        cmocka_unit_test(whatever_is_read_can_be_shown),
    };
    return cmocka_run_group_tests_name("live_state", tests, NULL, NULL);
}
