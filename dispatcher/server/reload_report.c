/* SPDX-License-Identifier: MIT */
/* reload_report.c - lists of JSON, grown as things happen. */
#include "dispatcher/server/reload_report.h"

#include <string.h>

static const char *const fate_names[RELOAD_FATE_COUNT] = {
    [RELOAD_ADDED] = "added",     [RELOAD_REPLACED] = "replaced", [RELOAD_REMOVED] = "removed",
    [RELOAD_CHANGED] = "changed", [RELOAD_KEPT] = "kept",
};

void reload_report_finish(struct reload_report *report)
{
    for (uint32_t i = 0; i < RELOAD_FATE_COUNT; i++)
        text_finish(&report->pipelines[i]);
    text_finish(&report->aliases);
    text_finish(&report->failed);
    text_finish(&report->errors);
    text_finish(&report->restart_keys);
    *report = (struct reload_report){.failed_count = 0};
}

static void report_add(struct text *list, const char *string, size_t bytes)
{
    if (list->count > 0)
        text_add(list, ",");
    text_add_json(list, string, bytes);
}

void reload_report_note(struct reload_report *report, enum reload_fate fate, const char *pointer)
{
    report->counts[fate]++;
    report_add(&report->pipelines[fate], pointer, strlen(pointer));
}

void reload_report_alias(struct reload_report *report, const char *pointer)
{
    report->alias_count++;
    report_add(&report->aliases, pointer, strlen(pointer));
}

void reload_report_fail(struct reload_report *report, const char *pointer, const char *reason,
                        size_t bytes)
{
    struct text *failed = &report->failed;
    text_add(failed, "%s{\"pointer\":\"%s\",\"reason\":", report->failed_count++ > 0 ? "," : "",
             pointer);
    text_add_json(failed, reason, bytes);
    text_add(failed, "}");
}

void reload_report_error(struct reload_report *report, const char *line)
{
    report_add(&report->errors, line, strlen(line));
}

void reload_report_restart_key(struct reload_report *report, const char *key)
{
    report_add(&report->restart_keys, key, strlen(key));
}

static void report_list(struct text *text, const char *name, const struct text *list)
{
    text_add(text, ",\"%s\":[", name);
    text_add_bytes(text, list->bytes, list->count);
    text_add(text, "]");
    text->failed |= list->failed;
}

void reload_report_format(const struct reload_report *report, struct text *text)
{
    for (uint32_t i = 0; i < RELOAD_FATE_COUNT; i++)
        report_list(text, fate_names[i], &report->pipelines[i]);
    report_list(text, "aliases", &report->aliases);
    report_list(text, "failed", &report->failed);
    report_list(text, "errors", &report->errors);
    report_list(text, "restart_keys", &report->restart_keys);
}
