// serviceremote.c: getservbyname() becomes a remote call
//
// Extends any program:  LD_PRELOAD=$PWD/serviceremote.so PROGRAM
// New:    its getservbyname(3) and getservbyname_r(3) are questions to the server at
//         L23_HOST (127.0.0.1 unless set), port L23_PORT (6168 unless set); the program
//         knows nothing of it.
// See:    make bench-call
// Breaks: a call can now fail half-way. Without a server, or with one that is silent for a
//         second, one line on stderr says so, once, and the C library answers as ever.
//
// The server tells the port alone: s_name is the name as asked (an alias stays one) and
// s_aliases is empty. Protocol NULL, any, is asked as tcp, udp, sctp, ddp: the first that
// knows the name counts. What no request can carry (a space, '/', not ASCII, over 250
// bytes) is answered locally, and so is what the C library asks itself, as in
// getaddrinfo(3). What getservbyname returns is its thread's own, until the next call.

#define _GNU_SOURCE // RTLD_NEXT: the function of the same name that this one hides

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "l23/call.h"
#include "l23/common.h"

#define EXPORT __attribute__((visibility("default"))) // the rest of us stays unseen

enum { REQUEST_BYTES = 256 };
enum { UNKNOWN = -1, NO_ANSWER = -2 }; // in place of a port

// From a call to a line of text: returns its length, or 0 when no line can carry it.
static size_t make_request(char *request, const char *name, const char *protocol)
{
    int n = snprintf(request, REQUEST_BYTES, "%s/%s\n", name, protocol);
    if (n >= REQUEST_BYTES || strchr(request, '/') != strrchr(request, '/'))
        return 0;
    for (const char *p = request; p < request + n - 1; p++)
        if (*p <= ' ' || *p > '~')
            return 0;
    return (size_t)n;
}

// Asks the server: a port, UNKNOWN, or NO_ANSWER.
static int ask(const char *name, const char *protocol)
{
    char request[REQUEST_BYTES], answer[ANSWER_MAX_BYTES];
    static atomic_flag told = ATOMIC_FLAG_INIT;
    size_t n = make_request(request, name, protocol);
    int port = NO_ANSWER;

    if (n == 0)
        return NO_ANSWER;
    if (call_server(request, n, answer, sizeof answer) < 0) {
        if (!atomic_flag_test_and_set(&told))
            fprintf(stderr, "serviceremote: no server answers (%s): local answers\n",
                    strerror(errno));
        return NO_ANSWER;
    }
    if (strcmp(answer + n - 1, ", unknown") == 0)
        return UNKNOWN;
    if (sscanf(answer + n - 1, ", %d", &port) != 1 || port < 0 || port > UINT16_MAX)
        return NO_ANSWER;
    return port;
}

// As getservbyname_r(3), but -1 when the C library has to answer. Keeps errno.
static int look_up(const char *name, const char *protocol, struct servent *s,
                   char *buffer, size_t size, struct servent **result)
{
    static const char *const any[] = {"tcp", "udp", "sctp", "ddp", NULL};
    const char *const *p = protocol ? (const char *const[]){protocol, NULL} : any;
    int before = errno, port;

    do
        port = ask(name, *p);
    while (port == UNKNOWN && *++p);
    errno = before;
    *result = NULL;
    if (port < 0)
        return port == UNKNOWN ? 0 : -1;

    // The caller's buffer: the empty list of aliases, aligned, then the two names.
    size_t pad = -(uintptr_t)buffer % sizeof(char *);
    size_t n = strlen(name) + 1, m = strlen(*p) + 1;
    if (size < pad + sizeof(char *) + n + m)
        return ERANGE;
    s->s_aliases = (char **)(void *)(buffer + pad);
    s->s_aliases[0] = NULL;
    s->s_name = memcpy(s->s_aliases + 1, name, n);
    s->s_proto = memcpy(s->s_name + n, *p, m);
    s->s_port = htons((uint16_t)port);
    *result = s;
    return 0;
}

typedef int function_r(const char *, const char *, struct servent *, char *, size_t,
                       struct servent **);

EXPORT int getservbyname_r(const char *name, const char *protocol, struct servent *s,
                           char *buffer, size_t size, struct servent **result)
{
    function_r *local;
    int e = look_up(name, protocol, s, buffer, size, result);
    if (e >= 0)
        return e;
    *(void **)&local = dlsym(RTLD_NEXT, "getservbyname_r");
    return local(name, protocol, s, buffer, size, result);
}

EXPORT struct servent *getservbyname(const char *name, const char *protocol)
{
    static _Thread_local char buffer[4096]; // for more aliases than any service has
    static _Thread_local struct servent s;
    struct servent *result = NULL;
    int e = getservbyname_r(name, protocol, &s, buffer, sizeof buffer, &result);
    if (e != 0)
        errno = e;
    return result;
}
