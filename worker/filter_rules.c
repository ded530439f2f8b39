/* SPDX-License-Identifier: MIT */
/* filter_rules.c - single rules, each with as many comparisons as libseccomp allows: one. */
#include "worker/filter_rules.h"

#include <errno.h>

static int rule_add(scmp_filter_ctx context, int call, struct scmp_arg_cmp comparison)
{
    int rc = seccomp_rule_add_array(context, SCMP_ACT_ERRNO(EPERM), call, 1, &comparison);
    return rc == -EEXIST ? 0 : rc;
}

int rules_deny_calls(scmp_filter_ctx context, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int rc = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
        if (rc < 0 && rc != -EEXIST)
            return rc;
    }
    return 0;
}

int rules_deny_if(scmp_filter_ctx context, int call, unsigned argument,
                  enum scmp_compare comparison, uint64_t number)
{
    return rule_add(context, call,
                    (struct scmp_arg_cmp){.arg = argument, .op = comparison, .datum_a = number});
}

static int masked_deny(scmp_filter_ctx context, int call, unsigned argument, uint64_t mask,
                       uint64_t number)
{
    return rule_add(
        context, call,
        (struct scmp_arg_cmp){
            .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = number});
}

int rules_deny_number(scmp_filter_ctx context, int call, unsigned argument, uint32_t number)
{
    return masked_deny(context, call, argument, UINT32_MAX, number);
}

int rules_deny_bits(scmp_filter_ctx context, int call, unsigned argument, uint64_t bits)
{
    int rc = 0;
    for (uint64_t bit = 1; bit != 0 && rc == 0; bit <<= 1)
        if ((bits & bit) != 0)
            rc = masked_deny(context, call, argument, bit, bit);
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
        rc = masked_deny(context, call, argument, UINT32_MAX & ~(size - 1), at);
    }
    return rc;
}
