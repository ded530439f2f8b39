/* SPDX-License-Identifier: MIT */
/* owner.c - tokens become owners. */
#include "dispatcher/config/owner.h"

static bool owner_is_common(const struct config *config);

uint32_t owner_count(const struct config *config)
{
    return owner_is_common(config) ? 1 : (uint32_t)config->tokens.count;
}

uint32_t owner_of(const struct config *config, const struct token_entry *token)
{
    if (config->tokens.count > 0 && !token)
        return OWNER_NOBODY;
    if (owner_is_common(config))
        return 0;
    mr_assert(token >= config->tokens.entries);
    mr_assert(token < config->tokens.entries + config->tokens.count);
    return (uint32_t)(token - config->tokens.entries);
}

static bool owner_is_common(const struct config *config)
{
    return config->tokens.count == 0 || config->tokens_share;
}
