// serviceserver03.c: one listening socket for all
//
// Extends 02.  New: make_listen before the loop; the listening socket stays open.
// See:    make demo-03
// Breaks: one at a time. Connected is not served: the others wait in the kernel's queue,
//         a silent client stops everyone, and beyond the backlog connects time out. A
//         client that hangs up in mid-answer kills the server: SIGPIPE.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "l23/common.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);

    while (1) {
        int cfd = accept(fd, NULL, NULL);
        if (cfd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue; // that client has gone again: to the next one
            perror("accept");
            exit(1);
        }

        FILE *f = fdopen(cfd, "a+");
        if (!f) {
            perror("fdopen");
            exit(1);
        }
        handle_connection(f, f);
        fclose(f);
    }
}
