/* SPDX-License-Identifier: MIT */
/* control_clients.c - the slowest of the clients whose runs have a slot. */
#include "dispatcher/control/control_clients.h"

#include <string.h>

#include "dispatcher/api/answer.h"
#include "dispatcher/runs/runs.h"
#include "dispatcher/text/text.h"

#define SLOWEST_COUNT_MAX 10u
#define LOOK_COUNT_MAX 65536u /* runs */

struct slowest {
    const struct run *runs[SLOWEST_COUNT_MAX]; /* the slowest first */
    uint32_t count;
};

/* Whoever reads a run with a slot; NULL: nobody does, or nothing waits for him. */
static const struct conn *clients_waiting(const struct run *run)
{
    if (run->state != RUN_ACTIVE || !run->sink)
        return NULL;
    const struct conn *conn = answer_of(run->sink)->conn;
    return conn && !out_is_empty(&conn->out) ? conn : NULL;
}

static uint64_t clients_sent_ms(const struct run *run)
{
    return answer_of(run->sink)->conn->sent_ms;
}

static void clients_note(struct slowest *slowest, const struct run *run)
{
    uint32_t at = slowest->count;
    if (!clients_waiting(run))
        return;
    while (at > 0 && clients_sent_ms(run) < clients_sent_ms(slowest->runs[at - 1]))
        at--;
    if (at == SLOWEST_COUNT_MAX)
        return;
    uint32_t kept = slowest->count < SLOWEST_COUNT_MAX ? slowest->count : SLOWEST_COUNT_MAX - 1;
    memmove(&slowest->runs[at + 1], &slowest->runs[at], (kept - at) * sizeof slowest->runs[0]);
    slowest->runs[at] = run;
    slowest->count = kept + 1;
}

static void clients_find(const struct fleet *fleet, struct slowest *slowest)
{
    uint32_t looks = 0;
    for (uint32_t i = 0; i < fleet->worker_count && looks < LOOK_COUNT_MAX; i++) {
        const struct worker *worker = fleet->workers[i];
        uint32_t left = worker ? worker->active_count : 0;
        for (uint32_t k = 0; left > 0 && k < worker->pool->config->options.concurrency; k++) {
            const struct run *run = worker->slots[k].run;
            looks++;
            left -= run != NULL;
            if (run)
                clients_note(slowest, run);
        }
    }
}

static void clients_text(struct text *text, const char *name, const char *string)
{
    text_add(text, "\"%s\":", name);
    if (*string)
        text_add_json(text, string, strlen(string));
    else
        text_add(text, "null");
    text_add(text, ",");
}

void control_clients_format(const struct runs *runs, uint64_t now_ms, struct text *text)
{
    struct slowest slowest = {.count = 0};
    clients_find(runs->fleet, &slowest);
    text_add(text, ",\"clients\":[");
    for (uint32_t i = 0; i < slowest.count; i++) {
        const struct run *run = slowest.runs[i];
        const struct conn *conn = clients_waiting(run);
        text_add(text, "%s{", i > 0 ? "," : "");
        clients_text(text, "client", run->client);
        clients_text(text, "token", run->token);
        clients_text(text, "run", run->id);
        clients_text(text, "pipeline", run->pipeline->config->pointer);
        text_add(text, "\"waiting_bytes\":%llu,\"quiet_s\":%.3f}",
                 (unsigned long long)conn->out.bytes, (double)(now_ms - conn->sent_ms) / 1000);
    }
    text_add(text, "]");
}
