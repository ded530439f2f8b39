/* SPDX-License-Identifier: MIT */
/* start_report.c - paces what is said of a start. */
#include "worker/engine/start_report.h"

#include <string.h>

#include "shm/clock.h"
#include "worker/engine/error.h"
#include "worker/engine/message.h"

/* One in so long, and so many at once; but of these so many are kept for other words: what follows
 * a loop that says much may say one thing, and then nothing for minutes. */
#define REPORT_INTERVAL_NS (100 * CLOCK_NS_PER_MS)
#define REPORT_BURST_COUNT 20u
#define REPORT_KEPT_COUNT 10u

static bool start_report_is_due(const struct start_report *report, bool is_other_text, bool is_news,
                                uint64_t now_ns);
static bool start_report_send(struct start_report *report, int socket);

static uint32_t start_report_permille(double fraction)
{
    if (!(fraction >= 0)) /* nor is what is not a number */
        return MESSAGE_PROGRESS_UNKNOWN;
    return fraction < 1 ? (uint32_t)(fraction * 1000 + 0.5) : 1000;
}

static void start_report_put(struct start_report_words *words, double fraction, const char *text)
{
    size_t bytes = text ? strcspn(text, "\r\n") : 0;
    bytes = bytes > 0 ? error_cut(text, bytes, sizeof words->text) : 0;
    *words = (struct start_report_words){.permille = start_report_permille(fraction),
                                         .text_bytes = (uint32_t)bytes};
    if (bytes > 0)
        memcpy(words->text, text, bytes);
}

void start_report_say(struct start_report *report, int socket, double fraction, const char *text)
{
    struct start_report_words words;
    uint64_t now_ns = clock_now_ns();
    if (report->is_over)
        return;
    start_report_put(&words, fraction, text);
    bool is_news = report->is_held_back || memcmp(&words, &report->last, sizeof words) != 0;
    bool is_other_text = memcmp(words.text, report->last.text, sizeof words.text) != 0;
    report->last = words;
    report->is_held_back |= is_news;
    if (!start_report_is_due(report, is_other_text, is_news, now_ns) ||
        !start_report_send(report, socket))
        return;
    /* As if what was sent had come at an even pace, no more than a burst behind the clock. */
    const uint64_t burst_ns = REPORT_BURST_COUNT * REPORT_INTERVAL_NS;
    uint64_t oldest_ns = now_ns > burst_ns ? now_ns - burst_ns : 0;
    uint64_t from_ns = report->spent_ns > oldest_ns ? report->spent_ns : oldest_ns;
    report->spent_ns = from_ns + REPORT_INTERVAL_NS;
    report->sent_ns = now_ns;
}

void start_report_flush(struct start_report *report, int socket)
{
    if (report->is_held_back)
        start_report_send(report, socket);
}

void start_report_end(struct start_report *report, int socket)
{
    start_report_flush(report, socket);
    report->is_over = true;
}

/* The same words again are a sign of life, for which one in a while is enough. */
static bool start_report_is_due(const struct start_report *report, bool is_other_text, bool is_news,
                                uint64_t now_ns)
{
    uint64_t count = is_other_text ? 1 : 1 + REPORT_KEPT_COUNT;
    if (!is_news && now_ns - report->sent_ns < REPORT_INTERVAL_NS)
        return false;
    return report->spent_ns + count * REPORT_INTERVAL_NS <= now_ns;
}

static bool start_report_send(struct start_report *report, int socket)
{
    struct message_progress head = {.permille = report->last.permille};
    uint8_t body[sizeof head + sizeof report->last.text];
    memcpy(body, &head, sizeof head);
    memcpy(body + sizeof head, report->last.text, report->last.text_bytes);
    int rc =
        message_try_send(socket, MESSAGE_PROGRESS, body, sizeof head + report->last.text_bytes);
    report->is_held_back = rc != 0;
    return rc == 0;
}
