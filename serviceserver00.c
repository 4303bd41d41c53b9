// serviceserver00.c: a listening socket, and nothing more
//
// Extends serviceparser.  New: make_listen; the socket is read and written as one stream.
// See:    make demo-00
// Breaks: a listening socket is a stake in the ground: it is connected to nobody.

#include <stdio.h>
#include <stdlib.h>

#include "l23/common.h"

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);

    FILE *f = fdopen(fd, "a+");
    if (!f) {
        perror("fdopen");
        exit(1);
    }
    if (handle_connection(f, f) < 0) {
        perror("read");
        exit(1);
    }
    fclose(f);
}
