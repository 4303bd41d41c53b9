// serviceserver06.c: the parent closes its copy
//
// Extends 05.  New: close(cfd) in the parent.
// See:    make demo-06
// Breaks: the network decides how many processes run. At `ulimit -u` fork fails, and then no
//         program can be started to put it right, not even a shell.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "l23/common.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    signal(SIGCHLD, SIG_IGN); // nobody will ask how a child ended: forget it at once

    for (unsigned long n = 1;; n++) {
        int cfd = accept(fd, NULL, NULL);
        if (cfd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue; // that client has gone again: to the next one
            stop_accepting(fd, n, "accept");
        }

        pid_t p = fork();
        if (p < 0)
            stop_accepting(fd, n, "fork");
        if (p == 0) {
            end_with_parent();
            close(fd);
            FILE *f = fdopen(cfd, "a+");
            if (!f) {
                perror("fdopen");
                _exit(1);
            }
            handle_connection(f, f);
            fclose(f);
            _exit(0);
        }
        close(cfd);
    }
}
