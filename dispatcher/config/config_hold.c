/* SPDX-License-Identifier: MIT */
/* config_hold.c - a list of holders, of which the last one is the end. */
#include "dispatcher/config/config_hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MORE_BYTES sizeof " and 4294967295 more"

int config_open(struct config *config, uint32_t number)
{
    mr_assert(!config->holders);
    config->holders = calloc(1, sizeof *config->holders);
    if (!config->holders)
        return -ENOMEM;
    config->holders->number = number;
    return 0;
}

int config_hand_over(struct config *config, uint32_t number, struct config_hold *first,
                     const char *who)
{
    struct config *own = malloc(sizeof *own);
    if (!own)
        return -ENOMEM;
    *own = *config;
    if (config_open(own, number) < 0) {
        free(own);
        return -ENOMEM;
    }
    *config = (struct config){0};
    own->holders->own = own;
    config_hold(own, first, who, NULL);
    return 0;
}

void config_hold(const struct config *config, struct config_hold *hold, const char *who,
                 const char *name)
{
    struct config_holders *holders = config->holders;
    mr_assert(holders);
    *hold =
        (struct config_hold){.config = config, .who = who, .name = name, .older = holders->newest};
    if (holders->newest)
        holders->newest->newer = hold;
    else
        holders->oldest = hold;
    holders->newest = hold;
    holders->count++;
}

void config_let_go(struct config_hold *hold, struct log *log)
{
    if (!hold->config)
        return;
    struct config_holders *holders = hold->config->holders;
    mr_assert(holders->count > 0);
    if (hold->older)
        hold->older->newer = hold->newer;
    else
        holders->oldest = hold->newer;
    if (hold->newer)
        hold->newer->older = hold->older;
    else
        holders->newest = hold->older;
    *hold = (struct config_hold){0};
    if (--holders->count > 0 || !holders->own)
        return;
    if (log)
        log_event(log, LEVEL_DEBUG, "config_end", LOG_NATURAL("number", holders->number));
    struct config *own = holders->own;
    config_finish(own);
    free(own);
}

void config_holders_format(const struct config *config, char *text, size_t bytes)
{
    const struct config_holders *holders = config->holders;
    uint32_t left = holders->count;
    size_t at = 0;
    mr_assert(bytes >= MORE_BYTES);
    text[0] = '\0';
    for (const struct config_hold *hold = holders->oldest; hold; hold = hold->newer, left--) {
        const char *name = hold->name ? hold->name : "";
        size_t room = bytes - at - (left > 1 ? MORE_BYTES : 0);
        int count = snprintf(text + at, room, "%s%s%s%s", at > 0 ? ", " : "", hold->who,
                             hold->name ? " " : "", name);
        if (count < 0 || (size_t)count >= room) {
            snprintf(text + at, bytes - at, "%s%u more", at > 0 ? " and " : "", left);
            return;
        }
        at += (size_t)count;
    }
}
