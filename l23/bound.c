// bound.c: a server that does not think
//
// usage: bound [PORT]
//
// Answers every line with the same constant, without looking at it: one epoll loop, one
// read and one write a block, no memory for a connection. What is left is what the kernel
// asks for. `make bench` holds serviceserver11 against it: no server that really looks
// things up, with one epoll loop, can do with less CPU time. (It may be ahead in speed, if
// it sleeps less.) A measure, not an example: where a client does not take its answers, it
// is simply dropped.

#define _GNU_SOURCE // accept4
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "connection.h"

enum { BLOCK = 1 << 14, READY = 256 };
static const char answer[] = "discard, 9\n";
enum { LENGTH = sizeof answer - 1 };
static char answers[BLOCK * LENGTH]; // as many as there can be lines in a block

// Answers the lines of one block; false when the connection is over.
static bool answer_block(int cfd)
{
    char in[BLOCK], *end, *p = in;
    size_t lines = 0;
    ssize_t n = recv(cfd, in, sizeof in, MSG_DONTWAIT);

    if (n <= 0)
        return n < 0;
    for (end = in + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    ssize_t length = (ssize_t)(lines * LENGTH);
    return send(cfd, answers, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length;
}

int main(int argc, char **argv)
{
    int fd = make_listen(parse_port(argc, argv));
    listen(fd, SOMAXCONN);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    raise_descriptor_limit();
    for (size_t i = 0; i < sizeof answers; i++)
        answers[i] = answer[i % LENGTH];

    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd}, ready[READY];
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0) {
        perror("epoll");
        exit(1);
    }
    while (1) {
        int n = epoll_wait(ep, ready, READY, -1);
        for (int i = 0; i < n; i++) {
            int cfd = ready[i].data.fd;
            if (cfd != fd) {
                if (!answer_block(cfd))
                    close(cfd);
                continue;
            }
            while ((cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                e.data.fd = cfd;
                if (!answer_block(cfd) || epoll_ctl(ep, EPOLL_CTL_ADD, cfd, &e) < 0)
                    close(cfd);
            }
        }
    }
}
