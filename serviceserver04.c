// serviceserver04.c: a process per connection
//
// Extends 03.  New: fork; the child serves the client, the parent accepts the next one.
// See:    make demo-04
// Breaks: dead children stay as zombies, for nobody asks how they ended. The parent keeps
//         its copy of every connected socket: no client ever sees end of file.

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
    int fd = make_listen(port);

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
    }
}
