/* SPDX-License-Identifier: MIT */
/* cmd_devices.c - `millrace devices`: what workers could be bound to on this machine. */
#include "dispatcher/cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/operate/control_client.h"
#include "dispatcher/cli/operate/device_rows.h"
#include "dispatcher/cli/operate/devices_table.h"
#include "dispatcher/cli/operate/live_state.h"
#include "dispatcher/config/cli.h"
#include "dispatcher/config/exit_code.h"
#include "dispatcher/devices/scan.h"
#include "dispatcher/devices/scanner.h"
#include "shm/clock.h"

#define TIMEOUT_MS_MAX (10u * 60 * 1000)
#define SERVER_ANSWER_MS 2000u
#define GONE_TRIES 50
#define GONE_TRY_MS 2

struct devices_values {
    const char *control_path;
    uint32_t timeout_ms;
    bool cores;
    bool json;
};

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTION_PATH(struct devices_values),
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
        "Looks for GPUs, slices of them and processors on this machine. Each driver is asked by a "
        "process\nof its own, all at once. A server that runs says which workers have them.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
};

static struct scan scans[DEVICE_KIND_COUNT];
static size_t scan_count;

static bool devices_begin(const struct devices_values *values);
static void devices_wait(void);
static bool devices_ask(const char *control_path, struct live_state *live);
static int devices_print(bool is_json, const struct live_state *live);

int cmd_devices(int argc, char **argv)
{
    struct devices_values values = {.timeout_ms = SCAN_TIMEOUT_MS};
    struct cli_words words;
    int exit_code;
    if (!cli_begin(&devices_command, argc, argv, &values, &words, &exit_code))
        return exit_code;
    exit_code = EXIT_CODE_FAILED;
    if (devices_begin(&values)) {
        struct live_state live = {0};
        devices_wait();
        bool is_known = devices_ask(values.control_path, &live);
        exit_code = devices_print(values.json, is_known ? &live : NULL);
        live_state_finish(&live);
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

/* Whether a server says what it knows. None is needed: that there is none is told only to who named
 * it. */
static bool devices_ask(const char *control_path, struct live_state *live)
{
    char reason[CONTROL_CLIENT_REASON_BYTES];
    struct control_client_answer answer = {0};
    struct control_client *control = control_client_open(
        &(struct control_client_options){.path = control_path, .timeout_ms = SERVER_ANSWER_MS},
        reason);
    bool is_known = control && control_client_ask(control, CONTROL_CLIENT_STATE, NULL, &answer,
                                                  reason) == EXIT_CODE_OK;
    if (is_known) {
        int rc = live_state_read(live, &answer.root);
        is_known = rc == 0;
        if (rc < 0)
            snprintf(reason, sizeof reason, "%s", live_state_error(rc));
    }
    if (!is_known && control_path)
        cli_fail("devices: %s", reason);
    control_client_answer_finish(&answer);
    control_client_close(control);
    return is_known;
}

static int devices_print(bool is_json, const struct live_state *live)
{
    struct text text = {0};
    struct device_rows rows = {0};
    if (device_rows_make(&rows, scans, scan_count, live) < 0)
        text.failed = true;
    else if (is_json)
        devices_json_add(&text, &rows, scans, scan_count);
    else
        devices_table_add(&text, &rows, scans, scan_count);
    bool failed = text.failed;
    if (failed)
        cli_fail("devices: no memory");
    else
        fwrite(text.bytes, 1, text.count, stdout);
    text_finish(&text);
    device_rows_finish(&rows);
    return failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
