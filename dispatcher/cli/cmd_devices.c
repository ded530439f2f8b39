/* SPDX-License-Identifier: MIT */
/* cmd_devices.c - `millrace devices`: what workers could be bound to on this machine. */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/devices_table.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/devices/scan.h"
#include "dispatcher/devices/scanner.h"
#include "shm/clock.h"

#define TIMEOUT_MS_MAX (10u * 60 * 1000)
#define GONE_TRIES 50
#define GONE_TRY_MS 2

struct devices_values {
    uint32_t timeout_ms;
    bool cores;
    bool json;
};

static const struct cli_option options[] = {
    {"cores", NULL, CLI_FLAG, CLI_MEMBER(struct devices_values, cores),
     .help = "list each core of the processors, in the place of their NUMA nodes"},
    {"timeout", NULL, CLI_DURATION, CLI_MEMBER(struct devices_values, timeout_ms), 1,
     TIMEOUT_MS_MAX, .help = "how long a driver may take to answer"},
    {"json", NULL, CLI_FLAG, CLI_MEMBER(struct devices_values, json),
     .help = "print what was found as one line of JSON"},
};

const struct cli_command devices_command = {
    .name = "devices",
    .words = "",
    .about =
        "Looks for GPUs, slices of them and processors on this machine, without a server. Each "
        "driver\nis asked by a process of its own, all at once.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

static struct scan scans[DEVICE_KIND_COUNT];
static size_t scan_count;

static bool devices_begin(const struct devices_values *values);
static void devices_wait(void);
static int devices_print(bool is_json);

int cmd_devices(int argc, char **argv)
{
    struct devices_values values = {.timeout_ms = SCAN_TIMEOUT_MS};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&devices_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    exit_code = EXIT_CODE_FAILED;
    if (devices_begin(&values)) {
        devices_wait();
        exit_code = devices_print(values.json);
    }
    for (size_t i = 0; i < scan_count; i++)
        scan_finish(&scans[i]);
    return exit_code;
}

static uint64_t devices_now_ms(void)
{
    return clock_now_ns() / CLOCK_NS_PER_MS;
}

static bool devices_begin(const struct devices_values *values)
{
    for (int kind = 0; kind < DEVICE_KIND_COUNT; kind++) {
        const char *word = device_kind_name((enum device_kind)kind);
        if (!device_kind_is_found((enum device_kind)kind))
            continue;
        if (kind == DEVICE_CPU && values->cores)
            word = SCAN_CORES_WORD;
        struct scan *scan = &scans[scan_count++];
        scan_init(scan);
        int rc = scan_begin(scan, word, devices_now_ms(), values->timeout_ms);
        if (rc < 0) {
            cli_fail("devices: cannot start the process that looks for %s: %s", word,
                     strerror(-rc));
            return false;
        }
    }
    return true;
}

/* What is still under way is polled; `due_ms` is when the first of them is over. */
static size_t devices_fds_fill(struct pollfd *fds, uint64_t *due_ms)
{
    size_t under_way = 0;
    *due_ms = CLOCK_NEVER;
    for (size_t i = 0; i < scan_count; i++) {
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
        if (scans[i].state != SCAN_UNDER_WAY)
            continue;
        fds[i].fd = scans[i].scanner.socket;
        under_way++;
        if (scans[i].due_ms < *due_ms)
            *due_ms = scans[i].due_ms;
    }
    return under_way;
}

/* How a process ended is known a moment after its socket says that it has. */
static void devices_gone_wait(void)
{
    for (size_t i = 0; i < scan_count; i++)
        for (int k = 0; k < GONE_TRIES && !scan_is_gone(&scans[i]); k++)
            poll(NULL, 0, GONE_TRY_MS);
}

static void devices_wait(void)
{
    struct pollfd fds[DEVICE_KIND_COUNT];
    uint64_t due_ms;
    while (devices_fds_fill(fds, &due_ms) > 0) {
        uint64_t now_ms = devices_now_ms();
        int wait_ms = due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
        int ready = poll(fds, (nfds_t)scan_count, wait_ms);
        mr_assert(ready >= 0 || errno == EINTR);
        for (size_t i = 0; i < scan_count; i++) {
            if (scans[i].state == SCAN_UNDER_WAY && ready > 0 && fds[i].revents != 0)
                (void)scan_hear(&scans[i]);
            if (scans[i].state == SCAN_UNDER_WAY)
                (void)scan_expire(&scans[i], devices_now_ms());
        }
    }
    devices_gone_wait();
}

static int devices_print(bool is_json)
{
    struct text text = {0};
    if (is_json)
        devices_json_add(&text, scans, scan_count);
    else
        devices_table_add(&text, scans, scan_count);
    bool failed = text.failed;
    if (failed)
        cli_fail("devices: no memory");
    else
        fwrite(text.bytes, 1, text.count, stdout);
    text_finish(&text);
    return failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
