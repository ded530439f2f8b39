/* SPDX-License-Identifier: MIT */
/* confinement.c - what the workers of a pipeline give up, from the options that say so. */
#include "dispatcher/config/confinement.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"
#include "dispatcher/config/worker_access.h"
#include "dispatcher/config/worker_limits.h"
#include "dispatcher/config/worker_user.h"
#include "millrace/confine.h"

const char *const core_words[] = {"inherit", "0", "unlimited", NULL};
const char *const seccomp_words[] = {"default", "strict", "off", NULL};
const char *const network_words[] = {"all", "none", NULL};

static int confinement_lines_print(FILE *file, const struct config *config,
                                   const struct pipeline_config *pipeline,
                                   char reason[CLI_REASON_BYTES]);
static const char *confinement_access_text(const struct config *config, const char *option,
                                           const char *pointer);
static const char *confinement_user_texts(const struct confinement *confinement);

/* ---- as text ------------------------------------------------------------------------------- */

int confinement_write(const struct config *config, const struct pipeline_config *pipeline,
                      char **text, char reason[CLI_REASON_BYTES])
{
    char *lines = NULL;
    size_t bytes;
    int rc = worker_limits_check(&pipeline->confinement, reason);
    if (rc < 0)
        return rc;
    FILE *file = open_memstream(&lines, &bytes);
    rc = file ? confinement_lines_print(file, config, pipeline, reason) : -ENOMEM;
    bool is_lost = !file || ferror(file);
    if ((file && fclose(file) != 0) || is_lost || !lines) {
        snprintf(reason, CLI_REASON_BYTES, "no memory");
        rc = -ENOMEM;
    }
    if (rc == 0 && bytes >= CONFINE_TEXT_BYTES_MAX)
        rc = refuse(reason, "what its workers give up is too long to be told them");
    if (rc < 0)
        free(lines);
    else
        *text = lines;
    return rc;
}

static int confinement_user_print(FILE *file, const char *text, char reason[CLI_REASON_BYTES])
{
    struct worker_user user;
    char why[CLI_REASON_BYTES];
    int rc = worker_user_find(&user, text, why);
    if (rc < 0)
        return refuse(reason, "--worker-user %s: %.500s", text, why);
    worker_user_print(&user, file);
    worker_user_finish(&user);
    return 0;
}

/* Whether there are filters at all; a container may keep them from us. */
static bool confinement_has_filters(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static int confinement_filter_print(FILE *file, const struct confinement *confinement,
                                    bool connects, char reason[CLI_REASON_BYTES])
{
    bool has_default = confinement->seccomp == SECCOMP_DEFAULT;
    bool is_strict = confinement->seccomp == SECCOMP_STRICT;
    if (!confinement_has_filters() &&
        (is_strict || connects || confinement->network == NETWORK_NONE))
        return refuse(reason, "--%s: this kernel, or this container, has no seccomp filters",
                      is_strict  ? "seccomp strict"
                      : connects ? "allow-connect"
                                 : "network none");
    if (is_strict || (has_default && confinement_has_filters()))
        fputs("deny=machine\n", file);
    if (is_strict)
        fputs("deny=others\n", file);
    if (confinement->network == NETWORK_NONE)
        fputs("deny=network\n", file);
    return 0;
}

static int confinement_lines_print(FILE *file, const struct config *config,
                                   const struct pipeline_config *pipeline,
                                   char reason[CLI_REASON_BYTES])
{
    const struct confinement *confinement = &pipeline->confinement;
    worker_limits_print(config, confinement, file);
    if (pipeline->folder)
        fprintf(file, "folder=%s\n", pipeline->folder);
    int rc = confinement->owner == OWNER_NAMED
                 ? confinement_user_print(file, confinement->user_text, reason)
                 : 0;
    /* What is said for the pipeline, not that of the user. */
    if (rc == 0 && confinement->owner != OWNER_SERVER &&
        environment_own_value(&pipeline->environment, "HOME"))
        fputs("home=\n", file);
    if (rc == 0)
        rc = confinement_filter_print(
            file, confinement,
            config && said_has(&config->said, "allow-connect", pipeline->pointer), reason);
    if (rc == 0 && config)
        rc = worker_access_print(config, pipeline, file, reason);
    return rc;
}

/* ---- what is said about it ----------------------------------------------------------------- */

void confinement_log(const struct config *config, struct log *log)
{
    if (worker_access_version() < WORKER_ACCESS_VERSION_MIN)
        log_event(
            log, LEVEL_WARNING, "isolation_missing",
            LOG_TEXT("reason", "this kernel has no Landlock: workers can look into each other"));
    if (config->own_users.count > 0)
        log_event(log, LEVEL_INFO, "worker_users", LOG_NATURAL("first", config->own_users.first),
                  LOG_NATURAL("last", config->own_users.first + config->own_users.count - 1));
    else if (config->own_users_missing[0] != '\0')
        log_event(log, LEVEL_WARNING, "worker_users_missing",
                  LOG_TEXT("reason", config->own_users_missing),
                  LOG_TEXT("result", "workers are root, as the server is"));
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct confinement *confinement = &config->pipelines[i].confinement;
        const char *pointer = config->pipelines[i].pointer;
        bool has_none = confinement->seccomp == SECCOMP_DEFAULT && !confinement_has_filters();
        log_event(log, LEVEL_INFO, "confined", LOG_WORD("pipeline", pointer),
                  LOG_WORD("seccomp", has_none ? "none" : seccomp_words[confinement->seccomp]),
                  LOG_WORD("network", network_words[confinement->network]),
                  LOG_WORD("read", confinement_access_text(config, "allow-read", pointer)),
                  LOG_WORD("write", confinement_access_text(config, "allow-write", pointer)),
                  LOG_WORD("connect", confinement_access_text(config, "allow-connect", pointer)),
                  LOG_WORD("user", confinement_user_texts(confinement)),
                  LOG_NATURAL("memory_mib", confinement->memory_bytes_max >> 20));
    }
}

static const char *confinement_access_text(const struct config *config, const char *option,
                                           const char *pointer)
{
    return said_has(&config->said, option, pointer) ? "restricted" : "all";
}

static const char *confinement_user_texts(const struct confinement *confinement)
{
    static const char *const texts[] = {
        [OWNER_SERVER] = "-", [OWNER_EACH] = "own", [OWNER_NAMED] = NULL};
    const char *text = texts[confinement->owner];
    return text ? text : confinement->user_text;
}
