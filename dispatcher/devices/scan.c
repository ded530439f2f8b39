/* SPDX-License-Identifier: MIT */
/* scan.c - one look for the devices of a kind, as the one who asks for it sees it. */
#include "dispatcher/devices/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "dispatcher/devices/scanner.h"

static void scan_end(struct scan *scan, enum scan_state state);
static void scan_take(struct scan *scan, const struct scan_message *message);
static void scan_death_look(struct scan *scan);

void scan_init(struct scan *scan)
{
    *scan = (struct scan){.state = SCAN_NEVER};
    servant_init(&scan->scanner);
}

static enum device_kind scan_word_kind(const char *word)
{
    enum device_kind kind = DEVICE_CPU;
    if (strcmp(word, SCAN_CORES_WORD) != 0) {
        int rc = device_kind_find(word, strlen(word), &kind);
        mr_assert(rc == 0);
    }
    return kind;
}

static int scan_open(struct scan *scan, const char *word, enum device_kind kind, uint64_t now_ms,
                     uint32_t timeout_ms)
{
    mr_assert(scan->state != SCAN_UNDER_WAY);
    /* What is not used of it is never touched, and so takes no memory. */
    if (!scan->devices)
        scan->devices = calloc(DEVICE_COUNT_MAX, sizeof(*scan->devices));
    if (!scan->uses)
        scan->uses = calloc(SCAN_USE_COUNT_MAX, sizeof(*scan->uses));
    if (!scan->devices || !scan->uses)
        return -ENOMEM;
    int rc = servant_open(&scan->scanner, SCANNER_NAME, word);
    if (rc < 0)
        return rc;
    scan->state = SCAN_UNDER_WAY;
    scan->kind = kind;
    scan->count = scan->use_count = 0;
    scan->timeout_ms = timeout_ms;
    scan->due_ms = now_ms + timeout_ms;
    scan->reason[0] = '\0';
    scan->is_unexplained = scan->is_probe = false;
    return 0;
}

int scan_begin(struct scan *scan, const char *word, uint64_t now_ms, uint32_t timeout_ms)
{
    return scan_open(scan, word, scan_word_kind(word), now_ms, timeout_ms);
}

int scan_begin_probe(struct scan *scan, const struct device *device, uint64_t now_ms,
                     uint32_t timeout_ms)
{
    struct device tried = *device; /* which may be the last one's */
    int rc = scan_open(scan, SCAN_PROBE_WORD, (enum device_kind)device->kind, now_ms, timeout_ms);
    if (rc < 0)
        return rc;
    scan->is_probe = true;
    scan->devices[0] = tried;
    /* It takes whole what nothing was sent before. */
    rc = servant_ask(&scan->scanner, &tried, sizeof(tried), NULL, 0, -1);
    if (rc < 0) {
        snprintf(scan->reason, SCAN_REASON_BYTES, "the process that tries it ended");
        scan_end(scan, SCAN_UNKNOWN);
    }
    return 0;
}

bool scan_hear(struct scan *scan)
{
    struct scan_message message;
    mr_assert(scan->state == SCAN_UNDER_WAY);
    /* Each that is no end adds a device or a use, for which there is room, or is one. */
    const uint32_t message_count_max = DEVICE_COUNT_MAX + SCAN_USE_COUNT_MAX + 1;
    for (uint32_t i = 0; i < message_count_max && scan->state == SCAN_UNDER_WAY; i++) {
        int rc = servant_hear(&scan->scanner, &message, sizeof(message));
        if (rc == 0)
            return false;
        if (rc == -EPIPE) {
            snprintf(scan->reason, SCAN_REASON_BYTES, "the process that asks the driver ended");
            scan->is_unexplained = true;
            scan_end(scan, SCAN_UNKNOWN);
            scan_death_look(scan);
        } else if (rc < 0) {
            message.magic = 0;
        }
        if (scan->state == SCAN_UNDER_WAY)
            scan_take(scan, &message);
    }
    mr_assert(scan->state != SCAN_UNDER_WAY);
    return true;
}

bool scan_expire(struct scan *scan, uint64_t now_ms)
{
    mr_assert(scan->state == SCAN_UNDER_WAY);
    if (now_ms < scan->due_ms)
        return false;
    snprintf(scan->reason, SCAN_REASON_BYTES, "the driver did not answer in %g s",
             (double)scan->timeout_ms / 1000);
    scan_end(scan, SCAN_UNKNOWN);
    return true;
}

bool scan_is_gone(struct scan *scan)
{
    mr_assert(scan->state != SCAN_UNDER_WAY);
    if (scan->scanner.state == SERVANT_NONE)
        return true;
    scan_death_look(scan);
    return servant_is_gone(&scan->scanner);
}

void scan_finish(struct scan *scan)
{
    if (scan->state == SCAN_UNDER_WAY)
        servant_kill(&scan->scanner); /* it may never leave of itself */
    servant_close(&scan->scanner);
    free(scan->devices);
    free(scan->uses);
    scan_init(scan);
}

/* It has nothing to lose, and its driver may keep it from leaving. */
static void scan_end(struct scan *scan, enum scan_state state)
{
    scan->state = state;
    servant_kill(&scan->scanner);
}

/* Of what it says of a device that it tries, that alone is news. */
static bool scan_probe_take(struct scan *scan, const struct device *device)
{
    if (scan->count > 0 || !device_is_sound(device))
        return false;
    scan->devices[scan->count++].memory_free_bytes = device->memory_free_bytes;
    return true;
}

static bool scan_device_take(struct scan *scan, const struct device *device)
{
    if (scan->is_probe)
        return scan_probe_take(scan, device);
    if (!device_is_sound(device) || device->kind != (uint32_t)scan->kind ||
        device->index != scan->count)
        return false;
    scan->devices[scan->count++] = *device;
    return true;
}

static bool scan_use_take(struct scan *scan, const struct device_use *use)
{
    if (scan->is_probe || scan->use_count == SCAN_USE_COUNT_MAX || use->index >= scan->count)
        return false;
    scan->uses[scan->use_count++] = *use;
    return true;
}

/* True: it is no end, and says what can be. */
static bool scan_news_take(struct scan *scan, const struct scan_message *message)
{
    if (message->kind == SCAN_FOUND)
        return scan_device_take(scan, &message->device);
    return message->kind == SCAN_USE && scan_use_take(scan, &message->use);
}

static void scan_take(struct scan *scan, const struct scan_message *message)
{
    static const enum scan_state ends[SCAN_MESSAGE_KIND_COUNT] = {
        [SCAN_DONE] = SCAN_ALL_FOUND,
        [SCAN_ABSENT] = SCAN_NONE_HERE,
        [SCAN_FAILED] = SCAN_UNKNOWN,
    };
    bool is_one = message->magic == SCAN_MAGIC && message->kind < SCAN_MESSAGE_KIND_COUNT;
    if (is_one && scan_news_take(scan, message))
        return;
    if (!is_one || message->kind == SCAN_FOUND || message->kind >= SCAN_EVENT) {
        snprintf(scan->reason, SCAN_REASON_BYTES,
                 "the process that asks the driver said what cannot be");
        scan_end(scan, SCAN_UNKNOWN);
        return;
    }
    device_text_copy(scan->reason, SCAN_REASON_BYTES, message->reason, SCAN_REASON_BYTES);
    scan_end(scan, ends[message->kind]);
}

/* Its socket is closed a moment before it can be seen how it ended; what killed it first counts. */
static void scan_death_look(struct scan *scan)
{
    siginfo_t info = {0};
    if (!scan->is_unexplained ||
        waitid(P_PID, (id_t)scan->scanner.pid, &info, WEXITED | WNOHANG | WNOWAIT) == -1 ||
        info.si_pid == 0)
        return;
    scan->is_unexplained = false;
    size_t used = strlen(scan->reason);
    if (info.si_code == CLD_EXITED)
        snprintf(scan->reason + used, SCAN_REASON_BYTES - used, " with exit code %d",
                 info.si_status);
    else
        snprintf(scan->reason + used, SCAN_REASON_BYTES - used, " by signal %d (%s)",
                 info.si_status, strsignal(info.si_status));
}
