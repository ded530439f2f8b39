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

#include "dispatcher/devices/device_variables.h"
#include "dispatcher/devices/finding.h"
#include "dispatcher/devices/mps_control.h"
#include "dispatcher/devices/probe.h"
#include "dispatcher/devices/scanner.h"
#include "dispatcher/devices/watch_nvml.h"
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
    message = (struct scan_message){.magic = SCAN_MAGIC, .kind = SCAN_USE};
    for (uint32_t i = 0; i < finding.use_count; i++) {
        message.use = finding.uses[i];
        scanner_main_say(&message);
    }
    message = (struct scan_message){.magic = SCAN_MAGIC, .kind = end};
    memcpy(message.reason, finding.reason, sizeof(message.reason));
    scanner_main_say(&message);
}

static void scanner_main_event_say(const char uuid[DEVICE_UUID_BYTES], uint32_t number)
{
    struct scan_message message = {.magic = SCAN_MAGIC, .kind = SCAN_EVENT, .number = number};
    memcpy(message.device.uuid, uuid, DEVICE_UUID_BYTES);
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

/* ---- a probe ------------------------------------------------------------------------------- */

/* Under the masks of a worker. They are never taken back: the process ends. */
static bool scanner_main_mask(const struct device *device)
{
    static struct device_variables variables;
    static const struct environment none;
    if (device_variables_fill(&variables, device, &none) < 0)
        return false;
    for (uint32_t i = 0; i < variables.count; i++)
        if (putenv(variables.items[i]) != 0)
            return false;
    return true;
}

static enum scan_message_kind scanner_main_probe(void)
{
    struct device *device = &finding.devices[0];
    if (recv(CHILD_FD_SOCKET, device, sizeof(*device), 0) != (ssize_t)sizeof(*device) ||
        !device_is_sound(device) || !scanner_main_mask(device)) {
        finding_say(&finding, "there is no device to try");
        return SCAN_FAILED;
    }
    finding.count = 1;
    if (device->kind == DEVICE_CUDA)
        return probe_cuda(&finding);
    finding_say(&finding, "not tried: nothing here uses devices of its kind");
    return SCAN_DONE;
}

/* ---- MPS ----------------------------------------------------------------------------------- */

static void scanner_main_mps(void)
{
    static struct mps_request request;
    if (recv(CHILD_FD_SOCKET, &request, sizeof(request), 0) != (ssize_t)sizeof(request))
        return;
    uint32_t result = mps_control_end(&request);
    ssize_t sent = send(CHILD_FD_SOCKET, &result, sizeof(result), MSG_NOSIGNAL);
    (void)sent; /* who asked has killed already */
}

int scanner_main(int argc, char **argv)
{
    prctl(PR_SET_NAME, "mr-scanner");
    if (argc != 3 || !scanner_main_tie((pid_t)strtol(argv[1], NULL, 10)))
        return EXIT_NOT_EXECUTED;
    if (strcmp(argv[2], SCAN_PROBE_WORD) == 0) {
        scanner_main_all_say(scanner_main_probe());
        _exit(EXIT_SUCCESS);
    }
    if (strcmp(argv[2], SCAN_WATCH_WORD) == 0) {
        watch_nvml(scanner_main_event_say);
        _exit(EXIT_SUCCESS);
    }
    if (strcmp(argv[2], SCAN_MPS_WORD) == 0) {
        scanner_main_mps();
        _exit(EXIT_SUCCESS);
    }
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
