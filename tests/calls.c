// calls.c: calls getservbyname(3) as a test tells it, to see what is behind the call
//
// usage: calls ACTION...       does, in order:
//   ask NAME[/PROTOCOL]        calls getservbyname, without a protocol for any; prints
//                              "NAME, PORT/PROTOCOL" and the aliases, or "NAME, unknown"
//   ask_r SIZE NAME[/PROTOCOL] calls getservbyname_r with a buffer of SIZE bytes, at an odd
//                              address; prints the same, or "error ERRNO"
//   threads N COUNT NAME       N threads call getservbyname COUNT times each, half of them
//                              as NAME/tcp, half as NAME/udp; prints how many were wrong
//   repeat N NAME              calls it N times; prints nothing
//   time SECONDS               calls it for one service of the database after the other, as
//                              often as fits; prints nanoseconds a call
//   fork                       from here on there are two of us
//   orphan                     the same, but the parent ends at once
//   close FD                   closes that descriptor
//   steal                      closes every descriptor from 3 on and puts a socket of its
//                              own in each place; `stolen` prints what was sent to it
//   say TEXT, until FILE       as tests/client does
// A call that changes errno although it succeeds adds "errno!" to its line.

#define _DEFAULT_SOURCE // getservbyname_r is not of POSIX
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void print(const char *name, const struct servent *e)
{
    const char *changed = errno != E2BIG ? " errno!" : "";
    if (e) {
        printf("%s, %d/%s", e->s_name, ntohs((uint16_t)e->s_port), e->s_proto);
        for (char **alias = e->s_aliases; *alias; alias++)
            printf(" %s", *alias);
        printf("%s\n", changed);
    } else {
        printf("%s, unknown%s\n", name, changed);
    }
    fflush(stdout);
}

// Cuts "NAME/PROTOCOL" in two; returns the protocol or NULL.
static char *protocol_of(char *name)
{
    char *slash = strchr(name, '/');
    if (slash)
        *slash++ = '\0';
    return slash;
}

static void ask(char *name)
{
    const char *protocol = protocol_of(name);
    errno = E2BIG;
    print(name, getservbyname(name, protocol));
}

static void ask_r(size_t size, char *name)
{
    const char *protocol = protocol_of(name);
    struct servent s, *e = &s;
    char *memory = malloc(size + 2);

    if (!memory)
        fail("malloc");
    memory[size + 1] = '!';
    errno = E2BIG;
    int error = getservbyname_r(name, protocol, &s, memory + 1, size, &e);
    if (memory[size + 1] != '!')
        printf("wrote past the end of the buffer\n");
    if (error)
        printf("error %s%s\n", error == ERANGE ? "ERANGE" : strerror(error),
               e ? " but a result" : "");
    else
        print(name, e);
    free(memory);
}

struct job {
    pthread_t thread;
    const char *name, *protocol;
    int port;
    long count, wrong;
};

static void *ask_often(void *arg)
{
    struct job *j = arg;
    for (long i = 0; i < j->count; i++) {
        struct servent *e = getservbyname(j->name, j->protocol);
        if (!e || ntohs((uint16_t)e->s_port) != j->port ||
            strcmp(e->s_proto, j->protocol) != 0 || strcmp(e->s_name, j->name) != 0)
            j->wrong++;
    }
    return NULL;
}

static void ask_in_threads(int n, long count, const char *name)
{
    struct job *jobs = calloc((size_t)n, sizeof *jobs);
    long wrong = 0;

    if (!jobs)
        fail("malloc");
    for (int i = 0; i < n; i++) {
        const char *protocol = i % 2 ? "udp" : "tcp";
        struct servent *e = getservbyname(name, protocol);
        jobs[i].name = name;
        jobs[i].protocol = protocol;
        jobs[i].port = e ? ntohs((uint16_t)e->s_port) : -1;
        jobs[i].count = count;
    }
    for (int i = 0; i < n; i++)
        if ((errno = pthread_create(&jobs[i].thread, NULL, ask_often, &jobs[i])))
            fail("pthread_create");
    for (int i = 0; i < n; i++) {
        pthread_join(jobs[i].thread, NULL);
        wrong += jobs[i].wrong;
    }
    printf("%ld calls, %ld wrong\n", n * count, wrong);
    free(jobs);
}

static void repeat(long n, const char *name)
{
    while (n-- > 0)
        if (!getservbyname(name, "tcp"))
            fail(name);
}

static void time_calls(double seconds)
{
    enum { MOST = 1000 };
    char *names[MOST], *protocols[MOST];
    struct timespec begin, now;
    double passed;
    long calls = 0, n = 0;

    for (struct servent *e; n < MOST && (e = getservent()); n++)
        if (!(names[n] = strdup(e->s_name)) || !(protocols[n] = strdup(e->s_proto)))
            fail("malloc");
    endservent(); // and so each call is on its own
    if (n == 0)
        fail("the services database");

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 16; i++, calls++)
            if (!getservbyname(names[calls % n], protocols[calls % n]))
                fail(names[calls % n]);
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (double)(now.tv_sec - begin.tv_sec) +
                 (double)(now.tv_nsec - begin.tv_nsec) / 1e9;
    } while (passed < seconds);
    printf("%.0f\n", passed / (double)calls * 1e9);
    while (n-- > 0) {
        free(names[n]);
        free(protocols[n]);
    }
}

static int thief[2] = {-1, -1};

static void steal(void)
{
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, thief) < 0)
        fail("socketpair");
    for (int fd = thief[1] + 1; fd < 64; fd++)
        if (dup2(thief[1], fd) < 0)
            fail("dup2");
}

static void print_stolen(void)
{
    char text[1024];
    ssize_t n = recv(thief[0], text, sizeof text, MSG_DONTWAIT);
    printf("stolen: %.*s\n", n > 0 ? (int)n : 0, text);
}

static void wait_until(const char *file)
{
    for (int i = 0; access(file, F_OK) != 0; i++) {
        if (i == 6000)
            fail("until");
        poll(NULL, 0, 10);
    }
}

int main(int argc, char **argv)
{
    pid_t child = 0;
    int status = 0;

    for (int i = 1; i < argc; i++) {
        const char *action = argv[i];
        int left = argc - 1 - i;

        if (strcmp(action, "ask") == 0 && left >= 1) {
            ask(argv[++i]);
        } else if (strcmp(action, "ask_r") == 0 && left >= 2) {
            ask_r(strtoul(argv[i + 1], NULL, 10), argv[i + 2]);
            i += 2;
        } else if (strcmp(action, "threads") == 0 && left >= 3) {
            ask_in_threads(atoi(argv[i + 1]), atol(argv[i + 2]), argv[i + 3]);
            i += 3;
        } else if (strcmp(action, "repeat") == 0 && left >= 2) {
            repeat(atol(argv[i + 1]), argv[i + 2]);
            i += 2;
        } else if (strcmp(action, "time") == 0 && left >= 1) {
            time_calls(atof(argv[++i]));
        } else if (strcmp(action, "fork") == 0 || strcmp(action, "orphan") == 0) {
            fflush(stdout);
            child = fork();
            if (child < 0)
                fail("fork");
            if (child > 0 && *action == 'o')
                _exit(0);
        } else if (strcmp(action, "close") == 0 && left >= 1) {
            close(atoi(argv[++i]));
        } else if (strcmp(action, "steal") == 0) {
            steal();
        } else if (strcmp(action, "stolen") == 0) {
            print_stolen();
        } else if (strcmp(action, "say") == 0 && left >= 1) {
            puts(argv[++i]);
        } else if (strcmp(action, "until") == 0 && left >= 1) {
            wait_until(argv[++i]);
        } else {
            fprintf(stderr, "calls: what is '%s'?\n", action);
            return 2;
        }
        fflush(stdout);
    }
    if (child > 0 && (waitpid(child, &status, 0) < 0 || status != 0))
        return 1;
    return 0;
}
