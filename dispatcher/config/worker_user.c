/* SPDX-License-Identifier: MIT */
/* worker_user.c - the user whom workers are to be, looked up once, at the start. */
#include "dispatcher/config/worker_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/config/own_users.h"
#include "dispatcher/config/refuse.h"

static int user_fill(struct worker_user *out, const char *name, const char *group,
                     char reason[CLI_REASON_BYTES]);

int worker_user_find(struct worker_user *out, const char *text, char reason[CLI_REASON_BYTES])
{
    if (!own_users_may_change())
        return refuse(reason, "only root can do that, with CAP_SETUID, CAP_SETGID and CAP_KILL");
    struct worker_user user = {0};
    char name[256];
    const char *colon = strchr(text, ':');
    int bytes = snprintf(name, sizeof(name), "%.*s",
                         (int)(colon ? (size_t)(colon - text) : strlen(text)), text);
    if (bytes <= 0 || (size_t)bytes >= sizeof(name) || (colon && colon[1] == '\0'))
        return refuse(reason, "it is NAME or NAME:GROUP");
    int rc = user_fill(&user, name, colon ? colon + 1 : NULL, reason);
    if (rc == 0)
        *out = user;
    return rc;
}

void worker_user_finish(struct worker_user *user)
{
    free(user->home);
    *user = (struct worker_user){0};
}

void worker_user_print(const struct worker_user *user, FILE *file)
{
    fprintf(file, "uid=%u\ngid=%u\ngroups=", user->uid, user->gid);
    for (int i = 0; i < user->group_count; i++)
        fprintf(file, "%s%u", i > 0 ? "," : "", user->groups[i]);
    fputc('\n', file);
    if (user->home)
        fprintf(file, "home=%s\n", user->home);
}

static bool user_id_parse(const char *text, uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number >= UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    return true;
}

/* The entry of a name, or of a number; NULL: there is none. */
static const struct passwd *user_entry(const char *name)
{
    uint32_t uid;
    const struct passwd *entry = getpwnam(name);
    return !entry && user_id_parse(name, &uid) ? getpwuid(uid) : entry;
}

static bool user_group_find(const char *name, gid_t *out)
{
    const struct group *entry = getgrnam(name);
    if (!entry)
        return user_id_parse(name, out);
    *out = entry->gr_gid;
    return true;
}

/* Its files are often open to it: group 0 is half of root. */
static bool user_has_group_of_root(const struct worker_user *user)
{
    for (int i = 0; i < user->group_count; i++)
        if (user->groups[i] == 0)
            return true;
    return user->gid == 0;
}

static int user_fill(struct worker_user *out, const char *name, const char *group,
                     char reason[CLI_REASON_BYTES])
{
    const struct passwd *entry = user_entry(name);
    if (!entry && (!user_id_parse(name, &out->uid) || !group))
        return refuse(reason, "there is no user %s%s", name,
                      user_id_parse(name, &out->uid) ? ", so its group must be said" : "");
    if (entry) {
        out->uid = entry->pw_uid;
        out->gid = entry->pw_gid;
    }
    if (group && !user_group_find(group, &out->gid))
        return refuse(reason, "there is no group %s", group);
    if (out->uid == 0)
        return refuse(reason, "that is root");
    out->group_count = CONFINE_GROUP_COUNT_MAX;
    if (!entry) {
        out->groups[0] = out->gid;
        out->group_count = 1;
    } else if (getgrouplist(entry->pw_name, out->gid, out->groups, &out->group_count) == -1) {
        return refuse(reason, "%s has more than %d groups", name, CONFINE_GROUP_COUNT_MAX);
    }
    if (user_has_group_of_root(out))
        return refuse(reason, "%s",
                      out->gid == 0 ? "its group is root's (group 0)"
                                    : "it is in root's group (group 0)");
    if (entry && !strchr(entry->pw_dir, '\n') && !(out->home = strdup(entry->pw_dir)))
        return refuse(reason, "no memory");
    return 0;
}
