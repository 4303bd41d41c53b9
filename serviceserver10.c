// serviceserver10.c: sleeps until a connection is ready: poll(2)
//
// Extends 09.  New: poll tells which connections are ready, and sleeps while none is: the
//         program's side of interrupt-driven I/O. The network card's interrupt wakes it.
// See:    make demo-10
// Breaks: every call hands the kernel the whole list, and every wake-up looks through all
//         of it: an answer costs more the more connections are idle.

#define _GNU_SOURCE // accept4: the connected socket is non-blocking from the start
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "l23/common.h"
#include "l23/connection.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    listen(fd, SOMAXCONN); // one process takes turns: let more of them wait
    fcntl(fd, F_SETFL, O_NONBLOCK);

    size_t most = (size_t)raise_descriptor_limit();
    struct connection *c = calloc(most, sizeof *c);
    struct pollfd *p = calloc(most, sizeof *p);
    if (!c || !p) {
        perror("connections");
        exit(1);
    }
    // p[i] is what poll is asked of connection c[i]; p[0] is the listening socket.
    p[0] = (struct pollfd){.fd = fd, .events = POLLIN};
    for (nfds_t n = 1;;) {
        int ready = poll(p, n, p[0].events ? -1 : 100);
        if (ready < 0) {
            // No memory for the list, or it is longer than a limit lowered since: ask all of
            // them, as 09 does, but ten times a second.
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
            for (nfds_t i = 0; i < n; i++)
                p[i].revents = POLLIN;
        }

        if (p[0].revents || !p[0].events) {
            int cfd;
            while ((cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                connection_init(&c[n], cfd);
                p[n++] = (struct pollfd){.fd = cfd, .events = POLLIN};
            }
            // Out of descriptors: look away for 100 ms, or poll would not sleep any more.
            bool full = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
            p[0].events = full ? 0 : POLLIN;
        }

        for (nfds_t i = 1; i < n; i++)
            if (p[i].revents && (p[i].events = (short)connection_run(&c[i])) == 0) {
                connection_close(&c[i]);
                c[i] = c[--n]; // the last one takes its place, and its turn
                p[i--] = p[n];
            }
    }
}
