/* SPDX-License-Identifier: MIT */
/*
 * files_scene.h - a folder of files for one test, which leaves nothing in it. One program, one
 * scene.
 */
#ifndef TESTS_DISPATCHER_FILES_SCENE_H
#define TESTS_DISPATCHER_FILES_SCENE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatcher/files/files.h"

#define SCENE_BYTES 1000u /* of all files, and of one */

static char path[64];
static struct config config;
static struct reactor reactor;
static struct input_memory input;
static struct files files;
static int null_fd;

static inline int scene_open(void **state)
{
    char reason[FILES_REASON_BYTES];
    (void)state;
    snprintf(path, sizeof path, "/tmp/millrace-files-XXXXXX");
    assert_non_null(mkdtemp(path));
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    config_init(&config);
    config.files_path = path;
    config.files_total_bytes = config.file_bytes_max = SCENE_BYTES;
    reactor_init(&reactor, null_fd, LEVEL_ERROR);
    reactor.wall_s = 1000;
    reactor.now_ms = 5000;
    input_memory_init(&input, 1 << 20, 16);
    assert_int_equal(files_init(&files, &(struct files_options){&config, &reactor, &input}), 0);
    assert_int_equal(files_open(&files, reason), 0);
    return 0;
}

static inline int scene_close(void **state)
{
    const char *const names[] = {"stored", "parts", "runs", "scratch", "secret", ""};
    (void)state;
    files_check(&files);
    files_finish(&files);
    assert_false(files.is_left);
    assert_int_equal(files.reserved_bytes, 0);
    assert_null(files.owners);
    reactor_finish(&reactor);
    config_finish(&config);
    close(null_fd);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        assert_int_equal(remove(name), 0); /* nothing is left in it */
    }
    return 0;
}

#endif
