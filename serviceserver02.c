// serviceserver02.c: a loop around it all
//
// Extends 01.  New: while (1), with make_listen inside.
// See:    make demo-02
// Breaks: while one client is served there is no listening socket: whoever comes is
//         refused. Each connection costs a listening socket of its own.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "l23/common.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();

    while (1) {
        int fd = make_listen(port);

        int cfd = accept(fd, NULL, NULL);
        if (cfd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) {
                close(fd);
                continue; // that client has gone again: to the next one
            }
            perror("accept");
            exit(1);
        }
        close(fd);

        FILE *f = fdopen(cfd, "a+");
        if (!f) {
            perror("fdopen");
            exit(1);
        }
        handle_connection(f, f);
        fclose(f);
    }
}
