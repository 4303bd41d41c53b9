// client.c: a client that does exactly what a test tells it
//
// usage: client PORT ACTION...      connects to 127.0.0.1 (or L23_HOST), then, in order:
//   send TEXT     sends TEXT (\n \r \t \\ and \xHH are understood)
//   times N TEXT  sends TEXT N times
//   bytes TEXT    sends TEXT, every byte in a packet of its own
//   lines N       prints N lines of what comes
//   talk          sends standard input while it prints what comes; at the input's end it
//                 closes the sending side and prints on until end of file
//   flood TEXT    sends TEXT again and again, never reads, until nothing has been taken
//                 for half a second; prints how many bytes were
//   half          closes the sending side
//   eof           prints on until end of file; a reset is an error
//   gone          as eof, but a reset is as good
//   reset         closes with a reset instead of an end of file
//   crowd N TEXT  opens N more connections and keeps them; sends TEXT on each and prints
//                 the line that comes before it opens the next
//   churn N TEXT  as crowd, but closes each: its sending side, then, at end of file, whole
//   abandon N TEXT  as crowd, but instead of waiting closes each sending side, then resets
//   drop N TEXT   as abandon, but leaves the sending side open until the reset
//   more N        opens N more connections, one after another, and keeps them
//   say TEXT      prints TEXT on standard output: the test can wait for it
//   until FILE    waits for FILE to exist, a minute at most
// Every wait ends after 10 seconds (L23_WAIT sets another number): exit 3. Any other
// failure: one line, exit 1.

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int limit = 10;

static _Noreturn void fail(int status, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "client: %s: %s\n", what,
            status == 3 ? "nothing happened in time" : strerror(errno));
    exit(status);
}

// Waits until `events` are there for fd; false when `ms` have passed without.
static bool ready(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;
    while ((n = poll(&p, 1, ms)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        fail(1, "poll");
    return n > 0;
}

static void wait_for(int fd, short events, const char *what)
{
    if (!ready(fd, events, limit * 1000))
        fail(3, what);
}

static size_t unescape(char *text)
{
    char *out = text;
    for (char *p = text; *p; p++) {
        const char *known = "nrt\\", *k = *p == '\\' && p[1] ? strchr(known, p[1]) : NULL;
        if (k) {
            *out++ = "\n\r\t\\"[k - known];
            p++;
        } else if (*p == '\\' && p[1] == 'x' && p[2] && p[3]) {
            *out++ = (char)strtol((char[]){p[2], p[3], 0}, NULL, 16);
            p += 3;
        } else {
            *out++ = *p;
        }
    }
    return (size_t)(out - text);
}

static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        wait_for(fd, POLLOUT, "send");
        ssize_t sent = send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            fail(1, "send");
        if (sent > 0)
            data += sent, n -= (size_t)sent;
    }
}

// Prints what has come; false at end of file, or at a reset where `reset_is_end`.
static bool receive(int fd, size_t most, bool reset_is_end)
{
    static char buffer[65536];
    wait_for(fd, POLLIN, "receive");
    ssize_t n = recv(fd, buffer, most < sizeof buffer ? most : sizeof buffer, 0);
    if (n < 0 && !(reset_is_end && errno == ECONNRESET))
        fail(1, "receive");
    if (n > 0 && fwrite(buffer, 1, (size_t)n, stdout) != (size_t)n)
        fail(1, "stdout");
    return n > 0;
}

static void receive_lines(int fd, long lines)
{
    static char buffer[65536];
    while (lines > 0) {
        // Looks first, and takes the bytes of these lines alone.
        wait_for(fd, POLLIN, "receive");
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_PEEK), take = 0;
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            fail(1, "receive");
        while (take < n && lines > 0)
            lines -= buffer[take++] == '\n';
        recv(fd, buffer, (size_t)take, 0);
        fwrite(buffer, 1, (size_t)take, stdout);
    }
    fflush(stdout);
}

static void talk(int fd)
{
    char out[65536];
    size_t have = 0, sent = 0;
    bool more = true;

    while (1) {
        if (more && sent == have) {
            ssize_t n = read(0, out, sizeof out);
            if (n < 0)
                fail(1, "stdin");
            have = (size_t)n, sent = 0;
            if (n == 0) {
                more = false;
                shutdown(fd, SHUT_WR);
            }
        }
        wait_for(fd, POLLIN | (more ? POLLOUT : 0), "talk");
        if (more && ready(fd, POLLOUT, 0)) {
            ssize_t n = send(fd, out + sent, have - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN)
                fail(1, "send");
            sent += n > 0 ? (size_t)n : 0;
        }
        if (ready(fd, POLLIN, 0) && !receive(fd, SIZE_MAX, false))
            return;
    }
}

static void flood(int fd, const char *data, size_t n)
{
    static char block[65536];
    size_t size = 0;
    unsigned long long total = 0;
    for (; n > 0 && size + n <= sizeof block; size += n)
        memcpy(block + size, data, n);
    while (size > 0 && ready(fd, POLLOUT, 500)) {
        size_t done = total % size;
        ssize_t sent = send(fd, block + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            continue;
        if (sent < 0)
            break; // the server has had enough of us: that is an end as well
        total += (unsigned long long)sent;
    }
    printf("%llu\n", total);
    fflush(stdout);
}

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a;
    int yes = 1;
    int e = getaddrinfo(host, port, &hints, &a);
    if (e != 0) {
        fprintf(stderr, "client: %s port %s: %s\n", host, port, gai_strerror(e));
        exit(1);
    }
    int fd = socket(a->ai_family, SOCK_STREAM, 0);
    if (fd < 0)
        fail(1, "socket");
    // The limit holds for connect too: Linux takes it from SO_SNDTIMEO.
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = limit},
               sizeof(struct timeval));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
        fail(errno == EINPROGRESS || errno == ETIMEDOUT ? 3 : 1, "connect");
    freeaddrinfo(a);
    return fd;
}

static void reset(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
}

static void crowd(const char *host, const char *port, const char *action, long n,
                  const char *text, size_t length)
{
    for (long i = 0; i < n; i++) {
        int fd = connect_to(host, port);
        send_all(fd, text, length);
        bool abandons = strcmp(action, "abandon") == 0;
        if (abandons)
            shutdown(fd, SHUT_WR);
        if (abandons || strcmp(action, "drop") == 0) {
            reset(fd);
            continue;
        }
        receive_lines(fd, 1);
        if (strcmp(action, "crowd") == 0)
            continue;
        shutdown(fd, SHUT_WR);
        while (receive(fd, SIZE_MAX, false))
            ;
        close(fd);
    }
}

int main(int argc, char **argv)
{
    const char *host = getenv("L23_HOST"), *wait = getenv("L23_WAIT");
    if (argc < 2) {
        fprintf(stderr, "usage: %s PORT ACTION...\n", argv[0]);
        return 2;
    }
    limit = wait ? atoi(wait) : limit;
    host = host && *host ? host : "127.0.0.1";
    int fd = connect_to(host, argv[1]);

    for (char **a = argv + 2; *a; a++) {
        const char *action = *a;
        bool is_times = strcmp(action, "times") == 0,
             is_lines = strcmp(action, "lines") == 0,
             is_crowd = strcmp(action, "crowd") == 0 || strcmp(action, "churn") == 0 ||
                        strcmp(action, "abandon") == 0 || strcmp(action, "drop") == 0,
             is_more = strcmp(action, "more") == 0;
        bool takes_count = is_times || is_lines || is_crowd || is_more;
        long count = takes_count && a[1] ? atol(*++a) : 1;
        bool takes_text = is_times || is_crowd || strcmp(action, "send") == 0 ||
                          strcmp(action, "bytes") == 0 || strcmp(action, "flood") == 0 ||
                          strcmp(action, "say") == 0 || strcmp(action, "until") == 0;
        char *text = takes_text && a[1] ? *++a : (char[]){0};
        size_t n = unescape(text);

        if (is_lines) {
            receive_lines(fd, count);
        } else if (is_times || strcmp(action, "send") == 0) {
            char *all = malloc(n * (size_t)count + 1);
            if (!all)
                fail(1, "malloc");
            for (long i = 0; i < count; i++)
                memcpy(all + n * (size_t)i, text, n);
            send_all(fd, all, n * (size_t)count);
            free(all);
        } else if (strcmp(action, "bytes") == 0) {
            for (size_t i = 0; i < n; i++)
                send_all(fd, text + i, 1);
        } else if (is_crowd) {
            crowd(host, argv[1], action, count, text, n);
        } else if (is_more) {
            for (long i = 0; i < count; i++)
                connect_to(host, argv[1]);
        } else if (strcmp(action, "talk") == 0) {
            talk(fd);
        } else if (strcmp(action, "flood") == 0) {
            flood(fd, text, n);
        } else if (strcmp(action, "half") == 0) {
            shutdown(fd, SHUT_WR);
        } else if (strcmp(action, "eof") == 0) {
            while (receive(fd, SIZE_MAX, false))
                ;
        } else if (strcmp(action, "gone") == 0) {
            while (receive(fd, SIZE_MAX, true))
                ;
        } else if (strcmp(action, "reset") == 0) {
            reset(fd);
            return 0;
        } else if (strcmp(action, "say") == 0) {
            printf("%s\n", text);
            fflush(stdout);
        } else if (strcmp(action, "until") == 0) {
            for (int i = 0; access(text, F_OK) != 0; i++) {
                if (i == 6000)
                    fail(3, "until");
                poll(NULL, 0, 10);
            }
        } else {
            fprintf(stderr, "client: what is '%s'?\n", action);
            return 2;
        }
        fflush(stdout);
    }
    close(fd);
    return 0;
}
