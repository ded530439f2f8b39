/* SPDX-License-Identifier: MIT */
/*
 * test_worker_files.c - a run whose inputs are files is told where these are before it starts, and
 * a worker that is not told, or told nonsense, does not run it.
 */
#include "tests/unit/worker/compiler.h"
#include "tests/unit/worker/harness.h"

/* ["files 1", {"k": file 0}] */
static void pack_inputs(msgpack_sbuffer *request)
{
    static const char one[] = {0, 0, 0, 1}, zero[] = {0, 0, 0, 0};
    msgpack_packer packer;
    harness_request(request, &packer, 2);
    msgpack_pack_ext_with_body(&packer, one, sizeof one, VALUE_FILE);
    msgpack_pack_map(&packer, 1);
    msgpack_pack_str_with_body(&packer, "k", 1);
    msgpack_pack_ext_with_body(&packer, zero, sizeof zero, VALUE_FILE);
}

/* [folder, [name, ...]] */
static void send_files(struct harness *h, uint32_t generation, const char *folder,
                       const char *const *names, size_t count)
{
    msgpack_sbuffer body;
    msgpack_packer packer;
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&packer, &body, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 2);
    msgpack_pack_str_with_body(&packer, folder, strlen(folder));
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_str_with_body(&packer, names[i], strlen(names[i]));
    struct message header = {.magic = MESSAGE_MAGIC,
                             .version = PROTOCOL_VERSION,
                             .kind = MESSAGE_FILES,
                             .bytes = (uint32_t)body.size,
                             .generation = generation};
    struct iovec parts[2] = {{&header, sizeof header}, {body.data, body.size}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    assert_true(sendmsg(h->socket, &packet, 0) > 0);
    msgpack_sbuffer_destroy(&body);
}

static void start(struct harness *h)
{
    const char *const none[] = {NULL};
    harness_start(h, &(struct harness_options){
                         .source = compile("cc", FIXTURES "files.c", none, "files.so")});
    harness_expect_ready(h);
}

static void commit(struct harness *h)
{
    msgpack_sbuffer request;
    pack_inputs(&request);
    harness_commit_start(h, 0, RECORD_FILES, request.data, request.size);
    msgpack_sbuffer_destroy(&request);
}

static const char *const names[] = {"a.png", "b c.png"};

static void files_are_where_it_was_told(void **state)
{
    (void)state;
    struct harness h;
    start(&h);
    h.generations[0] = 1;
    send_files(&h, 1, "/of/one/that/never/came", names, 2);
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    send_files(&h, h.generations[0], "/runs/x", names, 2);
    commit(&h);
    harness_expect_chunk(&h, 0, 0, "[\"/runs/x/1/b c.png b c.png\", \"/runs/x/0/a.png\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void a_number_that_has_no_file_fails_its_run_alone(void **state)
{
    (void)state;
    struct harness h;
    start(&h);
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    send_files(&h, h.generations[0], "/runs/x", names, 1);
    commit(&h);
    harness_expect_error(&h, 0, ERROR_UNKNOWN, "cannot be read");
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    send_files(&h, h.generations[0], "/runs/y", names, 2);
    commit(&h);
    harness_expect_chunk(&h, 0, 0, "[\"/runs/y/1/b c.png b c.png\", \"/runs/y/0/a.png\"]");
    harness_expect_end(&h, 0, 1);
    harness_stop(&h);
}

static void names_that_did_not_come_end_the_worker(void **state)
{
    (void)state;
    struct harness h;
    start(&h);
    slot_offer(&h.segment.slots[0], ++h.generations[0]);
    commit(&h);
    harness_expect_exit(&h, WORKER_EXIT_PROTOCOL);
    assert_non_null(strstr(h.text, "names of its files"));
    harness_finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_where_it_was_told),
        cmocka_unit_test(a_number_that_has_no_file_fails_its_run_alone),
        cmocka_unit_test(names_that_did_not_come_end_the_worker),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
