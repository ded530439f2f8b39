/* SPDX-License-Identifier: MIT */
/* filter_rules.c - single rules, each with as many comparisons as libseccomp allows: one. */
#include "worker/confine/filter_rules.h"

#include <errno.h>

static int rules_add(scmp_filter_ctx context, int call, unsigned count,
                     const struct scmp_arg_cmp *comparisons);

int rules_deny_calls(scmp_filter_ctx context, const int *calls, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = rules_add(context, calls[i], 0, NULL);
    return rc;
}

int rules_deny_pair(scmp_filter_ctx context, int call, const struct scmp_arg_cmp pair[2])
{
    return rules_add(context, call, 2, pair);
}

int rules_deny_if(scmp_filter_ctx context, int call, unsigned argument,
                  enum scmp_compare comparison, uint64_t number)
{
    return rules_add(context, call, 1,
                     &(struct scmp_arg_cmp){.arg = argument, .op = comparison, .datum_a = number});
}

int rules_deny_masked(scmp_filter_ctx context, int call, unsigned argument, uint64_t mask,
                      uint64_t number)
{
    const struct scmp_arg_cmp masked = {
        .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = number};
    return rules_add(context, call, 1, &masked);
}

int rules_deny_number(scmp_filter_ctx context, int call, unsigned argument, uint32_t number)
{
    return rules_deny_masked(context, call, argument, UINT32_MAX, number);
}

int rules_deny_bits(scmp_filter_ctx context, int call, unsigned argument, uint64_t bits)
{
    int rc = 0;
    for (uint64_t bit = 1; bit != 0 && rc == 0; bit <<= 1)
        if ((bits & bit) != 0)
            rc = rules_deny_masked(context, call, argument, bit, bit);
    return rc;
}

/* As blocks of a power of two that begin at a multiple of their size: each is one mask. There are
 * fewer than 64 of them. */
int rules_deny_range(scmp_filter_ctx context, int call, unsigned argument, uint32_t first,
                     uint32_t last)
{
    int rc = 0;
    for (uint64_t at = first, size; at <= last && rc == 0; at += size) {
        size = at == 0 ? UINT64_C(1) << 32 : at & -at;
        while (at + size - 1 > last)
            size /= 2;
        rc = rules_deny_masked(context, call, argument, UINT32_MAX & ~(size - 1), at);
    }
    return rc;
}

/* When all of so many comparisons hold, each of another argument. */
static int rules_add(scmp_filter_ctx context, int call, unsigned count,
                     const struct scmp_arg_cmp *comparisons)
{
    int rc = seccomp_rule_add_array(context, SCMP_ACT_ERRNO(EPERM), call, count, comparisons);
    return rc == -EEXIST ? 0 : rc;
}
