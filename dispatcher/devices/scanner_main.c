/* SPDX-License-Identifier: MIT */
/*
 * scanner_main.c - the scanner: looks for the devices of a kind, says what it has found, and ends.
 *
 * It keeps the server's user, since drivers decide by it who may see what; they also read files in
 * /proc of their own process, and start helpers that have more rights. It has one socket, all
 * signals blocked, leaves no core, and ends with the server.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/reactor/child.h"
#include "dispatcher/reactor/servant_confine.h"
#include "millrace/check.h"

#define EXIT_NOT_EXECUTED 127

static const struct scanner_look {
    const char *word;
    enum scan_message_kind (*look)(struct finding *finding);
    bool is_on_bus;
} looks[] = {
    {"cuda", scan_nvml, true},
    {"hip", scan_kfd, true},
    {"vulkan", scan_vulkan, true},
    {"cpu", scan_cpu, false},
    {SCAN_CORES_WORD, scan_cpu_cores, false},
};

static struct finding finding;

static void scanner_main_say(const struct scan_message *message)
{
    while (send(CHILD_FD_SOCKET, message, sizeof(*message), MSG_NOSIGNAL) == -1)
        if (errno != EINTR)
            _exit(EXIT_SUCCESS); /* nobody hears it */
}

static void scanner_main_all_say(enum scan_message_kind end)
{
    struct scan_message message = {.magic = SCAN_MAGIC, .kind = SCAN_FOUND};
    for (uint32_t i = 0; i < finding.count; i++) {
        message.device = finding.devices[i];
        scanner_main_say(&message);
    }
    message = (struct scan_message){.magic = SCAN_MAGIC, .kind = end};
    memcpy(message.reason, finding.reason, sizeof(message.reason));
    scanner_main_say(&message);
}

static const struct scanner_look *scanner_main_look_find(const char *word)
{
    for (size_t i = 0; i < ARRAY_COUNT(looks); i++)
        if (strcmp(looks[i].word, word) == 0)
            return &looks[i];
    return NULL;
}

static bool scanner_main_tie(pid_t parent)
{
    return servant_limit_set(RLIMIT_CORE, 0) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           getppid() == parent;
}

int scanner_main(int argc, char **argv)
{
    prctl(PR_SET_NAME, "mr-scanner");
    if (argc != 3 || !scanner_main_tie((pid_t)strtol(argv[1], NULL, 10)))
        return EXIT_NOT_EXECUTED;
    const struct scanner_look *look = scanner_main_look_find(argv[2]);
    if (!look) {
        finding_say(&finding, "devices of this kind cannot be looked for");
        scanner_main_all_say(SCAN_ABSENT);
        _exit(EXIT_SUCCESS);
    }
    enum scan_message_kind end = look->look(&finding);
    finding_uuids_check(&finding);
    if (look->is_on_bus)
        scan_place(&finding);
    if (finding.left_out > 0)
        finding_say(&finding, "%u more were left out", finding.left_out);
    scanner_main_all_say(end);
    _exit(EXIT_SUCCESS); /* what drivers would do at their end, the kernel does */
}
