/* SPDX-License-Identifier: MIT */
/* cmd_bench.c - `millrace bench`: load on a streaming endpoint, and what came of it. */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "dispatcher/cli/bench/bench_run.h"
#include "dispatcher/cli/client/client_body.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "shm/clock.h"

#define CONN_COUNT_MAX 100000u
#define URL_SCHEME "http://"

struct bench_values {
    const char *url;
    const char *token;
    const char *path;
    const char *body;
    uint32_t connections;
    uint64_t requests;
    uint32_t duration_ms, ramp_ms, warmup_ms;
    uint64_t lines;
    uint32_t idle, slow, leavers;
    uint64_t slow_rate;
    uint64_t leave_after;
    bool close, check, events, json, remote, quiet;
};

#define MEMBER(member) CLI_MEMBER(struct bench_values, member)

/* clang-format off: a table */
static const struct cli_option options[] = {
    {"url", "URL", CLI_TEXT, MEMBER(url),
     .help = "the server, http only; if not said, PIPELINE_API_URL or " CLIENT_URL_DEFAULT},
    {"token", "TOKEN", CLI_TEXT, MEMBER(token),
     .help = "the token; if not said, PIPELINE_API_TOKEN"},
    {"path", "PATH", CLI_TEXT, MEMBER(path), .help = "the route (default /v4/runs/stream)"},
    {"body", "JSON", CLI_TEXT, MEMBER(body),
     .help = "the request's body, instead of POINTER INPUT"},
    {"connections", NULL, CLI_NUMBER, MEMBER(connections), .min = 0, .max = CONN_COUNT_MAX,
     .help = "clients at once"},
    {"idle", NULL, CLI_NUMBER, MEMBER(idle), .min = 0, .max = CONN_COUNT_MAX,
     .help = "so many connections more that send nothing, as far as descriptors allow"},
    {"requests", NULL, CLI_NUMBER, MEMBER(requests), .min = 0, .max = UINT64_MAX,
     .help = "requests in all; 0 for as many as the time allows"},
    {"duration", NULL, CLI_DURATION, MEMBER(duration_ms), .min = 1, .max = 24 * 3600000,
     .help = "stop after this time, whatever is under way"},
    {"ramp", NULL, CLI_DURATION, MEMBER(ramp_ms), .min = 0, .max = 24 * 3600000,
     .help = "clients begin spread over this time, the first of the duration, not all at once"},
    {"warmup", NULL, CLI_DURATION, MEMBER(warmup_ms), .min = 0, .max = 24 * 3600000,
     .help = "what comes in this time, the first of the duration, is not counted"},
    {"lines", NULL, CLI_NUMBER, MEMBER(lines), .min = 0, .max = UINT64_MAX,
     .help = "lines every answer must have; 0 for any number"},
    {"check", NULL, CLI_FLAG, MEMBER(check),
     .help = "look into every line: \"i\" counts up from 0, \"t_ns\" gives the one-way latency"},
    {"close", NULL, CLI_FLAG, MEMBER(close), .help = "a new connection for every request"},
    {"events", NULL, CLI_FLAG, MEMBER(events), .help = "ask for server-sent events"},
    {"slow", NULL, CLI_NUMBER, MEMBER(slow), .min = 0, .max = CONN_COUNT_MAX,
     .help = "so many of the clients read the head and then as slowly as --slow-rate says"},
    {"slow-rate", "BYTES", CLI_SIZE, MEMBER(slow_rate), .min = 0, .max = UINT32_MAX,
     .help = "bytes a second that slow clients read; 0 for none"},
    {"leavers", NULL, CLI_NUMBER, MEMBER(leavers), .min = 0, .max = CONN_COUNT_MAX,
     .help = "so many of the clients close in the middle of each answer"},
    {"leave-after", NULL, CLI_NUMBER, MEMBER(leave_after), .min = 1, .max = UINT64_MAX,
     .help = "lines after which leavers close"},
    {"remote", NULL, CLI_FLAG, MEMBER(remote),
     .help = "allow an address that is not this machine's loopback"},
    {"json", NULL, CLI_FLAG, MEMBER(json), .help = "print one JSON object instead of a table"},
    {"quiet", NULL, CLI_FLAG, MEMBER(quiet), .help = "no progress line"},
};
/* clang-format on */

const struct cli_command bench_command = {
    .name = "bench",
    .words = "[POINTER [INPUT]...]",
    .about =
        "Sends runs to a server from many connections at once, reads the streams, and says\n"
        "how fast lines came and what was wrong, with the first of each kind. POINTER and INPUT\n"
        "are those of millrace run. An answer is complete, failed, truncated, wrong (--lines,\n"
        "--check), left (--leavers), unfinished (--duration) or refused. Exits with 1 when one\n"
        "failed or was truncated, wrong or refused.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .word_count_min = 0,
    .words_are = CLI_WORDS_POINTERS,
    .word_count_max = 1 + (int)INPUT_COUNT_MAX,
};

static int bench_load(const struct bench_values *values, struct bench_plan *plan);
static int bench_report(const struct bench_values *values, const struct bench_stats *stats);

/* ---- before ---------------------------------------------------------------------------------- */

/* http://HOST:PORT without anything behind it. */
static bool bench_url_split(const char *url, char *host, size_t host_bytes, char *port,
                            size_t port_bytes)
{
    if (strncmp(url, URL_SCHEME, strlen(URL_SCHEME)) != 0)
        return false;
    url += strlen(URL_SCHEME);
    size_t count = strcspn(url, "/");
    const char *colon = memrchr(url, ':', count);
    bool has_port = colon && !memchr(colon, ']', count - (size_t)(colon - url));
    size_t host_count = has_port ? (size_t)(colon - url) : count;
    size_t port_count = has_port ? count - host_count - 1 : 0;
    if (host_count >= 2 && url[0] == '[') {
        url++;
        host_count -= 2;
    }
    if (host_count == 0 || host_count >= host_bytes || port_count >= port_bytes)
        return false;
    memcpy(host, url, host_count);
    host[host_count] = '\0';
    snprintf(port, port_bytes, "%.*s", (int)(port_count > 0 ? port_count : 2),
             port_count > 0 ? colon + 1 : "80");
    return true;
}

static bool bench_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* Whether somebody listens there. A name may have several addresses, as localhost has ::1 and
 * 127.0.0.1, and a server only one of them. */
static bool bench_answers(const struct addrinfo *info)
{
    const struct timeval patience = {.tv_sec = 5};
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd != -1 &&
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
                   connect(fd, info->ai_addr, info->ai_addrlen) == 0;
    if (fd != -1)
        close(fd);
    return answers;
}

static int bench_address_find(struct bench_plan *plan, const struct bench_values *values)
{
    char host[256], port[8];
    struct addrinfo *info;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (!bench_url_split(values->url, host, sizeof(host), port, sizeof(port))) {
        cli_fail("bench: '%s' is not http://HOST:PORT%s", values->url,
                 strncasecmp(values->url, "https:", 6) == 0
                     ? "; a tunnel makes it that of https, see man millrace-bench"
                     : "");
        return EXIT_CODE_USAGE;
    }
    int error = getaddrinfo(host, port, &hints, &info);
    if (error != 0) {
        cli_fail("bench: %s: %s", host, gai_strerror(error));
        return EXIT_CODE_CONNECT;
    }
    const struct addrinfo *chosen = info;
    while (chosen->ai_next &&
           !((values->remote || bench_is_loopback(chosen->ai_addr)) && bench_answers(chosen)))
        chosen = chosen->ai_next;
    memcpy(&plan->address, chosen->ai_addr, chosen->ai_addrlen);
    plan->address_bytes = chosen->ai_addrlen;
    freeaddrinfo(info);
    if (!values->remote && !bench_is_loopback((const struct sockaddr *)&plan->address)) {
        cli_fail("bench: %s is not this machine: load on other machines needs --remote", host);
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

static int bench_body_find(const struct bench_values *values, const struct cli_words *words,
                           struct text *body)
{
    if (values->body) {
        text_add_bytes(body, values->body, strlen(values->body));
        return EXIT_CODE_OK;
    }
    if (values->connections == 0)
        return EXIT_CODE_OK;
    if (words->count == 0) {
        cli_fail("bench: what is to be run? POINTER INPUT..., or --body");
        return EXIT_CODE_USAGE;
    }
    char reason[CLIENT_REASON_BYTES];
    struct client *client = client_create(
        &(struct client_options){.url = values->url, .token = values->token, .timeout_ms = 10000},
        reason);
    if (!client) {
        cli_fail("bench: %s", reason);
        return EXIT_CODE_FAILED;
    }
    int exit_code =
        client_body_make(&(struct client_files){.client = client}, bench_command.name, words, body);
    client_destroy(client);
    return exit_code;
}

static int bench_request_make(const struct bench_values *values, const struct cli_words *words,
                              struct text *request)
{
    struct text body = {0};
    int exit_code = bench_body_find(values, words, &body);
    const char *host = values->url + strlen(URL_SCHEME);
    text_add(request,
             "POST %s HTTP/1.1\r\nHost: %.*s\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n%s%s",
             values->path ? values->path : "/v4/runs/stream", (int)strcspn(host, "/"), host,
             body.count, values->events ? "Accept: text/event-stream\r\n" : "",
             values->close ? "Connection: close\r\n" : "");
    if (values->token)
        text_add(request, "Authorization: Bearer %s\r\n", values->token);
    text_add(request, "\r\n");
    text_add_bytes(request, body.bytes, body.count);
    if (exit_code == EXIT_CODE_OK && (body.failed || request->failed)) {
        cli_fail("bench: no memory");
        exit_code = EXIT_CODE_FAILED;
    }
    text_finish(&body);
    return exit_code;
}

/* ---- the run --------------------------------------------------------------------------------- */

int cmd_bench(int argc, char **argv)
{
    struct bench_values values = {.connections = 1, .duration_ms = 60000, .leave_after = 1};
    struct cli_words words;
    struct text request = {0};
    int exit_code;
    if (!cli_begin(&bench_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    if (!client_defaults(bench_command.name, &values.url, &values.token))
        return EXIT_CODE_USAGE;
    struct bench_plan *plan = calloc(1, sizeof(*plan));
    if (!plan) {
        cli_fail("bench: no memory");
        return EXIT_CODE_FAILED;
    }
    exit_code = bench_address_find(plan, &values);
    if (exit_code == EXIT_CODE_OK)
        exit_code = bench_request_make(&values, &words, &request);
    if (exit_code == EXIT_CODE_OK) {
        plan->request = request.bytes;
        plan->request_bytes = request.count;
        plan->request_count_max = values.requests;
        plan->lines_wanted = values.lines;
        plan->leave_after = values.leave_after;
        plan->keep_alive = !values.close;
        plan->slow_bytes_per_s = values.slow_rate;
        plan->look = (struct bench_look){.is_events = values.events,
                                         .wants_numbers = values.check,
                                         .wants_last = values.lines > 0};
        exit_code = bench_load(&values, plan);
    }
    if (exit_code == EXIT_CODE_OK)
        exit_code = bench_report(&values, &plan->stats);
    text_finish(&request);
    free(plan);
    return exit_code;
}

static int bench_load(const struct bench_values *values, struct bench_plan *plan)
{
    const struct bench_shape shape = {
        .connections = values->connections,
        .slow = values->slow,
        .leavers = values->leavers,
        .idle = values->idle,
        .ramp_ns = values->ramp_ms * CLOCK_NS_PER_MS,
        .warmup_ns = values->warmup_ms * CLOCK_NS_PER_MS,
        .duration_ns = values->duration_ms * CLOCK_NS_PER_MS,
        .shows_progress = !values->quiet && isatty(STDERR_FILENO),
    };
    int rc = bench_run(plan, &shape);
    if (rc < 0) {
        cli_fail("bench: %u connections: %s", values->connections, strerror(-rc));
        return EXIT_CODE_FAILED;
    }
    if (plan->stats.idle_count < values->idle)
        cli_fail("bench: only %" PRIu64 " idle connections could be made", plan->stats.idle_count);
    return EXIT_CODE_OK;
}

static int bench_report(const struct bench_values *values, const struct bench_stats *stats)
{
    if (values->json)
        bench_stats_print_json(stdout, stats);
    else
        bench_stats_print(stdout, stats);
    uint64_t bad = stats->failed_count + stats->truncated_count + stats->wrong_count;
    const uint64_t refused = stats->refused_count + stats->idle_refused_count;
    const uint64_t connected =
        stats->complete_count + stats->left_count + stats->unfinished_count + stats->idle_count;
    if (bad + connected == 0 && refused > 0) {
        cli_fail("bench: no connection to %s could be made", values->url);
        return EXIT_CODE_CONNECT;
    }
    return bad + refused == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
