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

/* ---- options ------------------------------------------------------------------------------- */

static const char *const core_words[] = {"inherit", "0", "unlimited", NULL};
static const char *const seccomp_words[] = {"default", "strict", "off", NULL};
static const char *const network_words[] = {"all", "none", NULL};

#define MEMBER(member) CLI_MEMBER(struct confinement, member)

/* How the VALUE of each option is read; the options themselves are lists of them. */
static const struct {
    size_t list; /* of struct confinement_options */
    struct cli_option value;
} kinds[] = {
    {offsetof(struct confinement_options, nofile),
     {"worker-nofile", NULL, CLI_NUMBER, MEMBER(nofile_max), .min = WORKER_NOFILE_MIN,
      .max = WORKER_COUNT_LIMIT_MAX}},
    {offsetof(struct confinement_options, core),
     {"worker-core", NULL, CLI_CHOICE, MEMBER(core), .choices = core_words}},
    {offsetof(struct confinement_options, data),
     {"worker-data", NULL, CLI_SIZE, MEMBER(data_bytes_max), .min = WORKER_MEMORY_BYTES_MIN,
      .max = WORKER_MEMORY_BYTES_MAX}},
    {offsetof(struct confinement_options, memory),
     {"worker-memory", NULL, CLI_SIZE, MEMBER(memory_bytes_max), .min = WORKER_MEMORY_BYTES_MIN,
      .max = WORKER_MEMORY_BYTES_MAX}},
    {offsetof(struct confinement_options, nproc),
     {"worker-nproc", NULL, CLI_NUMBER, MEMBER(nproc_max), .min = 1,
      .max = WORKER_COUNT_LIMIT_MAX}},
    {offsetof(struct confinement_options, user),
     {"worker-user", NULL, CLI_TEXT, MEMBER(user_text)}},
    {offsetof(struct confinement_options, seccomp),
     {"seccomp", NULL, CLI_CHOICE, MEMBER(seccomp), .choices = seccomp_words}},
    {offsetof(struct confinement_options, network),
     {"network", NULL, CLI_CHOICE, MEMBER(network), .choices = network_words}},
};

static size_t confinement_pointer_bytes(const char *item);
static int confinement_pointers_check(const struct config *config, const char *option,
                                      const struct cli_list *list, char reason[CLI_REASON_BYTES]);
static int confinement_list_parse(struct pipeline_config *pipeline, const struct cli_list *list,
                                  const struct cli_option *value, char reason[CLI_REASON_BYTES]);
static int confinement_access_check(const struct config *config, char reason[CLI_REASON_BYTES]);
static int confinement_lines_print(FILE *file, const struct config *config,
                                   const struct pipeline_config *pipeline,
                                   char reason[CLI_REASON_BYTES]);
static const char *confinement_access_text(const struct cli_list *list, const char *pointer);
static const char *confinement_user_texts(const struct confinement *confinement);

const char *confinement_value(const char *item, const char *pointer)
{
    size_t bytes = confinement_pointer_bytes(item);
    if (bytes == 0)
        return item;
    bool is_meant = strlen(pointer) == bytes && strncmp(item, pointer, bytes) == 0;
    return is_meant ? item + bytes + 1 : NULL;
}

int confinement_parse(struct config *config, char reason[CLI_REASON_BYTES])
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        const void *list = (const char *)&config->confinement + kinds[i].list;
        int rc = confinement_pointers_check(config, kinds[i].value.name, list, reason);
        for (uint32_t k = 0; k < config->pipeline_count && rc == 0; k++)
            rc = confinement_list_parse(&config->pipelines[k], list, &kinds[i].value, reason);
        if (rc < 0)
            return rc;
    }
    return confinement_access_check(config, reason);
}

/* Bytes of the pointer that an item begins with; 0: it is for all pipelines. A path may have a '=',
 * too, but no pointer before it. */
static size_t confinement_pointer_bytes(const char *item)
{
    const char *equals = strchr(item, '=');
    size_t bytes = equals ? (size_t)(equals - item) : 0;
    return bytes > 0 && pointer_is_valid(item, bytes) ? bytes : 0;
}

static int confinement_pointers_check(const struct config *config, const char *option,
                                      const struct cli_list *list, char reason[CLI_REASON_BYTES])
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t k = 0;
        while (k < config->pipeline_count &&
               !confinement_value(list->items[i], config->pipelines[k].pointer))
            k++;
        if (k == config->pipeline_count)
            return refuse(reason, "--%s %s: no pipeline %.*s is served", option, list->items[i],
                          (int)confinement_pointer_bytes(list->items[i]), list->items[i]);
    }
    return 0;
}

/* Items with a pointer come after those without, in whatever order they were said. */
static int confinement_list_parse(struct pipeline_config *pipeline, const struct cli_list *list,
                                  const struct cli_option *value, char reason[CLI_REASON_BYTES])
{
    for (int has_pointer = 0; has_pointer < 2; has_pointer++) {
        for (uint32_t i = 0; i < list->count; i++) {
            const char *text = confinement_value(list->items[i], pipeline->pointer);
            char why[CLI_REASON_BYTES];
            if (!text || (text != list->items[i]) != has_pointer)
                continue;
            if (cli_set(value, text, &pipeline->confinement, why) < 0)
                return refuse(reason, "%s", why);
        }
    }
    return 0;
}

/* These stay lists, which are read when everything else is known. */
static int confinement_access_check(const struct config *config, char reason[CLI_REASON_BYTES])
{
    static const struct cli_option port = {.name = "allow-connect",
                                           .kind = CLI_NUMBER,
                                           .bytes = sizeof(uint32_t),
                                           .min = 1,
                                           .max = UINT16_MAX};
    const struct confinement_options *options = &config->confinement;
    int rc = confinement_pointers_check(config, "allow-read", &options->reads, reason);
    if (rc == 0)
        rc = confinement_pointers_check(config, "allow-write", &options->writes, reason);
    if (rc == 0)
        rc = confinement_pointers_check(config, "allow-connect", &options->connects, reason);
    for (uint32_t i = 0; i < options->connects.count && rc == 0; i++) {
        const char *item = options->connects.items[i];
        size_t bytes = confinement_pointer_bytes(item);
        char why[CLI_REASON_BYTES];
        uint32_t number;
        if (cli_set(&port, bytes > 0 ? item + bytes + 1 : item, &number, why) < 0)
            rc = refuse(reason, "%s", why);
    }
    return rc;
}

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
    if ((file && fclose(file) != 0) || is_lost) {
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

static bool confinement_is_restricted(const struct cli_list *list, const char *pointer)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (confinement_value(list->items[i], pointer))
            return true;
    return false;
}

static int confinement_lines_print(FILE *file, const struct config *config,
                                   const struct pipeline_config *pipeline,
                                   char reason[CLI_REASON_BYTES])
{
    const struct confinement *confinement = &pipeline->confinement;
    worker_limits_print(config, confinement, file);
    int rc = confinement->owner == OWNER_NAMED
                 ? confinement_user_print(file, confinement->user_text, reason)
                 : 0;
    if (rc == 0)
        rc = confinement_filter_print(
            file, confinement,
            config && confinement_is_restricted(&config->confinement.connects, pipeline->pointer),
            reason);
    if (rc == 0 && config)
        rc = worker_access_print(config, pipeline, file, reason);
    return rc;
}

/* ---- what is said about it ----------------------------------------------------------------- */

void confinement_log(const struct config *config, struct log *log)
{
    const struct confinement_options *options = &config->confinement;
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
                  LOG_WORD("read", confinement_access_text(&options->reads, pointer)),
                  LOG_WORD("write", confinement_access_text(&options->writes, pointer)),
                  LOG_WORD("connect", confinement_access_text(&options->connects, pointer)),
                  LOG_WORD("user", confinement_user_texts(confinement)),
                  LOG_NATURAL("memory_mib", confinement->memory_bytes_max >> 20));
    }
}

static const char *confinement_access_text(const struct cli_list *list, const char *pointer)
{
    return confinement_is_restricted(list, pointer) ? "restricted" : "all";
}

static const char *confinement_user_texts(const struct confinement *confinement)
{
    static const char *const texts[] = {
        [OWNER_SERVER] = "-", [OWNER_EACH] = "own", [OWNER_NAMED] = NULL};
    const char *text = texts[confinement->owner];
    return text ? text : confinement->user_text;
}
