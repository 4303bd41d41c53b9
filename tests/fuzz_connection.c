// fuzz_connection.c: a libFuzzer harness for l23/connection.c and the rules for lines
//
// The first bytes of an input say how the rest is cut: by the client that sends it, by the
// client's reading of the answers, by the size of the socket's buffers, and whether the
// client leaves early. The rest is what the client sends. The answers have to be those of
// `expect`, the rules once more, a byte at a time and independent of l23/services.c; those of
// handle_connection over a pipe as well. `make fuzz` builds and runs it.

#define _GNU_SOURCE // F_SETPIPE_SZ
#include "../l23/common.h"
#include "../l23/connection.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 8, MOST_INPUT = 1 << 16, MOST_ANSWERS = 11 * MOST_INPUT + 64 };

static char wanted[MOST_ANSWERS], found[MOST_ANSWERS];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "fuzz_connection: %s\n", what);
    abort();
}

// The rules.

static size_t put(char *out, const char *text)
{
    memcpy(out, text, strlen(text));
    return strlen(text);
}

// Every name with its protocol, in the order of the database: the first that fits counts.
static struct {
    char *name, *protocol;
    int port;
} known[4096];
static size_t knowns;

static void know(const char *name, const char *protocol, int port)
{
    if (knowns == sizeof known / sizeof *known)
        fail("the services database is too large");
    known[knowns].name = strdup(name);
    known[knowns].protocol = strdup(protocol);
    known[knowns++].port = port;
}

static int port_of(const char *name, const char *protocol)
{
    for (size_t i = 0; *name && i < knowns; i++)
        if (*known[i].name == *name && strcmp(known[i].name, name) == 0 &&
            strcmp(known[i].protocol, protocol) == 0)
            return known[i].port;
    return -1;
}

static size_t expect_line(const char *line, size_t n, char *out)
{
    char name[LINE_MAX_BYTES + 1], protocol[LINE_MAX_BYTES + 1] = "tcp", answer[32];
    size_t slash, length = 0;
    int port = -1;

    if (n > 1023)
        return put(out, "error: the line is longer than 1023 bytes\n");
    while (n > 0 && strchr(" \t\r\n\v\f", line[n - 1]) && line[n - 1])
        n--;
    for (slash = 0; slash < n && line[slash] != '/'; slash++)
        ;
    memcpy(name, line, slash);
    name[slash] = 0;
    if (slash < n) {
        memcpy(protocol, line + slash + 1, n - slash - 1);
        protocol[n - slash - 1] = 0;
    }
    if (!memchr(line, 0, n))
        port = port_of(name, protocol);
    for (; length < n; length++)
        out[length] = line[length] >= ' ' && line[length] <= '~' ? line[length] : '?';
    snprintf(answer, sizeof answer, ", %d\n", port);
    return length + put(out + length, port < 0 ? ", unknown\n" : answer);
}

static size_t expect(const char *in, size_t n, char *out)
{
    size_t begin = 0, length = 0;
    for (size_t i = 0; i < n; i++)
        if (in[i] == '\n') {
            length += expect_line(in + begin, i - begin, out + length);
            begin = i + 1;
        }
    if (begin < n)
        length += expect_line(in + begin, n - begin, out + length);
    return length;
}

// What the fuzzer decides: a few bytes that turn around for ever.

static uint8_t head[HEAD];
static unsigned turn;

static size_t choose(size_t most)
{
    // Few, some, or all: the small numbers are where the corners are. No more than some
    // hundred steps, though, or there is time for few inputs.
    uint8_t byte = head[turn++ % HEAD];
    size_t n = byte < 128 ? byte % 16 : byte < 240 ? (size_t)(byte - 127) * 37 : most;
    if (byte % 16 > 0)
        n += most / 128;
    return n < most ? n : most;
}

// handle_connection, from a pipe to a file.

static size_t over_a_pipe(const char *in, size_t n)
{
    static FILE *file;
    int p[2];
    size_t sent = 0;

    if (!file)
        file = tmpfile();
    if (!file || pipe(p) < 0)
        fail("no pipe");
    rewind(file);
    if (ftruncate(fileno(file), 0) < 0)
        fail("no file");
    // A pipe holds all of it: the input is no longer than that, see below.
    if (fcntl(p[1], F_SETPIPE_SZ, 2 * MOST_INPUT) < 0)
        fail("no room in the pipe");
    while (sent < n)
        sent += (size_t)write(p[1], in + sent, n - sent);
    close(p[1]);
    FILE *fin = fdopen(p[0], "r");
    if (!fin || handle_connection(fin, file) < 0)
        fail("handle_connection fails");
    fclose(fin);
    rewind(file);
    clearerr(file);
    ssize_t got = pread(fileno(file), found, sizeof found, 0);
    return got < 0 ? 0 : (size_t)got;
}

// The connection.

static struct connection c;

static void check_connection(int events)
{
    if (events != 0 && events != POLLIN && events != POLLOUT)
        fail("it waits for something strange");
    if (events != c.events)
        fail("it returns something else than it notes");
    if (c.kept > LINE_MAX_BYTES || (c.kept != 0) != (c.line != NULL))
        fail("it keeps more than a line, or nothing of one");
    if ((c.pending != NULL) != (c.begin < c.end) && events != 0)
        fail("it has pending answers and has not");
    if (c.pending && events == POLLIN)
        fail("it reads on from a client that does not take its answers");
}

// Runs it when it is ready, as a loop would, or, as 09 does, when it is not. Returns whether
// it is over.
static bool run(bool asks_always)
{
    struct pollfd p = {.fd = c.fd, .events = c.events};
    if (!asks_always && poll(&p, 1, 0) == 0)
        return false;
    int events = connection_run(&c);
    check_connection(events);
    return events == 0;
}

static void talk(const char *in, size_t n, size_t length)
{
    bool asks_always = head[0] & 1, leaves = (head[0] & 6) == 6, half = false,
         over = false;
    size_t sent = 0, got = 0, quiet = 0, leave_at = leaves ? choose(n) : n;
    int s[2], small = 1 + head[1] * 64;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) < 0)
        fail("no socket pair");
    if (head[0] & 8)
        setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    connection_init(&c, s[0]);
    while (!over) {
        size_t before = sent + got;
        if (got > length)
            fail("there are more answers than questions");
        if (sent < leave_at) {
            ssize_t w = send(s[1], in + sent, choose(leave_at - sent), MSG_NOSIGNAL);
            sent += w > 0 ? (size_t)w : 0;
        } else if (leaves) {
            break;
        } else if (!half) {
            half = shutdown(s[1], SHUT_WR) == 0;
        }
        for (size_t runs = choose(3); runs > 0 && !over; runs--)
            over = run(asks_always);
        ssize_t r = recv(s[1], found + got, choose(length + 1 - got), 0);
        got += r > 0 ? (size_t)r : 0;
        quiet = sent + got > before || !half ? 0 : quiet + 1;
        if (quiet > 100) {
            // All zeroes: nobody chooses to do anything. Then let all happen.
            for (unsigned i = 0; i < HEAD; i++)
                head[i] = 255;
            if (quiet > 200)
                fail("nothing goes on any more");
        }
        if (!half && sent + got == before)
            head[turn % HEAD]++;
    }
    if (leaves) {
        close(s[1]);
        for (int i = 0; !over && i < 100000; i++)
            over = run(true);
        if (!over)
            fail("it is not over when the client has left");
    }
    connection_close(&c);
    if (leaves) {
        if (got > length || memcmp(found, wanted, got) != 0)
            fail("the first answers are wrong");
        return;
    }
    for (ssize_t r; (r = recv(s[1], found + got, sizeof found - got, 0)) > 0;)
        got += (size_t)r;
    close(s[1]);
    if (got != length || memcmp(found, wanted, got) != 0)
        fail("the answers are wrong");
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setservent(1);
    for (struct servent *e; (e = getservent());) {
        know(e->s_name, e->s_proto, ntohs((uint16_t)e->s_port));
        for (char **alias = e->s_aliases; *alias; alias++)
            know(*alias, e->s_proto, ntohs((uint16_t)e->s_port));
    }
    endservent();
    load_services();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size - HEAD > MOST_INPUT)
        return 0;
    memcpy(head, data, HEAD);
    turn = 2;

    // Memory of exactly this size: whoever reads past it is caught.
    size_t n = size - HEAD;
    char *in = malloc(n + 1);
    if (!in)
        return 0;
    memcpy(in, data + HEAD, n);
    size_t length = expect(in, n, wanted);
    talk(in, n, length);
    if (head[0] & 16 &&
        (over_a_pipe(in, n) != length || memcmp(found, wanted, length) != 0))
        fail("handle_connection answers wrongly");
    free(in);
    return 0;
}
