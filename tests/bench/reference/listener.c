/* SPDX-License-Identifier: MIT */
/* listener.c - how the references come to connections. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "millrace/check.h"
#include "tests/bench/reference/server.h"

#define BACKLOG 16384

int listener_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mr_assert(fd != -1);
    mr_assert(bind(fd, (const struct sockaddr *)&address, bytes) == 0);
    mr_assert(listen(fd, BACKLOG) == 0);
    mr_assert(getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int listener_accept(int listener, int epoll)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1)
        return -1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    mr_assert(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return fd;
}

size_t listener_descriptor_count(void)
{
    struct rlimit limit;
    mr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    mr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return (size_t)limit.rlim_cur;
}
