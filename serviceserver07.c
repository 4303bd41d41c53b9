// serviceserver07.c: a thread per connection
//
// Extends 06.  New: pthread_create; connection_thread shares everything but its stack.
//         One death would be everybody's now: signal(SIGPIPE, SIG_IGN) (tip 2).
// See:    make demo-07
// Breaks: memory. Every thread reserves a stack, 8 MiB as a rule: with `ulimit -v 3960000`
//         the wall stands at 482 connections, (limit - the program) / (stack + a page).

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "l23/common.h"

static void *connection_thread(void *arg)
{
    FILE *f = arg;
    handle_connection(f, f);
    fclose(f);
    return NULL;
}

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    signal(SIGPIPE, SIG_IGN); // a client that hangs up makes write fail, nothing more

    for (unsigned long n = 1;; n++) {
        int cfd = accept(fd, NULL, NULL);
        if (cfd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue; // that client has gone again: to the next one
            stop_accepting(fd, n, "accept");
        }

        FILE *f = fdopen(cfd, "a+");
        if (!f)
            stop_accepting(fd, n, "fdopen");
        pthread_t t;
        errno = pthread_create(&t, NULL, connection_thread, f);
        if (errno)
            stop_accepting(fd, n, "pthread_create");
        pthread_detach(t);
    }
}
