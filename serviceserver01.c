// serviceserver01.c: accept, once
//
// Extends 00.  New: accept gives a second descriptor, connected to one client.
// See:    make demo-01
// Breaks: the listening socket is closed: the second client is refused, and after the
//         first has left the program is gone.

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

    int cfd = accept(fd, NULL, NULL);
    if (cfd < 0) {
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
