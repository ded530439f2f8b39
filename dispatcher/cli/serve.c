/* SPDX-License-Identifier: MIT */
/* serve.c - a server's life around its loop. */
#include "dispatcher/cli/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "dispatcher/loop/loop.h"

int serve(const struct config *config)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop || sodium_init() < 0) {
        fprintf(stderr, "millrace: not enough memory to start\n");
        free(loop);
        return EXIT_CODE_FAILED;
    }
    int code = loop_init(loop, config);
    if (code == EXIT_CODE_OK) {
        log_line(&loop->log, LEVEL_INFO, "listening", "address=%s io_uring=%s",
                 loop->listeners[0].name, uring_features(loop->uring));
        confinement_log(config, &loop->log);
        loop_run(loop);
        code = loop->exit_code;
        log_line(&loop->log, LEVEL_INFO, "stopped", "code=%d", code);
        log_flush(&loop->log);
    }
    loop_finish(loop);
    free(loop);
    return code;
}
