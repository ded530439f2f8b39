/* SPDX-License-Identifier: MIT */
/* test_serve_again.c - a command line that was right is read again, also where memory is short. */
#include "dispatcher/cli/serve/serve_again.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocs.h"
#include "dispatcher/config/config.h"

#define COUNT_MAX 10000u

static char *arguments[] = {"--queue",  "5",           "--workers",
                            "1-3",      "--env",       "A=b",
                            "--listen", "127.0.0.1:0", "test/echo:v1=/bin/true.so"};

static void each_allocation_may_fail_and_it_is_said(void **state)
{
    (void)state;
    struct serve_words words;
    assert_int_equal(serve_words_keep(&words, sizeof arguments / sizeof *arguments, arguments), 0);
    unsigned count = 0;
    bool is_over = false;
    for (; count < COUNT_MAX && !is_over; count++) {
        char said[4096] = "";
        struct config *config = NULL;
        FILE *complaints = fmemopen(said, sizeof said, "w");
        assert_non_null(complaints);
        setvbuf(complaints, NULL, _IONBF, 0);
        allocs_left = count;
        int rc = serve_again(&words, NULL, &config, complaints);
        is_over = allocs_left != UINT_MAX; /* none has failed */
        allocs_left = UINT_MAX;
        fclose(complaints);
        assert_true(rc < 0); /* the source is not there */
        assert_true(said[0] != '\0');
    }
    assert_in_range(count, 5, COUNT_MAX - 1);
    serve_words_finish(&words);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail_and_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
