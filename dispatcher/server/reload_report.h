/* SPDX-License-Identifier: MIT */
/* reload_report.h - what became of each pipeline in a reload, or would, for who asked for it. */
#ifndef DISPATCHER_RELOAD_REPORT_H
#define DISPATCHER_RELOAD_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "dispatcher/text/text.h"

enum reload_fate {
    RELOAD_ADDED = 0,
    RELOAD_REPLACED, /* by one with other processes */
    RELOAD_REMOVED,
    RELOAD_CHANGED, /* its limits, and no process */
    RELOAD_KEPT,
    RELOAD_FATE_COUNT
};

/* Zero is empty. Texts are items of JSON lists. */
struct reload_report {
    uint32_t counts[RELOAD_FATE_COUNT];
    uint32_t alias_count, failed_count;
    struct text pipelines[RELOAD_FATE_COUNT]; /* their pointers; owned */
    struct text aliases;                      /* those that are other ones; likewise */
    struct text failed, errors, restart_keys; /* likewise */
};

void reload_report_finish(struct reload_report *report);

void reload_report_note(struct reload_report *report, enum reload_fate fate, const char *pointer);

/* An alias came, moved or went. */
void reload_report_alias(struct reload_report *report, const char *pointer);

/* Of a pipeline or an alias. */
void reload_report_fail(struct reload_report *report, const char *pointer, const char *reason,
                        size_t bytes);

/* One line of what is wrong with the configuration; a key that needs a restart. */
void reload_report_error(struct reload_report *report, const char *line);
void reload_report_restart_key(struct reload_report *report, const char *key);

/* Adds the members ,"added":[...] to ,"restart_keys":[...]. Without memory the text says so. */
void reload_report_format(const struct reload_report *report, struct text *text);

#endif
