// call.c: see call.h

#include "call.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 1000, REST_MS = 10000 };

// The connection that is kept; inode 0 is none. Who asks takes it away and puts it back, so
// threads need no lock; who finds none opens one. A daemon closes descriptors that it does
// not know, ours too, and may have a file of its own under that number: the inode tells.
struct connection {
    int fd;
    unsigned inode;
};
static const struct connection none;
static _Atomic(struct connection) kept;
static _Atomic(long long) rest_until;

static unsigned inode_of(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 ? (unsigned)s.st_ino : 0;
}

static bool is_open(struct connection c)
{
    return c.inode && inode_of(c.fd) == c.inode;
}

// Keeps c, and closes what was kept so far.
static void keep(struct connection c)
{
    c = atomic_exchange(&kept, c);
    if (is_open(c))
        close(c.fd);
}

// A child must neither talk on its parent's connection nor hold it open.
static void forget(void)
{
    keep(none);
}

__attribute__((constructor)) static void forget_in_children(void)
{
    pthread_atfork(NULL, NULL, forget);
}

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool ready(int fd, short events, long long deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    long long left;

    while ((left = deadline - now_ms()) > 0) {
        int n = poll(&p, 1, (int)left);
        if (n > 0 || (n < 0 && errno != EINTR))
            return n > 0;
    }
    errno = ETIMEDOUT;
    return false;
}

// Connects to one address; returns none, with errno set, when that cannot be.
static struct connection connect_to(const struct addrinfo *a, long long deadline)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && fd <= STDERR_FILENO) { // the program has closed its own
        int low = fd;
        fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(low);
    }
    int e = fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? errno : 0;
    socklen_t size = sizeof e;

    if (e == EINPROGRESS && (!ready(fd, POLLOUT, deadline) ||
                             getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0))
        e = errno;
    if (e == 0 && connected_to_itself(fd))
        e = ECONNREFUSED;
    if (e == 0)
        return (struct connection){fd, inode_of(fd)};
    if (fd >= 0)
        close(fd);
    errno = e;
    return none;
}

static struct connection open_connection(long long deadline)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV};
    const char *host = getenv("L23_HOST"), *port = getenv("L23_PORT");
    struct connection c = none;
    struct addrinfo *all;
    char digits[24], *end = "";
    long n = port && *port ? strtol(port, &end, 10) : DEFAULT_PORT;

    snprintf(digits, sizeof digits, "%ld", n);
    if (*end || n < 1 || n > 65535 ||
        getaddrinfo(host && *host ? host : "127.0.0.1", digits, &hints, &all) != 0) {
        errno = EADDRNOTAVAIL;
        return none;
    }
    for (struct addrinfo *a = all; a && !c.inode; a = a->ai_next)
        c = connect_to(a, deadline);
    int e = errno;
    freeaddrinfo(all);
    errno = e;
    return c;
}

// One line there, one line back. Returns 0, or -1 with errno set.
static int exchange(int fd, const char *request, size_t n, char *answer, size_t size,
                    long long deadline)
{
    size_t have = 0;

    // The buffer of a connection that nothing is under way on takes any request whole.
    if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
        return -1;
    while (have == 0 || answer[have - 1] != '\n') {
        if (!ready(fd, POLLIN, deadline))
            return -1;
        ssize_t got = recv(fd, answer + have, size - have, 0);
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        have += (size_t)got;
    }
    answer[have - 1] = '\0';
    errno = EPROTO; // every answer begins with its question: else this is another's
    return strncmp(answer, request, n - 1) == 0 ? 0 : -1;
}

int call_server(const char *request, size_t n, char *answer, size_t size)
{
    long long deadline = now_ms() + LIMIT_MS;

    errno = ETIMEDOUT;
    if (now_ms() < rest_until)
        return -1;
    // The kept connection may have died since: a new one tells whether there is a server.
    for (int is_new = 0; is_new < 2; is_new++) {
        struct connection c =
            is_new ? open_connection(deadline) : atomic_exchange(&kept, none);
        if (!is_open(c))
            continue;
        if (exchange(c.fd, request, n, answer, size, deadline) == 0) {
            keep(c);
            return 0;
        }
        int e = errno;
        close(c.fd);
        errno = e;
    }
    if (errno == ETIMEDOUT)
        rest_until = deadline + REST_MS;
    return -1;
}
