// common.c: see common.h

#include "common.h"
#include "holder.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The cache: a hash table from a request to its answer, both as text. A service is in it
// under each of its names with its protocol, and, when that is tcp, without.

struct service {
    struct service *next;
    uint64_t hash;
    unsigned key_length, answer_length;
    char text[]; // the key, then the answer in whole COPYs
};

// COPY bytes at once hold most answers: a copy without a loop.
enum { WORD = 8, COPY = 32 };

enum { BUCKETS = 1 << 14 };
static struct service **services;

// Takes a word at a time; of the last one it keeps the bytes that belong to the key.
static uint64_t hash_of(const char *key, size_t n)
{
    static const unsigned char keep[2 * WORD] = {255, 255, 255, 255, 255, 255, 255, 255};
    const uint64_t odd = 0x9e3779b97f4a7c15; // 2^64 over the golden ratio
    uint64_t hash = n, word, kept;

    for (; n > WORD; key += WORD, n -= WORD) {
        memcpy(&word, key, WORD);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    memcpy(&word, key, WORD);
    memcpy(&kept, keep + WORD - n, WORD);
    hash = (hash ^ (word & kept)) * odd;
    return hash ^ hash >> 32;
}

static const struct service *find_service(const char *key, size_t n)
{
    uint64_t hash = hash_of(key, n);
    const struct service *s = services[hash % BUCKETS];

    while (s && !(s->hash == hash && s->key_length == n && memcmp(s->text, key, n) == 0))
        s = s->next;
    return s;
}

// Bytes that do not print come back as '?': an answer is safe to show on a terminal.
static void copy_printable(char *out, const char *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = isprint((unsigned char)in[i]) ? in[i] : '?';
}

// Of two services with one name the first one counts, as for getservbyname(3). False
// without memory.
static bool add_service(const char *name, const char *protocol, int port)
{
    char number[16];
    size_t tail = (size_t)snprintf(number, sizeof number, ", %d\n", port);
    size_t n = strlen(name) + (protocol ? 1 + strlen(protocol) : 0);
    struct service *s = malloc(sizeof *s + n + n + tail + COPY);

    if (!s)
        return false;
    snprintf(s->text, n + 1, "%s%s%s", name, protocol ? "/" : "",
             protocol ? protocol : "");
    if (find_service(s->text, n)) {
        free(s);
        return true;
    }
    s->hash = hash_of(s->text, n);
    s->key_length = (unsigned)n;
    s->answer_length = (unsigned)(n + tail);
    copy_printable(s->text + n, s->text, n);
    memcpy(s->text + n + n, number, tail);
    s->next = services[s->hash % BUCKETS];
    services[s->hash % BUCKETS] = s;
    return true;
}

static void free_services(struct service **table)
{
    for (size_t i = 0; table && i < BUCKETS; i++)
        for (struct service *s; (s = table[i]); free(s))
            table[i] = s->next;
    free(table);
}

// Reads the database into `services`; the number of services, or -1 without memory.
static int read_services(void)
{
    int found = 0;

    for (struct servent *e; errno = 0, (e = getservent()); found++) {
        bool tcp = strcmp(e->s_proto, "tcp") == 0;
        int port = ntohs((uint16_t)e->s_port);
        for (int i = -1; i < 0 || e->s_aliases[i]; i++) {
            const char *name = i < 0 ? e->s_name : e->s_aliases[i];
            if (!add_service(name, e->s_proto, port) ||
                (tcp && !add_service(name, NULL, port)))
                return -1;
        }
    }
    return errno == ENOMEM ? -1 : found;
}

int load_services(void)
{
    struct service **old = services;

    // The database's stream first: closed again, it leaves its place, on the heap's first
    // page, to the stream that a forked child opens. Elsewhere that would cost a page more.
    setservent(1);
    services = calloc(BUCKETS, sizeof *services);
    int found = services ? read_services() : -1;
    endservent();
    if (found < 0 && !old) {
        errno = ENOMEM; // whatever endservent has left there
        perror("the services cache");
        exit(1);
    }
    if (found <= 0 && old) {
        free_services(services);
        services = old;
    } else {
        free_services(old);
    }
    return found;
}

// The answer to one line, without its newline; returns its length.
static size_t answer_line(const char *line, size_t n, char *out)
{
    static const char unknown[] = ", unknown\n";
    static const char too_long[] = "error: the line is longer than 1023 bytes\n";

    if (n > LINE_MAX_BYTES) {
        memcpy(out, too_long, sizeof too_long - 1);
        return sizeof too_long - 1;
    }
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    const struct service *s = find_service(line, n);
    if (s) {
        const char *answer = s->text + s->key_length;
        for (size_t done = 0; done < s->answer_length; done += COPY)
            memcpy(out + done, answer + done, COPY);
        return s->answer_length;
    }
    copy_printable(out, line, n);
    memcpy(out + n, unknown, sizeof unknown - 1);
    return n + sizeof unknown - 1;
}

size_t answer_lines(struct lines *in, bool eof, char *out, size_t size)
{
    char *o = out, *full = out + size - ANSWER_MAX_BYTES, *newline;

    while (o <= full &&
           (newline = memchr(in->begin, '\n', (size_t)(in->end - in->begin)))) {
        if (!in->skipping)
            o += answer_line(in->begin, (size_t)(newline - in->begin), o);
        in->skipping = false;
        in->begin = newline + 1;
    }
    if (o > full)
        return (size_t)(o - out);

    size_t left = (size_t)(in->end - in->begin);
    if (left > LINE_MAX_BYTES || (eof && left > 0)) {
        if (!in->skipping)
            o += answer_line(in->begin, left, o);
        in->skipping = !eof;
        in->begin = in->end;
    }
    return (size_t)(o - out);
}

enum { BLOCK = 1 << 15, ANSWERS = 1 << 16 };

// The lecture opens one stream for both directions and reads it with fgets. On such a
// stream glibc forgets what it has read ahead as soon as it writes: of three requests in
// one packet it answers one. So the input is taken with read(2), a block at a time. What
// comes of it: a complete line is answered though half a line follows, and a block costs
// two system calls, however many lines are in it.
//
// The answers are put behind the block that was read, not into a buffer of their own: who asks
// a little touches one page of stack, and a stack costs what has been touched of it.
int handle_connection(FILE *fin, FILE *fout)
{
    char buffer[BLOCK + WORD + ANSWERS];
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
        char *out = in.end + WORD;
        for (size_t length; (length = answer_lines(&in, n == 0, out, ANSWERS)) > 0;)
            if (fwrite(out, 1, length, fout) != length)
                return -1;
    } while (n > 0);
    return 0;
}

// /proc/self/task has a link for each thread, and two. Sanitizers have threads of their own:
// make_listen notes how many there are at the start.
static nlink_t tasks(void)
{
    struct stat s;
    return stat("/proc/self/task", &s) == 0 ? s.st_nlink : 0;
}

static nlink_t tasks_at_start;
static pid_t parent; // who has called make_listen

_Noreturn void stop_accepting(int fd, unsigned long n, const char *what)
{
    fprintf(stderr, "connection %lu: %s: %s\n", n, what, strerror(errno));
    close(fd);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    while (tasks() > tasks_at_start) // detached threads cannot be waited for
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    exit(1);
}

void end_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1); // it has ended just before
}

int parse_port(int argc, char **argv)
{
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

int make_listen(int port)
{
    static int picked; // what port 0 became, so that serviceserver02 comes back to it
    const char *host = getenv("L23_HOST");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *a;
    char service[16], name[INET6_ADDRSTRLEN + 32];
    int yes = 1;

    tasks_at_start = tasks();
    parent = getpid();
    if (!host || !*host)
        host = "127.0.0.1"; // nobody from outside, unless L23_HOST says so
    snprintf(service, sizeof service, "%d", port ? port : picked);
    int e = getaddrinfo(host, service, &hints, &a);
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
            print_holder(port ? port : picked);
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
