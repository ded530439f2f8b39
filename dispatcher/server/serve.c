/* SPDX-License-Identifier: MIT */
/* serve.c - a server's life around its loop. */
#include "dispatcher/server/serve.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "dispatcher/config/cli.h"
#include "dispatcher/server/server.h"

static void serve_run(struct server *server);
static int serve_ready_line_lacks(void);
static void serve_cpu_limit_log(struct log *log);

int serve(struct config *config, const struct config_source *again)
{
    struct config_hold start; /* until the server holds it itself */
    struct server *server = calloc(1, sizeof *server);
    if (!server || sodium_init() < 0 || config_hand_over(config, 1, &start, "start") < 0) {
        fprintf(stderr, "millrace: not enough memory to start\n");
        free(server);
        return EXIT_CODE_FAILED;
    }
    int code = server_init(server, start.config);
    config_let_go(&start, NULL);
    if (code == EXIT_CODE_OK)
        code = server_reload_from(server, again);
    if (code == EXIT_CODE_OK) {
        serve_run(server);
        code = server->exit_code;
    }
    server_finish(server);
    log_flush(&server->reactor.log);
    log_file_finish(&server->reactor.log_file, &server->reactor.log);
    if (code == EXIT_CODE_OK && server->ready_line.is_lost)
        code = serve_ready_line_lacks();
    if (server->reload.is_left || server->files.is_left)
        _exit(code); /* a thread uses what the caller would give back */
    free(server);
    return code;
}

/* stderr may be the same pipe as stdout, which nobody reads: then the exit code says it. */
static int serve_ready_line_lacks(void)
{
    struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&writable, 1, 0) == 1)
        cli_fail("cannot write to stdout: a line was lost");
    return EXIT_CODE_FAILED;
}

static void serve_run(struct server *server)
{
    log_event(&server->reactor.log, LEVEL_INFO, "listening",
              LOG_WORD("address", server->front.listeners[0].name),
              LOG_WORD("io_uring", uring_features(server->reactor.uring)));
    confinement_log(server->config, &server->reactor.log);
    serve_cpu_limit_log(&server->reactor.log);
    server_run(server);
    log_event(&server->reactor.log, LEVEL_INFO, "stopped", LOG_INTEGER("code", server->exit_code));
    log_flush(&server->reactor.log);
}

/* A server that lives for long is ended by it one day. */
static void serve_cpu_limit_log(struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        log_event(log, LEVEL_WARNING, "cpu_limit", LOG_NATURAL("seconds", limit.rlim_cur));
}
