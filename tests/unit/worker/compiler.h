/* SPDX-License-Identifier: MIT */
/*
 * compiler.h - pipelines of tests are compiled in them, by the compiler that authors use.
 */
#ifndef TESTS_WORKER_COMPILER_H
#define TESTS_WORKER_COMPILER_H

#include "tests/unit/worker/harness.h"

#define FIXTURES "tests/unit/worker/fixtures/"

/* Runs a compiler on a fixture; returns its exit status. The object's path is left in `path`. */
static inline int compile_status(const char *compiler, const char *fixture,
                                 const char *const *flags, const char *object, char *path)
{
    snprintf(path, PATH_MAX, "%s/tests/unit/worker/%s", harness_folder("BUILD", "build/release"),
             object);
    const char *arguments[24] = {compiler,  "-shared", "-fPIC",      "-Iinclude", "-Wall",
                                 "-Wextra", "-Werror", "-Wpedantic", "-o",        path};
    size_t count = 10;
    while (*flags)
        arguments[count++] = *flags++;
    arguments[count++] = fixture;
    arguments[count] = NULL;
    /* posix_spawnp never writes them; its prototype is older than const. */
    char *vector[ARRAY_COUNT(arguments)];
    memcpy(vector, arguments, sizeof vector);
    pid_t pid;
    assert_int_equal(posix_spawnp(&pid, compiler, NULL, NULL, vector, environ), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Where the shared object is. */
static inline const char *compile(const char *compiler, const char *fixture,
                                  const char *const *flags, const char *object)
{
    static char path[PATH_MAX];
    assert_int_equal(compile_status(compiler, fixture, flags, object, path), 0);
    return path;
}

#endif
