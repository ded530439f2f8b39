/* SPDX-License-Identifier: MIT */
/*
 * test_scan_files.c - what is read of the kernel's files: a tree in a folder plays them.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/system_root.h"

#define PATH_BYTES 512
#define NODES "/sys/class/kfd/kfd/topology/nodes"
#define PCI "/sys/bus/pci/devices"
#define GPU "simd_count 416\nlocation_id %u\ndomain %u\ndrm_render_minor 128\nunique_id 255\n"

static char root[64];
static struct finding finding;

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

static int scene_open(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/millrace-scan-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    memset(&finding, 0, sizeof(finding));
    unsetenv("HWLOC_XMLFILE");
    return setenv(SYSTEM_ROOT_VARIABLE, root, 1);
}

static int scene_close(void **state)
{
    (void)state;
    unsetenv(SYSTEM_ROOT_VARIABLE);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* With the folders above it. */
static void put(const char *path, const char *text)
{
    char whole[PATH_BYTES];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void put_gpu(unsigned node, unsigned location, unsigned domain)
{
    char path[PATH_BYTES], text[256];
    snprintf(text, sizeof(text), GPU, location, domain);
    snprintf(path, sizeof(path), NODES "/%u/properties", node);
    put(path, text);
    snprintf(path, sizeof(path), NODES "/%u/gpu_id", node);
    put(path, "4711\n");
}

/* ---- files ---- */

static void a_file_is_read_without_blanks_at_its_end_as_far_as_there_is_room(void **state)
{
    char text[5];
    (void)state;
    put("/sys/a", "abc \n\n");
    assert_int_equal(system_read(text, sizeof(text), "/sys/%s", "a"), 0);
    assert_string_equal(text, "abc");
    put("/sys/a", "abcdefgh");
    assert_int_equal(system_read(text, sizeof(text), "/sys/a"), 0);
    assert_string_equal(text, "abcd");
    assert_int_equal(system_read(text, sizeof(text), "/sys/b"), -ENOENT);
    assert_string_equal(text, "");
    assert_int_equal(system_read(text, sizeof(text), "/sys"), -EISDIR);
}

static void a_number_is_one_and_nothing_else(void **state)
{
    static const char *const wrong[] = {"", "-1\n", "x", "1x", " 1"};
    uint64_t number = 7;
    (void)state;
    put("/sys/a", "18446744073709551615\n");
    assert_true(system_read_number(&number, "/sys/a"));
    assert_true(number == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        put("/sys/a", wrong[i]);
        assert_false(system_read_number(&number, "/sys/a"));
    }
    assert_true(number == UINT64_MAX);
}

static void the_number_behind_a_whole_word_is_found(void **state)
{
    uint64_t number = 0;
    (void)state;
    assert_true(system_find_number("aa 1\na  2\nb 3", "a", &number));
    assert_int_equal(number, 2);
    assert_true(system_find_number("aa 1\nb 3", "b", &number));
    assert_int_equal(number, 3);
    assert_false(system_find_number("aa 1\nb x\n", "a", &number));
    assert_false(system_find_number("aa 1\nb x\n", "b", &number));
    assert_false(system_find_number("", "b", &number));
}

/* ---- GPUs of AMD ---- */

static void nodes_with_simd_units_are_gpus_in_their_order(void **state)
{
    (void)state;
    put(NODES "/0/properties", "cpu_cores_count 8\nsimd_count 0\n");
    put(NODES "/0/gpu_id", "0");
    put_gpu(1, 0x0308, 0);
    put_gpu(2, 0xc101, 0x10);
    put_gpu(4, 0, 0); /* nobody gets there */
    assert_int_equal(scan_kfd(&finding), SCAN_DONE);
    assert_int_equal(finding.count, 2);
    assert_string_equal(finding.devices[0].pci, "0000:03:01.0");
    assert_string_equal(finding.devices[1].pci, "0010:c1:00.1");
    assert_string_equal(finding.devices[1].uuid, "GPU-00000000000000ff");
    assert_string_equal(finding.devices[1].nodes, "/dev/kfd:/dev/dri/renderD128");
    assert_int_equal(finding.devices[1].memory_bytes, 0);
    for (uint32_t i = 0; i < finding.count; i++)
        assert_true(device_is_sound(&finding.devices[i]));
    finding_uuids_check(&finding);
    assert_string_equal(finding.devices[0].uuid, "");
    assert_string_equal(finding.devices[1].uuid, "");
}

static void a_node_that_cannot_be_read_is_named_and_hides_no_other(void **state)
{
    (void)state;
    put(NODES "/0/properties/is_a_folder", "");
    put_gpu(1, 0x0300, 0);
    assert_int_equal(scan_kfd(&finding), SCAN_DONE);
    assert_int_equal(finding.count, 1);
    assert_string_equal(finding.reason, "node 0 cannot be read: Is a directory");
}

static void files_with_nonsense_make_a_device_that_is_sound(void **state)
{
    (void)state;
    put(NODES "/0/properties", "simd_count 18446744073709551615\nlocation_id 18446744073709551615\n"
                               "domain 18446744073709551615\ndrm_render_minor 99999999999999\n"
                               "gfx_target_version 18446744073709551615\n");
    put(NODES "/0/gpu_id", "1");
    put(NODES "/0/name", "\033[2J");
    put(NODES "/0/mem_banks/0/properties", "heap_type 1\nsize_in_bytes 18446744073709551615\n");
    assert_int_equal(scan_kfd(&finding), SCAN_DONE);
    scan_place(&finding);
    assert_int_equal(finding.count, 1);
    assert_true(device_is_sound(&finding.devices[0]));
    assert_string_equal(finding.devices[0].name, "?[2J");
}

/* ---- what is near ---- */

static void place(const char *cores, const char *node)
{
    struct device *device = finding_next(&finding, DEVICE_HIP);
    snprintf(device->pci, sizeof(device->pci), "0000:03:00.0");
    finding_keep(&finding);
    put(PCI "/0000:03:00.0/local_cpulist", cores);
    put(PCI "/0000:03:00.0/numa_node", node);
    scan_place(&finding);
    assert_true(device_is_sound(device));
}

static void the_kernel_says_what_is_near_to_a_place_on_the_bus(void **state)
{
    (void)state;
    place("0-15,32-47\n", "1\n");
    assert_string_equal(finding.devices[0].cores, "0-15,32-47");
    assert_int_equal(finding.devices[0].core_count, 32);
    assert_int_equal(finding.devices[0].numa_node, 1);
    assert_string_equal(finding.devices[0].memory_nodes, "1");
}

static void what_the_kernel_does_not_know_is_not_known(void **state)
{
    (void)state;
    place("nonsense\n", "-1\n");
    assert_string_equal(finding.devices[0].cores, "");
    assert_int_equal(finding.devices[0].core_count, 0);
    assert_int_equal(finding.devices[0].numa_node, -1);
    assert_string_equal(finding.devices[0].memory_nodes, "");
}

static void a_list_that_is_too_long_is_not_cut_to_another_one(void **state)
{
    char list[2 * DEVICE_LIST_BYTES] = "0";
    (void)state;
    for (unsigned i = 2; strlen(list) < DEVICE_LIST_BYTES; i += 2)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), ",%u", i);
    place(list, "0\n");
    assert_string_equal(finding.devices[0].cores, "");
    assert_int_equal(finding.devices[0].core_count, 0);
    assert_int_equal(finding.devices[0].numa_node, 0);
}

/* ---- what is found ---- */

static void more_devices_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < DEVICE_COUNT_MAX + 2; i++)
        if (finding_next(&finding, DEVICE_CPU))
            finding_keep(&finding);
    assert_int_equal(finding.count, DEVICE_COUNT_MAX);
    assert_int_equal(finding.left_out, 2);
    assert_int_equal(finding.devices[DEVICE_COUNT_MAX - 1].index, DEVICE_COUNT_MAX - 1);
}

static void reasons_are_parted_and_end(void **state)
{
    (void)state;
    finding_say(&finding, "a %d", 1);
    finding_say(&finding, "b");
    assert_string_equal(finding.reason, "a 1; b");
    for (int i = 0; i < 100; i++)
        finding_say(&finding, "many more words");
    assert_true(strlen(finding.reason) < SCAN_REASON_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)
        TEST(a_file_is_read_without_blanks_at_its_end_as_far_as_there_is_room),
        TEST(a_number_is_one_and_nothing_else),
        TEST(the_number_behind_a_whole_word_is_found),
        TEST(nodes_with_simd_units_are_gpus_in_their_order),
        TEST(a_node_that_cannot_be_read_is_named_and_hides_no_other),
        TEST(files_with_nonsense_make_a_device_that_is_sound),
        TEST(the_kernel_says_what_is_near_to_a_place_on_the_bus),
        TEST(what_the_kernel_does_not_know_is_not_known),
        TEST(a_list_that_is_too_long_is_not_cut_to_another_one),
        TEST(more_devices_than_there_is_room_for_are_counted),
        TEST(reasons_are_parted_and_end),
#undef TEST
    };
    alarm(30);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
