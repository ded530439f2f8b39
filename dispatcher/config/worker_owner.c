/* SPDX-License-Identifier: MIT */
/* worker_owner.c - users of their own for workers, if the server can give them. */
#include "dispatcher/config/worker_owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/config.h"
#include "dispatcher/config/refuse.h"

#define OWN_USERS_TO_GROW 64u
#define OWN_USERS_COUNT_MAX 32768u

static char *owner_path_of(const struct pipeline_config *pipeline);
static bool owner_is_word(const char *text, const char *word);
static int owner_find(struct confinement *confinement, char reason[CLI_REASON_BYTES]);
static int owner_users_choose(struct config *config, bool is_asked, char reason[CLI_REASON_BYTES]);

int worker_owner_check(uid_t uid, const struct pipeline_config *pipeline,
                       char reason[CLI_REASON_BYTES])
{
    bool is_python = pipeline_config_is_python(pipeline);
    char *source = owner_path_of(pipeline);
    if (!source)
        return refuse(reason, "%s: %s", pipeline->source, strerror(errno));
    const char *paths[] = {source, pipeline->python_path, pipeline->python_folder};
    char why[OWN_USERS_REASON_BYTES];
    int rc = own_users_can_read(uid, paths, is_python ? ARRAY_COUNT(paths) : 1, why);
    free(source);
    if (rc == -EACCES)
        return refuse(
            reason,
            "workers have users of their own, and user %u cannot read %.200s: open it and "
            "the folders above it to everybody (chmod o+rX)%s, or say --worker-user NAME of "
            "a user who can, or --worker-user root, which keeps workers from the server no more",
            uid, why,
            is_python && strcmp(why, pipeline->python_path) == 0 ? ", say another --python" : "");
    return rc < 0 ? refuse(reason, "workers have users of their own: %.200s", why) : 0;
}

int worker_owners_decide(struct config *config, char reason[CLI_REASON_BYTES])
{
    bool is_wanted = false, is_asked = false;
    int rc = 0;
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        struct confinement *confinement = &config->pipelines[i].confinement;
        rc = owner_find(confinement, reason);
        is_wanted |= confinement->owner == OWNER_EACH;
        is_asked |= owner_is_word(confinement->user_text, "own");
    }
    if (rc == 0 && is_wanted)
        rc = owner_users_choose(config, is_asked, reason);
    for (uint32_t i = 0; i < config->pipeline_count && rc == 0; i++) {
        const struct pipeline_config *pipeline = &config->pipelines[i];
        if (pipeline->confinement.owner == OWNER_EACH)
            rc = worker_owner_check(config->own_users.first, pipeline, reason);
    }
    return rc;
}

static bool owner_is_word(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* What --worker-user means; "root" takes back what is so if nothing is said. */
static int owner_find(struct confinement *confinement, char reason[CLI_REASON_BYTES])
{
    const char *text = confinement->user_text;
    bool is_root = geteuid() == 0;
    if (owner_is_word(text, "root") && !is_root)
        return refuse(reason, "--worker-user root: the server is not");
    if (owner_is_word(text, "own") || (!text && is_root))
        confinement->owner = OWNER_EACH;
    else
        confinement->owner = text && !owner_is_word(text, "root") ? OWNER_NAMED : OWNER_SERVER;
    return 0;
}

/* Of the file, or of the folder that a module is found from, without following links: the worker
 * goes the same way. And whole, since it may be a folder far above that is closed. */
static char *owner_path_of(const struct pipeline_config *pipeline)
{
    const char *source = pipeline_config_path(pipeline);
    if (source && source[0] == '/')
        return strdup(source);
    char *folder = get_current_dir_name();
    char *path = NULL;
    if (!folder || !source)
        return folder;
    source += strncmp(source, "./", 2) == 0 ? 2 : 0;
    if (asprintf(&path, "%s/%s", folder, source) == -1)
        path = NULL;
    free(folder);
    return path;
}

/* One for each place of each pipeline, and where a file can change them, for as many more: workers
 * that follow others start beside them. */
static uint32_t owner_users_count(const struct config *config)
{
    uint32_t count = config_place_count(config);
    uint32_t more = config->said.file ? count + OWN_USERS_TO_GROW : 0;
    return count + more < OWN_USERS_COUNT_MAX ? count + more : OWN_USERS_COUNT_MAX;
}

/* Where there can be none and nobody asked, all stay root. */
static int owner_users_choose(struct config *config, bool is_asked, char reason[CLI_REASON_BYTES])
{
    uint32_t count = owner_users_count(config);
    char why[OWN_USERS_REASON_BYTES];
    int rc = own_users_choose(&config->own_users, count, why);
    if (rc == 0)
        return 0;
    if (is_asked)
        return refuse(reason, "--worker-user own: %s", why);
    snprintf(config->own_users_missing, sizeof(config->own_users_missing), "%s", why);
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        if (config->pipelines[i].confinement.owner == OWNER_EACH)
            config->pipelines[i].confinement.owner = OWNER_SERVER;
    return 0;
}
