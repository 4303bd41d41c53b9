// connection.c: see connection.h

#include "connection.h"
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

// One connection runs at a time, so all of them share these. An answer is at most ten times
// as long as its question (", unknown" and a newline for an empty line), so that the
// answers to one block surely fit.
enum { BLOCK = 1 << 14 };
static char in[LINE_MAX_BYTES + BLOCK + PADDING];
static char out[10 * (LINE_MAX_BYTES + BLOCK) + ANSWER_MAX_BYTES];

void connection_init(struct connection *c, int fd)
{
    *c = (struct connection){.fd = fd, .events = POLLIN};
}

void connection_close(struct connection *c)
{
    close(c->fd);
    free(c->line);
    free(c->pending);
}

// Keeps the n bytes at `rest` for the next run; false without memory.
static bool keep_line(struct connection *c, const char *rest, size_t n)
{
    if (n != c->kept) {
        free(c->line);
        c->line = n ? malloc(n) : NULL;
        c->kept = (unsigned)n;
    }
    if (n && c->line)
        memcpy(c->line, rest, n);
    return !n || c->line;
}

// Sends what the socket takes; the number of bytes, or -1 on an error.
static ssize_t send_some(struct connection *c, const char *answers, size_t n)
{
    ssize_t sent = send(c->fd, answers, n, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    c->progress = c->progress || sent > 0;
    return sent;
}

static short run_pending(struct connection *c)
{
    ssize_t sent = send_some(c, c->pending + c->begin, c->end - c->begin);

    if (sent < 0)
        return 0;
    c->begin += (unsigned)sent;
    if (c->begin < c->end)
        return POLLOUT;
    free(c->pending);
    c->pending = NULL;
    return c->ended ? 0 : POLLIN;
}

static short run_answers(struct connection *c, size_t n)
{
    ssize_t sent = n > 0 ? send_some(c, out, n) : 0;

    if (sent < 0)
        return 0;
    if ((size_t)sent == n)
        return c->ended ? 0 : POLLIN;
    c->begin = 0;
    c->end = (unsigned)(n - (size_t)sent);
    c->pending = malloc(c->end);
    if (!c->pending)
        return 0;
    memcpy(c->pending, out + sent, c->end);
    return POLLOUT;
}

static short run_questions(struct connection *c)
{
    ssize_t n = recv(c->fd, in + c->kept, BLOCK, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? POLLIN : 0;
    if (c->kept)
        memcpy(in, c->line, c->kept);
    struct lines lines = {in, in + c->kept + n, c->skipping};
    c->ended = n == 0;
    size_t length = answer_lines(&lines, c->ended, out, sizeof out);
    c->skipping = lines.skipping;
    c->progress = length > 0;
    if (!keep_line(c, lines.begin, (size_t)(lines.end - lines.begin)))
        return 0;
    return run_answers(c, length);
}

int connection_run(struct connection *c)
{
    c->progress = false;
    c->events = c->pending ? run_pending(c) : run_questions(c);
    return c->events;
}

int raise_descriptor_limit(void)
{
    struct rlimit limit = {1024, 1024};
    const rlim_t most = 1 << 20;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur < most ? (int)limit.rlim_cur : (int)most;
}
