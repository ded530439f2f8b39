/* SPDX-License-Identifier: MIT */
/* reload_aliases.c - one alias after the other, and the pipelines that wait for them. */
#include "dispatcher/server/reload_aliases.h"

#include <stdio.h>
#include <string.h>

#include "dispatcher/config/config.h"
#include "dispatcher/server/server.h"
#include "dispatcher/text/text.h"

#define TARGET_TEXT_BYTES (POINTER_BYTES_MAX + 16)

static void alias_decide(struct server *server, const struct alias_config *next);
static void aliases_drop_others(struct server *server);
static void pipelines_retire(struct server *server);

void reload_aliases_begin(struct server *server)
{
    memset(server->reload.alias_is_decided, 0, sizeof server->reload.alias_is_decided);
}

static bool pipeline_is_coming(const struct server *server, const char *pointer)
{
    for (const struct pipeline *at = server->runs.coming; at; at = at->next)
        if (strcmp(at->config->pointer, pointer) == 0)
            return true;
    return false;
}

static bool pipeline_is_said(const struct config *config, const char *pointer)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        if (strcmp(config->pipelines[i].pointer, pointer) == 0)
            return true;
    return false;
}

static bool alias_is_said(const struct config *config, const char *pointer)
{
    for (uint32_t i = 0; i < config->alias_count; i++)
        if (strcmp(config->aliases[i].pointer, pointer) == 0)
            return true;
    return false;
}

void reload_alias_log(struct server *server, const struct alias_config *alias)
{
    struct text text = {0};
    for (uint32_t i = 0; i < alias->target_count; i++)
        text_add(&text, "%s%s %u", i > 0 ? ", " : "", alias->targets[i].pointer,
                 alias->targets[i].weight);
    log_event(&server->reactor.log, LEVEL_INFO, "alias_served", LOG_NAME("alias", alias->pointer),
              LOG_BYTES("to", text.failed ? NULL : text.bytes, text.count));
    text_finish(&text);
}

/* ---- aliases ------------------------------------------------------------------------------- */

void reload_aliases_step(struct server *server)
{
    const struct config *config = server->config;
    for (uint32_t i = 0; i < config->alias_count; i++) {
        const struct alias_config *next = &config->aliases[i];
        bool waits = server->reload.alias_is_decided[i];
        for (uint32_t k = 0; k < next->target_count; k++)
            waits |= pipeline_is_coming(server, next->targets[k].pointer);
        if (waits)
            continue;
        server->reload.alias_is_decided[i] = true;
        alias_decide(server, next);
    }
    aliases_drop_others(server);
    pipelines_retire(server);
}

static void alias_fail(struct server *server, const char *pointer, const char *reason)
{
    reload_report_fail(&server->reload.report, pointer, reason, strlen(reason));
    log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_NAME("alias", pointer),
              LOG_TEXT("reason", reason));
}

/* A pipeline is what the new configuration says if it is held by it. */
static void alias_decide(struct server *server, const struct alias_config *next)
{
    struct runs *runs = &server->runs;
    const struct alias *alias = aliases_find(&runs->aliases, next->pointer);
    char reason[2 * TARGET_TEXT_BYTES];
    if (alias && alias_is(alias, next))
        return;
    for (uint32_t i = 0; i < next->target_count; i++) {
        const char *target = next->targets[i].pointer;
        const struct pipeline *pipeline = runs_find_pipeline(runs, target);
        if (pipeline && pipeline->hold.config == server->config)
            continue;
        snprintf(reason, sizeof reason, "%s is not served as it is said now: the alias %s", target,
                 alias ? "stays as it was" : "is not served");
        alias_fail(server, next->pointer, reason);
        return;
    }
    if (aliases_serve(&runs->aliases, next) < 0) {
        alias_fail(server, next->pointer, "not enough memory");
        return;
    }
    reload_report_alias(&server->reload.report, next->pointer);
    reload_alias_log(server, next);
}

/* One whose pointer a pipeline is to have waits until that is served. */
static void aliases_drop_others(struct server *server)
{
    struct runs *runs = &server->runs;
    for (struct alias *next, *alias = aliases_first(&runs->aliases); alias; alias = next) {
        next = alias_next(alias);
        if (alias_is_said(server->config, alias->pointer) ||
            (pipeline_is_said(server->config, alias->pointer) &&
             !runs_find_pipeline(runs, alias->pointer)))
            continue;
        log_event(&server->reactor.log, LEVEL_INFO, "alias_removed",
                  LOG_NAME("alias", alias->pointer));
        reload_report_alias(&server->reload.report, alias->pointer);
        aliases_drop(&runs->aliases, alias);
    }
}

void reload_aliases_compare(struct server *server, const struct config *next)
{
    struct reload_report *report = &server->reload.report;
    const struct aliases *aliases = &server->runs.aliases;
    for (uint32_t i = 0; i < next->alias_count; i++) {
        const struct alias *alias = aliases_find(aliases, next->aliases[i].pointer);
        if (!alias || !alias_is(alias, &next->aliases[i]))
            reload_report_alias(report, next->aliases[i].pointer);
    }
    for (const struct alias *alias = aliases_first(aliases); alias; alias = alias_next(alias))
        if (!alias_is_said(next, alias->pointer))
            reload_report_alias(report, alias->pointer);
}

/* ---- pipelines ----------------------------------------------------------------------------- */

/* An alias leads there; or one is to have its pointer, and is not served. */
bool reload_aliases_need(const struct server *server, const struct pipeline *pipeline)
{
    const struct aliases *aliases = &server->runs.aliases;
    const char *pointer = pipeline->config->pointer;
    return aliases_find_place(aliases, pointer) ||
           (alias_is_said(server->config, pointer) && !aliases_find(aliases, pointer));
}

static void pipelines_retire(struct server *server)
{
    struct runs *runs = &server->runs;
    for (uint32_t i = runs->pipeline_count; i-- > 0;) {
        struct pipeline *pipeline = runs->pipelines[i];
        if (pipeline_is_said(server->config, pipeline->config->pointer) ||
            reload_aliases_need(server, pipeline))
            continue;
        log_event(&server->reactor.log, LEVEL_INFO, "pipeline_removed",
                  LOG_WORD("pipeline", pipeline->config->pointer),
                  LOG_NATURAL("runs", pipeline->user_count));
        reload_report_note(&server->reload.report, RELOAD_REMOVED, pipeline->config->pointer);
        runs_retire_pipeline(runs, pipeline);
    }
}

void reload_aliases_end(struct server *server)
{
    const struct runs *runs = &server->runs;
    for (uint32_t i = 0; i < runs->pipeline_count; i++) {
        const struct pipeline *pipeline = runs->pipelines[i];
        const char *pointer = pipeline->config->pointer;
        if (pipeline_is_said(server->config, pointer))
            continue;
        const struct alias *alias = aliases_find_place(&runs->aliases, pointer);
        char reason[2 * TARGET_TEXT_BYTES];
        snprintf(reason, sizeof reason, "it is not removed: alias %s %s",
                 alias ? alias->pointer : pointer,
                 alias ? "still leads to it" : "cannot take its place");
        reload_report_fail(&server->reload.report, pointer, reason, strlen(reason));
        log_event(&server->reactor.log, LEVEL_ERROR, "reload_failed", LOG_WORD("pipeline", pointer),
                  LOG_TEXT("reason", reason));
    }
}
