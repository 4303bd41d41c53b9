// serviceserver09.c: one process that asks every connection in turn: polling
//
// Extends 03.  New: non-blocking sockets; connection_run does what can be done and returns.
//         It is what a driver does that reads a device's status register again and again.
// See:    make demo-09
// Breaks: it never sleeps: one whole core while nothing happens, and every idle connection
//         costs a system call in every round.

#define _GNU_SOURCE // accept4: the connected socket is non-blocking from the start
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "l23/common.h"
#include "l23/connection.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    listen(fd, SOMAXCONN); // one process takes turns: let more of them wait
    fcntl(fd, F_SETFL, O_NONBLOCK);

    struct connection *c = calloc((size_t)raise_descriptor_limit(), sizeof *c);
    if (!c) {
        perror("connections");
        exit(1);
    }
    for (int n = 0;;) {
        // No caller, or no descriptor left for one: ask again in the next round.
        int cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        if (cfd >= 0)
            connection_init(&c[n++], cfd);

        for (int i = 0; i < n; i++)
            if (connection_run(&c[i]) == 0) {
                connection_close(&c[i]);
                c[i--] = c[--n]; // the last one takes its place, and its turn
            }
    }
}
