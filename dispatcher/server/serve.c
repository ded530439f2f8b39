/* SPDX-License-Identifier: MIT */
/* serve.c - a server's life around its loop. */
#include "dispatcher/server/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <sodium.h>

#include "dispatcher/server/loop.h"

/* A server that lives for long is ended by it one day. */
static void cpu_limit_log(struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        log_line(log, LEVEL_WARNING, "cpu_limit", "seconds=%llu",
                 (unsigned long long)limit.rlim_cur);
}

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
        log_line(&loop->reactor.log, LEVEL_INFO, "listening", "address=%s io_uring=%s",
                 loop->front.listeners[0].name, uring_features(loop->reactor.uring));
        confinement_log(config, &loop->reactor.log);
        cpu_limit_log(&loop->reactor.log);
        loop_run(loop);
        code = loop->exit_code;
        log_line(&loop->reactor.log, LEVEL_INFO, "stopped", "code=%d", code);
        log_flush(&loop->reactor.log);
    }
    loop_finish(loop);
    free(loop);
    return code;
}
