/* SPDX-License-Identifier: MIT */
/*
 * fetcher_main.c - the fetcher: takes what is asked on its socket, and waits for the network in the
 * place of the loop.
 *
 * It has one socket and the files it is given, and all signals blocked. It ends when the server
 * closes its end of the socket, or is gone.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/fetcher/fetcher.h"
#include "dispatcher/fetcher/fetcher_confine.h"
#include "dispatcher/fetcher/fetcher_library.h"
#include "dispatcher/fetcher/fetcher_transfer.h"
#include "dispatcher/reactor/child.h"
#include "shm/clock.h"
#include "shm/descriptors.h"

#define EXIT_NOT_EXECUTED 127
#define IDLE_POLL_MS 60000
#define STACK_BYTES (1024u * 1024)

/* What goes with each request: a URL, or a rule. */
union words {
    char text[FETCH_URL_BYTES_MAX + 1];
    char rule[FETCH_HOST_BYTES_MAX + 64];
};

static struct transfers transfers;

/* An end is waited for to be heard; how far something is, is not. */
static void fetcher_main_say(const struct fetch_answer *answer)
{
    int flags = answer->kind == FETCH_DONE || answer->kind == FETCH_FAILED ? 0 : MSG_DONTWAIT;
    while (send(CHILD_FD_SOCKET, answer, sizeof(*answer), flags | MSG_NOSIGNAL) == -1)
        if (errno != EINTR) {
            if (errno == EAGAIN)
                return;
            _exit(EXIT_SUCCESS); /* nobody hears it */
        }
}

static void fetcher_main_rule_take(const char *text)
{
    char reason[CLI_REASON_BYTES];
    mr_assert(transfers.rules.count < FETCH_RULE_COUNT_MAX);
    int rc = fetch_rule_parse(&transfers.rules.items[transfers.rules.count++], text, reason);
    mr_assert(rc == 0); /* the server has read it before */
}

/* The server is trusted; what cannot be is our mistake. */
static void fetcher_main_take(const struct fetch_request *request, const char *text, int fd)
{
    switch (request->kind) {
    case FETCH_ALLOW:
        fetcher_main_rule_take(text);
        break;
    case FETCH_GET:
    case FETCH_POST:
        transfer_begin(&transfers, request, text, fd);
        break;
    case FETCH_CANCEL:
        transfer_cancel(&transfers, request->number);
        break;
    default:
        mr_unreachable("a request of no kind");
    }
}

/* Takes one. 0; -EAGAIN: there is none; -EPIPE: there is no server any more. */
static int fetcher_main_receive(void)
{
    static struct fetch_request request;
    static union words words;
    int fd;
    struct iovec parts[] = {{&request, sizeof(request)}, {&words, sizeof(words) - 1}};
    ssize_t count = descriptors_receive(
        CHILD_FD_SOCKET, &(struct packet){parts, ARRAY_COUNT(parts), &fd, 1}, MSG_DONTWAIT);
    if (count == -EAGAIN || count == -EINTR)
        return -EAGAIN;
    if (count <= 0)
        return -EPIPE;
    size_t text_bytes = (size_t)count - sizeof(request);
    mr_assert((size_t)count >= sizeof(request) && request.magic == FETCH_MAGIC);
    mr_assert(request.text_bytes == text_bytes);
    words.text[text_bytes] = '\0';
    fetcher_main_take(&request, words.text, fd);
    return 0;
}

/* Each second, and not oftener, that this loop turns. */
static void fetcher_main_alive_say(uint64_t *said_ms)
{
    uint64_t now_ms = clock_now_ns() / CLOCK_NS_PER_MS;
    if (transfers.count == 0 || now_ms - *said_ms < FETCH_ALIVE_MS)
        return;
    *said_ms = now_ms;
    fetcher_main_say(&(struct fetch_answer){.magic = FETCH_MAGIC, .kind = FETCH_ALIVE});
}

static int fetcher_main_loop(void)
{
    struct curl_waitfd socket = {.fd = CHILD_FD_SOCKET, .events = CURL_WAIT_POLLIN};
    uint64_t said_ms = 0;
    int running, rc = 0;
    for (;;) {
        fetcher_library.multi_perform(transfers.multi, &running);
        transfers_reap(&transfers);
        fetcher_main_alive_say(&said_ms);
        int timeout_ms = transfers.count > 0 ? (int)FETCH_ALIVE_MS : IDLE_POLL_MS;
        if (rc != 0)
            fetcher_library.multi_poll(transfers.multi, &socket, 1, timeout_ms, NULL);
        rc = fetcher_main_receive();
        if (rc == -EPIPE)
            return EXIT_SUCCESS;
    }
}

/* Threads that look up names need little. */
static bool fetcher_main_memory_set(void)
{
    pthread_attr_t attributes;
    mallopt(M_ARENA_MAX, 1);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    bool done = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
                pthread_setattr_default_np(&attributes) == 0;
    pthread_attr_destroy(&attributes);
    return done;
}

int fetcher_main(int argc, char **argv)
{
    prctl(PR_SET_NAME, "mr-fetcher");
    if (argc != 3 || !fetcher_main_memory_set() || fetcher_library_load() != NULL)
        return EXIT_NOT_EXECUTED;
    transfers.multi = fetcher_library.multi_init();
    transfers.say = fetcher_main_say;
    if (!transfers.multi ||
        !fetcher_confine((pid_t)strtol(argv[1], NULL, 10), strtoull(argv[2], NULL, 10)))
        return EXIT_NOT_EXECUTED;
    _exit(fetcher_main_loop()); /* what there is goes with it; nothing is left to be done */
}
