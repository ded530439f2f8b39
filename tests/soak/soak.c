/* SPDX-License-Identifier: MIT */
/*
 * soak.c - many clients of every manner, while workers are killed; each answer checked as it
 * arrives.
 *
 *     soak PORT SERVER_PID SECONDS SEED CLIENTS KILLS_PER_SECOND
 *
 * The server serves soak/numbers:v1 (numbers.so) and soak/words:v1 (words.so). Workers of the
 * former are killed. Every run has a text of its own, which is in each of its chunks and in no
 * other's. Prints how runs ended, a name and a number a line. Violations go to stderr, and make the
 * exit status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/soak/answer.h"
#include "tests/soak/killer.h"
#include "tests/soak/plan.h"

#define CLIENT_COUNT_MAX 256u
#define REQUEST_BYTES 1024u
#define TEXT_BYTES 128u
#define ID_BYTES 37u
#define READ_BYTES 65536u
#define RUN_SECONDS_MAX 30u /* a run that takes longer hangs */
#define STALL_MS 2500u      /* longer than the server's --stall-timeout */
#define VIOLATION_COUNT_MAX 20u

enum end { END_COMPLETED, END_FAILED, END_REFUSED, END_LEFT, END_EARLY, END_CUT, END_COUNT };

struct client {
    int fd;       /* -1: not connected */
    bool is_busy; /* in the middle of a request */
    bool is_deleter;
    bool is_paused; /* not in the epoll set */
    bool is_kept;   /* the connection had a run before this one */
    bool wants_delete;
    struct plan plan;
    uint64_t number; /* of the run */
    uint64_t begun_ms, due_ms;
    char text[TEXT_BYTES];
    char id[ID_BYTES];
    uint32_t lines;
    bool has_error, is_refusal;
    struct answer answer;
};

static struct {
    struct client *clients; /* client_count that run, and as many that delete for them */
    uint32_t client_count;
    uint16_t port;
    int epoll;
    uint64_t seed, random;
    uint64_t now_ms, calm_ms,
        stop_ms; /* no kills from calm_ms on, so that workers live for a while */
    uint64_t run_count, chunk_count, delete_count, unheard_count, violation_count;
    uint64_t ends[END_COUNT];
} soak;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void violation(const struct client *client, const char *what, const char *line)
{
    static const char *const names[MANNER_COUNT] = {"polite", "fin",    "rst",    "early",
                                                    "pauses", "stalls", "deletes"};
    if (soak.violation_count++ < VIOLATION_COUNT_MAX)
        fprintf(stderr,
                "violation: run %" PRIu64 " %s (%s, %s, %" PRIu32 " chunks at %" PRIu32
                " ms, pause %" PRIu32 " ms), line %" PRIu32 " after %" PRIu64 " ms: %s: %s\n",
                client->number, client->id, names[client->plan.manner],
                client->is_deleter      ? "delete"
                : client->plan.is_words ? "words"
                                        : "numbers",
                client->plan.count, client->plan.pace_ms, client->plan.pause_ms, client->lines,
                soak.now_ms - client->begun_ms, what, line);
}

/* ---- connections --------------------------------------------------------------------------- */

static void client_watch(struct client *client, bool is_watched)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(client - soak.clients)};
    int operation = is_watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (client->is_paused == !is_watched)
        return;
    if (epoll_ctl(soak.epoll, operation, client->fd, &event) == -1)
        fail("epoll_ctl");
    client->is_paused = !is_watched;
}

static void client_connect(struct client *client)
{
    int on = 1, small = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(soak.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd == -1)
        fail("socket");
    if (client->plan.manner == MANNER_STALLS)
        setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == -1)
        fail("connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    client->is_paused = true;
}

static void client_close(struct client *client, bool with_reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (client->fd == -1)
        return;
    if (with_reset)
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(client->fd);
    client->fd = -1;
}

static void client_send(struct client *client, const char *bytes, size_t count)
{
    /* A request is far smaller than an empty send buffer. A kept connection may just be closed. */
    ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL);
    if (sent != (ssize_t)count)
        violation(client, "a request could not be sent", strerror(errno));
}

/* ---- what a run's answer must be ----------------------------------------------------------- */

static void client_end(struct client *client, enum end end)
{
    soak.ends[end]++;
    client->is_busy = false;
}

static const char *on_error_line(struct client *client, const char *line)
{
    bool is_failed = strstr(line, "\"state\":\"failed\"") != NULL;
    client->is_refusal = strstr(line, "\"state\":\"no_resources_available\"") != NULL;
    client->has_error = true;
    if (!strstr(line, "\"outputs\":null") || is_failed == client->is_refusal)
        return "an error line of another form";
    if (client->is_refusal)
        return NULL;
    if (strstr(line, "\"error\":{\"type\":\"pipeline_error\""))
        return strstr(line, "killed by signal 9 (SIGKILL)") ? NULL
                                                            : "a failure that was not caused";
    if (strstr(line, "\"error\":{\"type\":\"unknown\",\"message\":\"cancelled") &&
        client->plan.manner == MANNER_DELETES)
        return NULL;
    return "an error that was not caused";
}

static const char *on_chunk_line(struct client *client, const char *line)
{
    char expected[TEXT_BYTES + 64];
    if (client->plan.is_words) {
        snprintf(expected, sizeof(expected), "\"value\":\"%s-%" PRIu32 " \"", client->text,
                 client->lines);
    } else {
        snprintf(expected, sizeof(expected),
                 "\"value\":{\"i\":%" PRIu32 ",\"t_ns\":", client->lines);
        if (!strstr(line, expected))
            return "a chunk out of order, or of another run";
        snprintf(expected, sizeof(expected), ",\"chunk\":\"%s\"}", client->text);
    }
    if (!strstr(line, expected) || !strstr(line, "\"error\":null}"))
        return "a chunk of another run, or a damaged one";
    client->lines++;
    soak.chunk_count++;
    client->wants_delete = client->plan.manner == MANNER_DELETES && client->lines == 1;
    return client->lines > client->plan.count ? "more chunks than the run has" : NULL;
}

static const char *on_line(void *context, const char *line)
{
    struct client *client = context;
    if (client->is_deleter)
        return NULL;
    if (client->has_error)
        return "a line behind the error line";
    if (strncmp(line, "{\"id\":\"run_", 11) != 0 || strlen(line) < 64 || line[43] != '"')
        return "no line of a run";
    if (client->id[0] == '\0')
        memcpy(client->id, line + 7, ID_BYTES - 1);
    if (strncmp(client->id, line + 7, ID_BYTES - 1) != 0)
        return "the id of another run";
    return strstr(line, "\"error\":null}") ? on_chunk_line(client, line)
                                           : on_error_line(client, line);
}

/* The answer is whole. */
static void on_answer(struct client *client)
{
    const struct answer *answer = &client->answer;
    if (client->is_deleter) {
        if (answer->status != 200 && answer->status != 404 && answer->status != 409)
            violation(client, "the answer to DELETE", answer->text);
        client->is_busy = false;
        return;
    }
    if (answer->is_chunked &&
        (answer->says_completed == answer->says_failed || answer->says_lines != client->lines ||
         answer->says_failed != client->has_error))
        violation(client, "trailers that do not fit", answer->text);
    if (!answer->is_chunked &&
        (client->lines > 0 || !(client->has_error || client->plan.count == 0)))
        violation(client, "a stream without its trailers", answer->line);
    if (!client->has_error && client->lines != client->plan.count)
        violation(client, "a completed run that is not complete", answer->line);
    client_end(client, !client->has_error   ? END_COMPLETED
                       : client->is_refusal ? END_REFUSED
                                            : END_FAILED);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void request_send(struct client *client, const char *method, const char *path,
                         const char *body)
{
    char request[REQUEST_BYTES + 256];
    int count = snprintf(request, sizeof(request),
                         "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: %zu\r\n\r\n%s",
                         method, path, soak.port, strlen(body), body);
    client->answer = (struct answer){.on_line = on_line, .context = client};
    client->is_busy = true;
    client->begun_ms = soak.now_ms;
    client->is_kept = client->fd != -1;
    if (client->fd == -1)
        client_connect(client);
    if (client->plan.manner == MANNER_LEAVES_EARLY && !client->is_deleter)
        count /= 2 + (int)(client->number % 5);
    client_send(client, request, (size_t)count);
}

static void words_format(char *text, size_t room, const struct client *client)
{
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < client->plan.count && at < room; i++)
        at += (size_t)snprintf(text + at, room - at, "%s-%" PRIu32 " ", client->text, i);
}

static void run_start(struct client *client)
{
    char body[REQUEST_BYTES], words[REQUEST_BYTES / 2 + 256];
    client->plan = plan_draw(&soak.random);
    client->number = soak.run_count++;
    client->lines = 0;
    client->id[0] = '\0';
    client->has_error = client->is_refusal = client->wants_delete = false;
    /* Texts of different lengths, so that no two runs' records have the same size for long. */
    snprintf(client->text, sizeof(client->text), "soak%" PRIx64 "run%" PRIu64 "%.*s", soak.seed,
             client->number, (int)(client->number % 40),
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    if (client->plan.is_words) {
        words_format(words, sizeof(words), client);
        snprintf(
            body, sizeof(body),
            "{\"pipeline\":\"soak/words:v1\",\"inputs\":[{\"type\":\"string\",\"value\":\"%s\"}]}",
            words);
    } else {
        snprintf(
            body, sizeof(body),
            "{\"pipeline\":\"soak/numbers:v1\",\"inputs\":[{\"type\":\"integer\",\"value\":%" PRIu32
            "},{\"type\":\"string\",\"value\":\"%s\"},{\"type\":\"integer\",\"value\":%" PRIu32
            "}]}",
            client->plan.count, client->text, client->plan.pace_ms);
    }
    if (client->plan.manner == MANNER_STALLS)
        client_close(client, false); /* a new one, with a small buffer */
    request_send(client, "POST", "/v4/runs/stream", body);
    client->due_ms =
        soak.now_ms + (client->plan.manner == MANNER_STALLS ? STALL_MS : client->plan.pause_ms);
    client_watch(client, client->plan.manner != MANNER_STALLS);
    if (client->plan.manner == MANNER_LEAVES_EARLY) {
        client_end(client, END_EARLY);
        client_close(client, false);
    }
}

static void delete_start(struct client *client)
{
    struct client *deleter = client + soak.client_count;
    char path[64];
    client->wants_delete = false;
    if (deleter->is_busy)
        return;
    snprintf(path, sizeof(path), "/v4/runs/%s", client->id);
    deleter->number = client->number;
    request_send(deleter, "DELETE", path, "");
    client_watch(deleter, true);
    soak.delete_count++;
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_bytes(struct client *client, const char *bytes, size_t count)
{
    size_t used;
    const char *wrong = client->is_busy ? answer_add(&client->answer, bytes, count, &used)
                                        : "bytes that nobody asked for";
    if (!wrong && used < count)
        wrong = "bytes behind the answer";
    if (wrong) {
        violation(client, wrong, client->answer.line);
        client_end(client, END_CUT);
        client_close(client, true);
        return;
    }
    if (client->wants_delete)
        delete_start(client);
    if (client->answer.part != PART_DONE)
        return;
    on_answer(client);
    if (!client->is_deleter && !client->plan.keeps_connection)
        client_close(client, false);
}

static void on_readable(struct client *client)
{
    static char bytes[READ_BYTES];
    ssize_t count = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (count == -1 && errno == EAGAIN)
        return;
    if (count > 0) {
        on_bytes(client, bytes, (size_t)count);
        return;
    }
    if (client->is_busy) {
        if (client->plan.manner != MANNER_STALLS || client->is_deleter)
            violation(client, "cut without an end", count == 0 ? "FIN" : strerror(errno));
        client_end(client, END_CUT);
    }
    client_close(client, false);
}

/* What a client does by the clock. */
static void client_tick(struct client *client)
{
    if (!client->is_busy)
        return;
    if (soak.now_ms > client->begun_ms + RUN_SECONDS_MAX * 1000u) {
        violation(client, "no end at all", client->answer.line);
        client_end(client, END_CUT);
        client_close(client, true);
        return;
    }
    if (client->is_deleter)
        return;
    bool is_due = soak.now_ms >= client->due_ms;
    bool leaves = client->plan.manner == MANNER_FIN ||
                  /* An RST takes what the server has not read with it: it has read the request. */
                  (client->plan.manner == MANNER_RST && client->answer.byte_count > 0);
    if (is_due && leaves) {
        /* The server may still be at the end of its last answer on this connection: what came
         * behind that, with the client's end of file, need not have become a run. */
        soak.unheard_count += client->is_kept && client->answer.byte_count == 0;
        client_end(client, END_LEFT);
        client_close(client, client->plan.manner == MANNER_RST);
    } else if (client->plan.manner == MANNER_PAUSES && !is_due && client->lines > 0) {
        client_watch(client, false);
    } else if (is_due) {
        client_watch(client, true);
    }
}

static bool tick_all(bool may_start)
{
    bool is_busy = false;
    for (uint32_t i = 0; i < soak.client_count; i++) {
        struct client *client = &soak.clients[i];
        client_tick(client);
        client_tick(client + soak.client_count);
        if (!client->is_busy && may_start)
            run_start(client);
        is_busy |= client->is_busy || client[soak.client_count].is_busy;
    }
    return is_busy;
}

static void soak_run(struct killer *killer)
{
    struct epoll_event events[CLIENT_COUNT_MAX];
    bool is_busy = true;
    while (is_busy) {
        int count = epoll_wait(soak.epoll, events, CLIENT_COUNT_MAX, 2);
        soak.now_ms = now_ms();
        for (int i = 0; i < count; i++) {
            struct client *client = &soak.clients[events[i].data.u32];
            if (client->fd != -1 && !client->is_paused)
                on_readable(client);
        }
        bool is_over = soak.now_ms >= soak.stop_ms;
        if (soak.now_ms < soak.calm_ms)
            killer_tick(killer, soak.now_ms, &soak.random);
        is_busy = tick_all(!is_over);
    }
}

static int report(const struct killer *killer)
{
    static const char *const names[END_COUNT] = {"completed", "failed", "refused",
                                                 "left",      "early",  "cut"};
    for (int i = 0; i < END_COUNT; i++)
        printf("%s %" PRIu64 "\n", names[i], soak.ends[i]);
    printf("runs %" PRIu64 "\nchunks %" PRIu64 "\nunheard %" PRIu64 "\ndeletes %" PRIu64
           "\nkills %" PRIu64 "\nviolations %" PRIu64 "\n",
           soak.run_count, soak.chunk_count, soak.unheard_count, soak.delete_count,
           killer->kill_count, soak.violation_count);
    return soak.violation_count > 0;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    soak.port = (uint16_t)strtoul(argv[1], NULL, 10);
    soak.seed = strtoull(argv[4], NULL, 10);
    soak.random = soak.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    soak.client_count = (uint32_t)strtoul(argv[5], NULL, 10);
    soak.clients = calloc(2 * (size_t)soak.client_count, sizeof(*soak.clients));
    soak.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (soak.client_count == 0 || 2 * soak.client_count > CLIENT_COUNT_MAX || !soak.clients ||
        soak.epoll == -1)
        fail("start");
    for (uint32_t i = 0; i < 2 * soak.client_count; i++) {
        soak.clients[i].fd = -1;
        soak.clients[i].is_deleter = i >= soak.client_count;
    }
    soak.now_ms = now_ms();
    uint64_t milliseconds = strtoull(argv[3], NULL, 10) * 1000;
    soak.calm_ms = soak.now_ms + milliseconds / 10 * 9;
    soak.stop_ms = soak.now_ms + milliseconds;
    struct killer killer = {.server_pid = (pid_t)strtol(argv[2], NULL, 10),
                            .pointer = "soak/numbers:v1",
                            .kills_per_second = (uint32_t)strtoul(argv[6], NULL, 10),
                            .next_ms = soak.now_ms};
    soak_run(&killer);
    return report(&killer);
}
