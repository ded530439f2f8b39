/* SPDX-License-Identifier: MIT */
/*
 * evil_network.c - ways to speak with others over sockets: to the port that word 1 names, of this
 * machine, or by a name of a local socket.
 */
#include "evil.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { MPTCP = 262, SMC_FAMILY = 43, SMC_PROTOCOL = 0, VSOCK_FAMILY = 40, ALG_FAMILY = 38 };
enum { SCTP = 132, UDPLITE = 136, DCCP_TYPE = 6, DCCP = 33 };

/* What connecting says when nobody stopped it. */
static int reached(int rc)
{
    return rc == -ECONNREFUSED || rc == -EINPROGRESS ? 0 : rc;
}

static struct sockaddr_in address_of(long port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static struct sockaddr_in6 address6_of(long port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    /* ::ffff:127.0.0.1 */
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    memcpy(&address.sin6_addr, mapped, sizeof(mapped));
    return address;
}

/* A socket, and what `use` makes of it. */
static int with_socket(struct evil *evil, int family, int type, int protocol,
                       int (*use)(struct evil *evil, int fd))
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd == -1)
        return -errno;
    int rc = use(evil, fd);
    close(fd);
    return rc;
}

static int only_made(struct evil *evil, int fd)
{
    (void)evil;
    (void)fd;
    return 0;
}

static int use_connect(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    return SAID(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int use_connect6(struct evil *evil, int fd)
{
    struct sockaddr_in6 address = address6_of(evil_number(evil, 1, 9));
    return SAID(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

/* Connected as one family, and then as another. */
static int use_connect_after_unspecified(struct evil *evil, int fd)
{
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    connect(fd, &nothing, sizeof(nothing));
    return use_connect(evil, fd);
}

static int use_sendto(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    return SAID(sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&address,
                       sizeof(address)));
}

static struct msghdr message_to(struct sockaddr_in *address, struct iovec *bytes)
{
    *bytes = (struct iovec){"x", 1};
    return (struct msghdr){
        .msg_name = address, .msg_namelen = sizeof(*address), .msg_iov = bytes, .msg_iovlen = 1};
}

static int use_sendmsg(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    struct iovec bytes;
    struct msghdr message = message_to(&address, &bytes);
    return SAID(sendmsg(fd, &message, MSG_FASTOPEN | MSG_NOSIGNAL));
}

static int use_sendmmsg(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    struct iovec bytes;
    struct mmsghdr message = {.msg_hdr = message_to(&address, &bytes)};
    return SAID(sendmmsg(fd, &message, 1, MSG_FASTOPEN | MSG_NOSIGNAL));
}

/* The connection is made by the first write. */
static int use_fastopen_option(struct evil *evil, int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) == -1)
        return -errno;
    int rc = use_connect(evil, fd);
    return rc == 0 ? SAID(send(fd, "x", 1, MSG_NOSIGNAL)) : rc;
}

static int use_listen(struct evil *evil, int fd)
{
    (void)evil;
    return SAID(listen(fd, 1));
}

static int use_bind(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(0);
    (void)evil;
    int rc = SAID(bind(fd, (struct sockaddr *)&address, sizeof(address)));
    return rc == 0 ? SAID(listen(fd, 1)) : rc;
}

/* Takes a part of the connections that come to the port. */
static int use_reuse(struct evil *evil, int fd)
{
    int on = 1;
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1)
        return -errno;
    int rc = SAID(bind(fd, (struct sockaddr *)&address, sizeof(address)));
    return rc == 0 ? SAID(listen(fd, 1)) : rc;
}

static int use_datagram(struct evil *evil, int fd)
{
    struct sockaddr_in address = address_of(evil_number(evil, 1, 9));
    return SAID(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof(address)));
}

/* ---- TCP ------------------------------------------------------------------------------------- */

#define TCP_ATTACK(name, family, type, protocol, use)                                              \
    static int name(struct evil *evil)                                                             \
    {                                                                                              \
        return reached(with_socket(evil, family, type, protocol, use));                            \
    }

TCP_ATTACK(tcp_connect, AF_INET, SOCK_STREAM, 0, use_connect)
TCP_ATTACK(tcp6_connect, AF_INET6, SOCK_STREAM, 0, use_connect6)
TCP_ATTACK(tcp_unspecified, AF_INET, SOCK_STREAM, 0, use_connect_after_unspecified)
TCP_ATTACK(tcp_sendto, AF_INET, SOCK_STREAM, 0, use_sendto)
TCP_ATTACK(tcp_sendmsg, AF_INET, SOCK_STREAM, 0, use_sendmsg)
TCP_ATTACK(tcp_sendmmsg, AF_INET, SOCK_STREAM, 0, use_sendmmsg)
TCP_ATTACK(tcp_fastopen, AF_INET, SOCK_STREAM, 0, use_fastopen_option)
TCP_ATTACK(tcp_listen, AF_INET, SOCK_STREAM, 0, use_listen)
TCP_ATTACK(tcp_bind, AF_INET, SOCK_STREAM, 0, use_bind)
TCP_ATTACK(tcp_reuse, AF_INET, SOCK_STREAM, 0, use_reuse)
TCP_ATTACK(mptcp_connect, AF_INET, SOCK_STREAM, MPTCP, use_connect)
TCP_ATTACK(mptcp_listen, AF_INET, SOCK_STREAM, MPTCP, use_bind)
TCP_ATTACK(mptcp_sendto, AF_INET, SOCK_STREAM, MPTCP, use_sendto)
TCP_ATTACK(smc_connect, SMC_FAMILY, SOCK_STREAM, SMC_PROTOCOL, use_connect)

/* ---- other protocols: that there is a socket is enough --------------------------------------- */

TCP_ATTACK(udp_send, AF_INET, SOCK_DGRAM, 0, use_datagram)
TCP_ATTACK(udplite_send, AF_INET, SOCK_DGRAM, UDPLITE, use_datagram)
TCP_ATTACK(sctp_make, AF_INET, SOCK_STREAM, SCTP, only_made)
TCP_ATTACK(sctp_many_make, AF_INET, SOCK_SEQPACKET, SCTP, only_made)
TCP_ATTACK(dccp_make, AF_INET, DCCP_TYPE, DCCP, only_made)
TCP_ATTACK(vsock_make, VSOCK_FAMILY, SOCK_STREAM, 0, only_made)
TCP_ATTACK(raw_make, AF_INET, SOCK_RAW, IPPROTO_ICMP, only_made)
TCP_ATTACK(ping_make, AF_INET, SOCK_DGRAM, IPPROTO_ICMP, only_made)
TCP_ATTACK(packet_make, AF_PACKET, SOCK_RAW, 0, only_made)
TCP_ATTACK(netlink_make, AF_NETLINK, SOCK_RAW, 0, only_made)
TCP_ATTACK(alg_make, ALG_FAMILY, SOCK_SEQPACKET, 0, only_made)

/* ---- local sockets --------------------------------------------------------------------------- */

/* A name that begins with @ has no file. */
static socklen_t local_address(struct evil *evil, struct sockaddr_un *out)
{
    const char *name = evil_word(evil, 1, "@millrace-hostile");
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strnlen(name, sizeof(out->sun_path) - 1);
    memcpy(out->sun_path, name, length);
    if (name[0] == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@'));
}

static int use_local_connect(struct evil *evil, int fd)
{
    struct sockaddr_un address;
    socklen_t bytes = local_address(evil, &address);
    return SAID(connect(fd, (struct sockaddr *)&address, bytes));
}

static int use_local_listen(struct evil *evil, int fd)
{
    struct sockaddr_un address;
    socklen_t bytes = local_address(evil, &address);
    int rc = SAID(bind(fd, (struct sockaddr *)&address, bytes));
    return rc == 0 ? SAID(listen(fd, 1)) : rc;
}

static int local_connect(struct evil *evil)
{
    return with_socket(evil, AF_UNIX, SOCK_STREAM, 0, use_local_connect);
}

static int local_listen(struct evil *evil)
{
    return with_socket(evil, AF_UNIX, SOCK_STREAM, 0, use_local_listen);
}

/* ---- by other numbers ------------------------------------------------------------------------ */

/* A socket by the call's number for 32-bit programs. */
static int compat_socket(struct evil *evil)
{
    (void)evil;
#ifdef __x86_64__
    enum { SOCKET_OF_32_BITS = 359 };
    long said;
    __asm__ __volatile__("int $0x80"
                         : "=a"(said)
                         : "a"(SOCKET_OF_32_BITS), "b"(AF_INET), "c"(SOCK_STREAM), "d"(0)
                         : "memory");
    return said < 0 ? (int)said : SAID(close((int)said));
#else
    return -ENOSYS;
#endif
}

/* By the number of the x32 world. */
static int x32_socket(struct evil *evil)
{
    (void)evil;
#ifdef __x86_64__
    long fd = syscall(0x40000000 | SYS_socket, (long)AF_INET, (long)SOCK_STREAM, 0L);
    return fd == -1 ? -errno : SAID(close((int)fd));
#else
    return -ENOSYS;
#endif
}

/* The kernel looks at the lower half of the family only. */
static int upper_socket(struct evil *evil)
{
    (void)evil;
    long fd = syscall(SYS_socket, (long)(UINT64_C(1) << 32) | AF_INET, (long)SOCK_STREAM, 0L);
    return fd == -1 ? -errno : SAID(close((int)fd));
}

static int upper_mptcp(struct evil *evil)
{
    (void)evil;
    long fd =
        syscall(SYS_socket, (long)AF_INET, (long)SOCK_STREAM, (long)(UINT64_C(1) << 32) | MPTCP);
    return fd == -1 ? -errno : SAID(close((int)fd));
}

/* One of a pair that is not connected for good: word 1 is the local socket that it speaks to. */
static int pair_reach(struct evil *evil)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int pair[2];
    strncpy(address.sun_path, evil_word(evil, 1, "/dev/log"), sizeof(address.sun_path) - 1);
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == -1)
        return -errno;
    int rc = SAID(
        sendto(pair[0], "evil", 4, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof(address)));
    close(pair[0]);
    close(pair[1]);
    return rc;
}

const struct attack evil_network[] = {
    {"tcp-connect", tcp_connect, "connects"},
    {"tcp6-connect", tcp6_connect, "connects by an IPv6 address that means an IPv4 one"},
    {"tcp-unspecified", tcp_unspecified, "disconnects first"},
    {"tcp-sendto", tcp_sendto, "fast open: sends without connecting (sendto)"},
    {"tcp-sendmsg", tcp_sendmsg, "fast open: sends without connecting (sendmsg)"},
    {"tcp-sendmmsg", tcp_sendmmsg, "fast open: sends without connecting (sendmmsg)"},
    {"tcp-fastopen", tcp_fastopen, "fast open by the option TCP_FASTOPEN_CONNECT"},
    {"tcp-listen", tcp_listen, "listens without an address"},
    {"tcp-bind", tcp_bind, "listens on an address"},
    {"tcp-reuseport", tcp_reuse, "listens on a port that somebody else has"},
    {"mptcp-connect", mptcp_connect, "connects by MPTCP, which falls back to TCP"},
    {"mptcp-listen", mptcp_listen, "listens by MPTCP"},
    {"mptcp-sendto", mptcp_sendto, "fast open by MPTCP"},
    {"smc-connect", smc_connect, "connects by SMC, which falls back to TCP"},
    {"udp-send", udp_send, "sends a datagram"},
    {"udplite-send", udplite_send, "sends a datagram of UDP-Lite"},
    {"sctp", sctp_make, "a socket of SCTP"},
    {"sctp-many", sctp_many_make, "a socket of SCTP for many peers"},
    {"dccp", dccp_make, "a socket of DCCP"},
    {"vsock", vsock_make, "a socket to the host of a virtual machine"},
    {"raw", raw_make, "a raw socket"},
    {"ping", ping_make, "a socket for pings"},
    {"packet", packet_make, "a socket for whole packets"},
    {"netlink", netlink_make, "a socket to the kernel's network settings"},
    {"alg", alg_make, "a socket to the kernel's ciphers"},
    {"unix-connect", local_connect, "connects to a local socket"},
    {"unix-listen", local_listen, "listens on a local socket"},
    {"socket-compat", compat_socket, "a socket by the call of 32-bit programs"},
    {"socket-x32", x32_socket, "a socket by the call of x32 programs"},
    {"socket-upper", upper_socket, "a socket, with bits that only a filter sees"},
    {"mptcp-upper", upper_mptcp, "a socket of MPTCP, with bits that only a filter sees"},
    {"pair-reach", pair_reach, "a local socket, by one of a pair"},
    {NULL, NULL, NULL},
};
