// serviceserver08.c: twenty processes, made before the first client
//
// Extends 06.  New: fork in a loop of its own, n = 20; all share the listening socket, and
//         each accepts and serves one client after another. A dead child is replaced.
// See:    make demo-08
// Breaks: twenty silent clients hold all of them, and the 21st waits: control is still
//         given away.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "l23/common.h"

enum { N = 20 };

static _Noreturn void serve(int fd)
{
    while (1) {
        int cfd = accept(fd, NULL, NULL);
        if (cfd < 0) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); // out of descriptors or memory: pause, do not spin
            continue;
        }

        FILE *f = fdopen(cfd, "a+");
        if (!f) {
            close(cfd);
            continue;
        }
        handle_connection(f, f);
        fclose(f);
    }
}

int main(int argc, char **argv)
{
    int port = parse_port(argc, argv);
    load_services();
    int fd = make_listen(port);
    signal(SIGPIPE, SIG_IGN); // a client that hangs up shall not cost us a child

    pid_t children[N] = {0}; // 0: has to be made
    while (1) {
        pid_t p = 1;
        for (int i = 0; i < N && p > 0; i++) {
            if (children[i])
                continue;
            p = fork();
            if (p == 0) {
                end_with_parent();
                serve(fd);
            }
            children[i] = p > 0 ? p : 0;
        }
        if (p < 0) {
            perror("fork");
            sleep(1);
        }

        pid_t dead = waitpid(-1, NULL, p < 0 ? WNOHANG : 0);
        for (int i = 0; i < N; i++)
            if (children[i] == dead)
                children[i] = 0;
        // Replaced at once, nearly: if they keep dying, we do not spin.
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}
