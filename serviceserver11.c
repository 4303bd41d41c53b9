// serviceserver11.c: the kernel keeps the list: epoll(7)
//
// Extends 10.  New: each connection is named to the kernel once; epoll_wait returns only
//         those that are ready, so that an answer costs the same beside 20,000 idle ones.
// See:    make demo-11
// Breaks: one core does it all, and an idle connection is never asked to leave.

#define _GNU_SOURCE // accept4: the connected socket is non-blocking from the start
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "l23/common.h"
#include "l23/connection.h"

enum { READY = 256 }; // so many at a time

// Has the kernel watch `fd`; epoll_wait gives `c` back. NULL stands for the listening socket.
static int watch(int ep, int operation, int fd, short events, struct connection *c)
{
    struct epoll_event e = {.events = (unsigned)events, .data.ptr = c};
    return epoll_ctl(ep, operation, fd, &e);
}

static void end(struct connection *c)
{
    connection_close(c);
    free(c);
}

// Accepts all who wait; false when there is no descriptor for the next one.
static bool accept_all(int ep, int fd)
{
    int cfd;
    while ((cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = malloc(sizeof *c);
        if (!c) {
            close(cfd);
            return false;
        }
        connection_init(c, cfd);
        if (watch(ep, EPOLL_CTL_ADD, cfd, c->events, c) < 0)
            end(c);
    }
    return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
}

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    listen(fd, SOMAXCONN); // one process takes turns: let more of them wait
    fcntl(fd, F_SETFL, O_NONBLOCK);
    raise_descriptor_limit();

    int ep = epoll_create1(0);
    if (ep < 0 || watch(ep, EPOLL_CTL_ADD, fd, POLLIN, NULL) < 0) {
        perror("epoll");
        exit(1);
    }
    for (bool full = false;;) {
        struct epoll_event ready[READY];
        int n = epoll_wait(ep, ready, READY, full ? 100 : -1);

        // Out of descriptors: look away for 100 ms, or epoll_wait would not sleep any more.
        if (full)
            full = watch(ep, EPOLL_CTL_MOD, fd, POLLIN, NULL) < 0;
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (!c) {
                full = !accept_all(ep, fd) && watch(ep, EPOLL_CTL_MOD, fd, 0, NULL) == 0;
                continue;
            }
            short before = c->events;
            if (connection_run(c) == 0)
                end(c);
            else if (c->events != before)
                watch(ep, EPOLL_CTL_MOD, c->fd, c->events, c);
        }
    }
}
