// common.c: see common.h

#include "common.h"
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 14, ANSWERS = 1 << 15 };

// The lecture opens one stream for both directions and reads it with fgets. On such a
// stream glibc forgets what it has read ahead as soon as it writes: of three requests in
// one packet it answers one. So the input is taken with read(2), a block at a time. What
// comes of it: a complete line is answered though half a line follows, and all that comes
// in one block costs one read and, for each 32 KiB of answers, one write, not two system
// calls a line.
//
// The answers are put behind the block that was read, not into a buffer of their own: who asks
// a little touches one page of stack, and a stack costs what has been touched of it.
int handle_connection(FILE *fin, FILE *fout)
{
    char buffer[BLOCK + PADDING + ANSWERS];
    struct lines in = {buffer, buffer, false};
    ssize_t n;

    setvbuf(fout, NULL, _IONBF, 0); // we have a buffer of our own: one write a block
    do {
        memmove(buffer, in.begin, (size_t)(in.end - in.begin));
        in.end = buffer + (in.end - in.begin);
        in.begin = buffer;
        do
            n = read(fileno(fin), in.end, (size_t)(buffer + BLOCK - in.end));
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return -1;
        in.end += n;
        char *out = in.end + PADDING;
        for (size_t length; (length = answer_lines(&in, n == 0, out, ANSWERS)) > 0;)
            if (fwrite(out, 1, length, fout) != length)
                return -1;
    } while (n > 0);
    return 0;
}

// How many threads there are: /proc/self/task has a link for each, and two.
static long threads(void)
{
    struct stat s;
    return stat("/proc/self/task", &s) == 0 ? (long)s.st_nlink : 0;
}

// How many children there are that have not ended; 1 for any number where the kernel does
// not list them.
static long children(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    FILE *f = fopen("/proc/thread-self/children", "r");
    long n = f ? 0 : waitpid(-1, NULL, WNOHANG) == 0;
    for (int pid; f && fscanf(f, "%d", &pid) == 1;)
        n++;
    if (f)
        fclose(f);
    return n;
}

// There may be others than those that serve clients: threads of a sanitizer's, children of
// the shell that has become this program. make_listen notes how many there are at the start.
static long threads_at_start, children_at_start;
static pid_t parent; // who has called make_listen

_Noreturn void stop_accepting(int fd, unsigned long n, const char *what)
{
    fprintf(stderr, "connection %lu: %s: %s\n", n, what, strerror(errno));
    close(fd);
    while (threads() > threads_at_start || children() > children_at_start)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    exit(1);
}

void end_with_parent(void)
{
    signal(SIGTERM, SIG_DFL); // some parents leave it ignored
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1); // it has ended just before
}

void open_standard_descriptors(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd > STDERR_FILENO)
        close(fd);
}

int parse_port(int argc, char **argv)
{
    open_standard_descriptors();
    signal(SIGCHLD, SIG_DFL); // inherited as ignored it would hide zombies, and who died
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); // a signal that is blocked would end nobody
    char *end = "";
    long port = argc < 2 ? DEFAULT_PORT : strtol(argv[1], &end, 10);

    if (argc > 2 || *end || end == argv[1] || port < 0 || port > 65535) {
        fprintf(stderr,
                "usage: %s [PORT]\n"
                "PORT is a number from 0 (the kernel picks one) to 65535, or else %d.\n",
                argv[0], DEFAULT_PORT);
        exit(2);
    }
    return (int)port;
}

int resolve(const char *host, const char *port, struct addrinfo **a)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};

    if (getaddrinfo(host, port, &hints, a) == 0)
        return 0;
    hints.ai_family = AF_UNSPEC;
    return getaddrinfo(host, port, &hints, a);
}

int make_listen(int port)
{
    static int picked; // what port 0 became, so that serviceserver02 comes back to it
    const char *host = getenv("L23_HOST");
    struct addrinfo *a;
    char service[16], name[INET6_ADDRSTRLEN + 32];
    int yes = 1;

    threads_at_start = threads();
    children_at_start = access("/proc/thread-self/children", R_OK) == 0 ? children() : 0;
    parent = getpid();
    if (!host || !*host)
        host = "127.0.0.1"; // nobody from outside, unless L23_HOST says so
    snprintf(service, sizeof service, "%d", port ? port : picked);
    int e = resolve(host, service, &a);
    if (e != 0) {
        fprintf(stderr, "L23_HOST=%s: %s\n", host, gai_strerror(e));
        exit(1);
    }

    int fd = socket(a->ai_family, SOCK_STREAM, 0);
    // Tip 1: connections of an earlier run may still be in their last states on this port.
    // Without SO_REUSEADDR, bind fails for as long as they are. The other option is for the
    // sockets that accept makes of this one: an answer is sent at once, it does not wait
    // until the client has acknowledged the one before.
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0) {
        perror("socket");
        exit(1);
    }
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0) {
        fprintf(stderr, "bind to %s port %s: %s\n", host, service, strerror(errno));
        if (errno == EADDRINUSE)
            print_holder(a->ai_addr);
        exit(1);
    }
    if (listen(fd, 100) < 0) {
        perror("listen");
        exit(1);
    }

    // Ask the kernel which address and port these are now.
    getsockname(fd, a->ai_addr, &a->ai_addrlen);
    getnameinfo(a->ai_addr, a->ai_addrlen, name, sizeof name, service, sizeof service,
                NI_NUMERICHOST | NI_NUMERICSERV);
    freeaddrinfo(a);
    picked = atoi(service);
    fprintf(stderr, "listening on %s port %d\n", name, picked);
    return fd;
}
