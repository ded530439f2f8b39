/* SPDX-License-Identifier: MIT */
/* filter_network.c - sockets that workers do not get, and ways to a port that Landlock
 * overlooks. */
#include "worker/confine/filter_rules.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* A socket could also be had from a ring of the kernel's. */
static const int ring_calls[] = {
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
};

/* Calls that connect when their flags say so. */
static const struct {
    int number;
    unsigned flags;
} sends[] = {{SCMP_SYS(sendto), 3}, {SCMP_SYS(sendmsg), 2}, {SCMP_SYS(sendmmsg), 3}};

static int network_deny_sockets(scmp_filter_ctx context);

/* Whatever is not exactly the number of local sockets, in all 64 bits of the register. */
int network_deny(scmp_filter_ctx context)
{
    int rc = rules_deny_calls(context, ring_calls, ARRAY_COUNT(ring_calls));
    if (rc == 0)
        rc = rules_deny_if(context, SCMP_SYS(socket), 0, SCMP_CMP_NE, AF_UNIX);
    return rc < 0 ? rc : rules_deny_if(context, SCMP_SYS(socketpair), 0, SCMP_CMP_NE, AF_UNIX);
}

int network_deny_detours(scmp_filter_ctx context)
{
    static const int listening[] = {SCMP_SYS(listen)}; /* finds a port by itself, without bind() */
    int rc = rules_deny_calls(context, ring_calls, ARRAY_COUNT(ring_calls));
    if (rc == 0)
        rc = rules_deny_calls(context, listening, ARRAY_COUNT(listening));
    if (rc == 0)
        rc = network_deny_sockets(context);
    for (size_t i = 0; i < ARRAY_COUNT(sends) && rc == 0; i++)
        rc = rules_deny_bits(context, sends[i].number, sends[i].flags, MSG_FASTOPEN);
    return rc;
}

/* Numbers that are not in a short list, which ascends. */
static int network_deny_unlisted(scmp_filter_ctx context, int call, unsigned argument,
                                 const uint32_t *listed, size_t count)
{
    uint32_t next = 0;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; next = listed[i++] + 1)
        if (listed[i] > next)
            rc = rules_deny_range(context, call, argument, next, listed[i] - 1);
    return rc < 0 ? rc : rules_deny_range(context, call, argument, next, UINT32_MAX);
}

/* Of the internet: TCP and UDP by their own names, nothing that speaks TCP under another one
 * (MPTCP), and nothing else that has ports (SCTP, DCCP, UDP-Lite), sees all of them (raw), or asks
 * the kernel about them (netlink, but for addresses and routes, which resolving names needs). The
 * rule for protocols and types holds for local and netlink sockets, too, which have no others. */
static int network_deny_sockets(scmp_filter_ctx context)
{
    static const uint32_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    static const uint32_t protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP};
    static const uint8_t types[] = {SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET, SOCK_RAW};
    static const uint32_t inet[] = {AF_INET, AF_INET6};
    int rc = network_deny_unlisted(context, SCMP_SYS(socket), 0, families, ARRAY_COUNT(families));
    if (rc == 0)
        rc = network_deny_unlisted(context, SCMP_SYS(socket), 2, protocols, ARRAY_COUNT(protocols));
    for (size_t i = 0; i < ARRAY_COUNT(inet) * ARRAY_COUNT(types) && rc == 0; i++) {
        /* The upper bits of a type are flags. */
        const struct scmp_arg_cmp both[] = {
            {0, SCMP_CMP_MASKED_EQ, UINT32_MAX, inet[i / ARRAY_COUNT(types)]},
            {1, SCMP_CMP_MASKED_EQ, 0xf, types[i % ARRAY_COUNT(types)]}};
        rc = rules_deny_pair(context, SCMP_SYS(socket), both);
    }
    /* NETLINK_ROUTE is 0; the others' numbers may be those of TCP and UDP. */
    for (size_t i = 1; i < ARRAY_COUNT(protocols) && rc == 0; i++) {
        const struct scmp_arg_cmp both[] = {{0, SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK},
                                            {2, SCMP_CMP_MASKED_EQ, UINT32_MAX, protocols[i]}};
        rc = rules_deny_pair(context, SCMP_SYS(socket), both);
    }
    return rc < 0 ? rc : rules_deny_if(context, SCMP_SYS(socketpair), 0, SCMP_CMP_NE, AF_UNIX);
}
