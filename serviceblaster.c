// serviceblaster.c: many clients at once: who is connected, and who is answered?
//
// One thread, one epoll loop. Every connection sends its questions, compares what comes
// back byte for byte with what the machine's own services database says, and is counted
// under the one way in which it ended. `serviceblaster --help` lists the options.
//
// A burst must not make failures of its own: a listening socket's queue is short, and a
// handshake that finds it full is tried again only a second later. So no more than BURST
// connections are begun and not answered at once. Where answers do not come at all, it
// opens more and more nevertheless: all are attempted, and the truth comes out.

#define _GNU_SOURCE // for IP_BIND_ADDRESS_NO_PORT

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "l23/common.h"

static const char help[] =
    "usage: serviceblaster [OPTIONS] CONNECTIONS\n"
    "Opens CONNECTIONS at once, asks on each, checks the answers, closes; reports.\n"
    "\n"
    "where     -H HOST -p PORT         127.0.0.1 and 6168 unless given\n"
    "what      -f FILE      names to ask, one a line; else the services database's\n"
    "          -q QUESTION -e ANSWER   another server's; \\r \\n \\t \\\\ are known\n"
    "how much  -n REQUESTS  on each connection (1, or DEPTH)\n"
    "          -d SECONDS   instead: ask on and on, so long once all are open\n"
    "          -P DEPTH     requests in flight on each connection (1)\n"
    "          -t MS        think so long before asking again\n"
    "          -c           churn: a new connection for every request\n"
    "          -b BURST     begun and not answered yet, at once, unless stuck (64)\n"
    "keep      -k           keep connections open till the end\n"
    "          -s SECONDS   keep; when all are open, hold them so long (a signal\n"
    "                       ends that), then ask once more on each\n"
    "          -i IDLE      first open so many more and hold them, silent\n"
    "          -C SOURCES   come from so many addresses: 127.0.0.1, .2 ... (by need)\n"
    "          -w SECONDS   give up a wait for the handshake or for an answer (5)\n"
    "report    --tsv        one a line: key, tab, value\n"
    "          -T FILE      timeline: when each connection began, was connected,\n"
    "                       first answered, closed; seconds from the start, or -\n"
    "\n"
    "Exit status: 0 all were answered, and rightly; 1 not all; 2 nothing was begun:\n"
    "a wrong option, a missing file, more connections than descriptors allowed.\n";

enum {
    BURST = 64,           // with PROBE, not more than the lecture's backlog: 100
    PROBE = 32,           // every so many-th idle connection asks, once
    DATABASE_NAMES = 512, // enough to ask, and few enough for the CPU's cache
    SPARE_FILES = 16,     // descriptors for other things; half of them may be taken
    READY = 256,          // connections taken from epoll at a time
    MOST = 100000000,     // of connections, idle ones, requests on each
    STEPS = 64,           // of the histogram, for each doubling: 1.6 percent
};

// Times are in nanoseconds.
static const uint64_t SECOND = 1000000000, MS = 1000000, NEVER = UINT64_MAX;
static const uint64_t STALL = 250000000; // so long without any answer: open more
static const uint64_t TICK = 50000000;   // how often waits are looked at

static struct {
    char *host, *port, *names, *question, *answer, *timeline;
    uint64_t requests, duration, think, hold, wait;
    unsigned connections, idle, depth, burst, sources;
    bool churn, keep, tsv;
} option = {"127.0.0.1", "6168", .depth = 1, .burst = BURST, .wait = 5000000000};

// Texts one behind the other: text i is the bytes from at[i] to at[i + 1]. After the last
// of them come the first DEPTH again: any DEPTH in a row are in one piece.
struct texts {
    char *bytes;
    unsigned *at;
};

static struct texts questions, answers; // to questions[i] belongs answers[i]
static unsigned texts;                  // how many there are

enum outcome { ANSWERED, REFUSED, RESET, CLOSED, TIMED_OUT, WRONG, FAILED, OUTCOMES };

// One connection; with churn, the place of one after another.
struct connection {
    uint64_t began, connected, answered; // when; 0: not yet
    uint64_t left;                       // questions it has still to ask
    uint64_t wake;                       // when it has thought enough
    struct connection *next;             // the one that wakes next
    unsigned long number;                // it is the so many-th
    int fd;                              // -1: closed
    unsigned events;                     // what epoll watches for
    unsigned out, owed;   // from where in questions.bytes, and how much, is to be sent
    unsigned answer, got; // which answer comes next, and how much of it has come
    unsigned inflight;    // questions asked and not answered
    unsigned oldest;      // where in its ring of times the oldest of these has its own
    bool idle;
    bool opening;  // begun, and not answered for the first time yet
    bool finished; // answered to the end, and kept
};

static struct connection *connections; // the busy ones, then the idle ones
static uint64_t *asked;                // when: a ring of DEPTH times for each connection
static struct addrinfo *server;
static FILE *timeline;
static int epoll;

static unsigned begun, idle_begun;  // how many of each have been begun
static unsigned connecting;         // how many have no handshake yet
static unsigned opening, window;    // how many are `opening`, and how many may be
static unsigned active;             // how many busy ones have something still to do
static uint64_t last_progress;      // when `opening` fell, or the window grew
static struct connection *thinking; // a queue: the next to wake is the first
static struct connection **thinking_end = &thinking;

static struct {
    unsigned long attempted, connected, outcome[OUTCOMES];
    unsigned long connect_timed_out; // so many of those that timed out
    unsigned long lost, again;       // kept ones that went; that were asked once more
    unsigned long idle;
    char first_failure[128];
} tally;

// What is measured begins, with -d, when all are open, and ends at the deadline.
static uint64_t started, measured_from = UINT64_MAX, measured_until; // 0: it goes on
static uint64_t deadline = UINT64_MAX;
static uint64_t answer_count, latency_count[64 * STEPS], slowest;

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

// Prints why nothing can begin, and exits 2.
__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    fputs("serviceblaster: ", stderr);
    vfprintf(stderr, why, arguments);
    fputs("\n`serviceblaster --help` lists the options.\n", stderr);
    va_end(arguments);
    exit(2);
}

static void *allocate(void *old, size_t count, size_t size)
{
    void *p = old ? realloc(old, count * size) : calloc(count, size);
    if (!p)
        refuse("%zu times %zu bytes of memory: %s", count, size, strerror(errno));
    return p;
}

// The line that tick() shows, on a terminal only, makes room for another one.
static void clear_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

// ---- what is asked, and what has to come back -----------------------------------------

// Makes room for one more text of n bytes, which the caller writes.
static char *new_text(struct texts *t, unsigned i, size_t n)
{
    size_t at = i > 0 ? t->at[i] : 0;

    if (at + n > INT32_MAX)
        refuse("the questions, or their answers, are longer than 2 GiB");
    t->bytes = allocate(t->bytes, at + n + 1, 1);
    t->at = allocate(t->at, i + 2, sizeof *t->at);
    t->at[i] = (unsigned)at;
    t->at[i + 1] = (unsigned)(at + n);
    return t->bytes + at;
}

static void add_question(const char *question, size_t n, const char *answer, size_t m)
{
    memcpy(new_text(&questions, texts, n), question, n);
    memcpy(new_text(&answers, texts, m), answer, m);
    texts++;
}

// Adds the first DEPTH texts once more behind the last one.
static void repeat_texts(struct texts *t)
{
    for (unsigned i = 0; i < option.depth; i++) {
        size_t n = t->at[i + 1] - t->at[i];
        char *copy = new_text(t, texts + i, n);
        memcpy(copy, t->bytes + t->at[i], n);
    }
}

// The answer that the machine's own database gives to NAME[/PROTOCOL], as a server of the
// lecture would word it; returns its length. `answer` has room for ANSWER_MAX_BYTES.
static size_t right_answer(const char *line, size_t n, char *answer)
{
    char name[LINE_MAX_BYTES + 1], shown[LINE_MAX_BYTES + 1];

    if (n > LINE_MAX_BYTES)
        return (size_t)sprintf(answer, "error: the line is longer than %d bytes\n",
                               LINE_MAX_BYTES);
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++) {
        name[i] = line[i];
        shown[i] = isprint((unsigned char)line[i]) ? line[i] : '?';
    }
    name[n] = shown[n] = '\0';

    bool whole = strlen(name) == n; // a name with a NUL byte in it is nobody's
    char *slash = strrchr(name, '/');
    if (slash)
        *slash = '\0';
    struct servent *s = whole ? getservbyname(name, slash ? slash + 1 : "tcp") : NULL;
    if (s)
        return (size_t)sprintf(answer, "%s, %d\n", shown, ntohs((uint16_t)s->s_port));
    return (size_t)sprintf(answer, "%s, unknown\n", shown);
}

// Adds the question that is `line`, n bytes and room for a newline behind them.
static void add_name(char *line, size_t n)
{
    char answer[ANSWER_MAX_BYTES];
    size_t m = right_answer(line, n, answer);
    line[n] = '\n';
    add_question(line, n + 1, answer, m);
}

static void add_names_of_file(const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *line = NULL;
    size_t size = 0;

    for (ssize_t n; f && (n = getline(&line, &size, f)) >= 0;) {
        if (n > 0 && line[n - 1] == '\n')
            n--;
        add_name(line, (size_t)n); // getline has left room: there was a newline or a NUL
    }
    if (!f || ferror(f))
        refuse("%s: %s", path, strerror(errno));
    if (texts == 0)
        refuse("%s: there is no name in it", path);
    free(line);
    fclose(f);
}

static void add_names_of_database(void)
{
    char *names[DATABASE_NAMES];
    unsigned count = 0;

    setservent(1);
    for (struct servent *e; (e = getservent());) {
        const char *name = e->s_name, *tcp = strcmp(e->s_proto, "tcp") == 0 ? "" : NULL;
        for (char **alias = e->s_aliases; name && count < DATABASE_NAMES; name = *alias++)
            if (asprintf(&names[count++], "%s%s%s", name, tcp ? tcp : "/",
                         tcp ? tcp : e->s_proto) < 0)
                refuse("%s", strerror(errno));
    }
    endservent();
    for (unsigned i = 0; i < count; i++) {
        add_name(names[i], strlen(names[i]));
        free(names[i]);
    }
    if (count == 0) // no database: then everything is unknown
        add_name((char[]){"discard"}, strlen("discard"));
}

static const char letters[] = "rnt\\", meanings[] = "\r\n\t\\"; // \r is CR, and so on

// Replaces what \r \n \t \\ stand for in the text; returns how long it is then.
static size_t unescape(char *text)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        const char *l = *in == '\\' && in[1] ? strchr(letters, in[1]) : NULL;
        *out++ = l ? meanings[l - letters] : *in;
        in += l != NULL;
    }
    return (size_t)(out - text);
}

static void prepare_questions(void)
{
    if (option.question) {
        size_t n = unescape(option.question), m = unescape(option.answer);
        add_question(option.question, n, option.answer, m);
    } else if (option.names) {
        add_names_of_file(option.names);
    } else {
        add_names_of_database();
    }

    repeat_texts(&questions);
    repeat_texts(&answers);
}

// ---- measuring ------------------------------------------------------------------------

// The histogram's steps are as fine as the latency is small: all up to 2 x STEPS ns have
// one of their own, and every doubling from there on has STEPS of them.
static unsigned step_of(uint64_t ns)
{
    unsigned doublings = ns < 2 * STEPS ? 0 : 57 - (unsigned)__builtin_clzll(ns);
    return doublings * STEPS + (unsigned)(ns >> doublings);
}

// The latency, in ms, that `part` of the answers did not exceed.
static double percentile(double part)
{
    uint64_t seen = 0;
    unsigned i = 0;

    while (i < 64 * STEPS - 1 && (seen += latency_count[i]) < part * (double)answer_count)
        i++;
    unsigned doublings = i < 2 * STEPS ? 0 : i / STEPS - 1;
    uint64_t ns = ((uint64_t)(i - doublings * STEPS + 1) << doublings) - 1;
    return (double)(ns < slowest ? ns : slowest) / (double)MS;
}

static uint64_t *times_of(const struct connection *c)
{
    return asked + (size_t)(c - connections) * option.depth;
}

// Counts the `done` oldest questions of c as answered at `now`, and forgets their times.
static void measure(struct connection *c, unsigned done, uint64_t now)
{
    const uint64_t *ring = times_of(c);
    bool counts = !c->idle && now >= measured_from && now < deadline && !measured_until;

    for (unsigned i = 0; i < done; i++) {
        uint64_t ns = now - ring[c->oldest];
        c->oldest = c->oldest + 1 < option.depth ? c->oldest + 1 : 0;
        if (!counts)
            continue;
        latency_count[step_of(ns)]++;
        slowest = ns > slowest ? ns : slowest;
    }
    answer_count += counts ? done : 0;
    if (!c->answered)
        c->answered = now;
}

// ---- one connection -------------------------------------------------------------------

static bool wants_more(const struct connection *c, uint64_t now)
{
    return c->left > 0 && now < deadline;
}

static void no_longer_opening(struct connection *c, uint64_t now)
{
    if (!c->opening)
        return;
    c->opening = false;
    opening--;
    window = option.burst;
    last_progress = now;
}

static void hang_up(struct connection *c)
{
    uint64_t times[] = {c->began, c->connected, c->answered, now_ns()};

    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->events = 0;
    if (!timeline || c->idle)
        return;
    fprintf(timeline, "%lu", c->number);
    for (int i = 0; i < 4; i++)
        if (times[i])
            fprintf(timeline, "\t%.6f", (double)(times[i] - started) / (double)SECOND);
        else
            fputs("\t-", timeline);
    putc('\n', timeline);
}

// c has nothing to do now, but will have when it has thought.
static void think(struct connection *c, uint64_t now)
{
    c->wake = now + option.think;
    c->next = NULL;
    *thinking_end = c;
    thinking_end = &c->next;
}

// This connection of a busy place has ended, or is kept with nothing more to do.
static void leave(struct connection *c, uint64_t now)
{
    if (option.churn && wants_more(c, now))
        think(c, now);
    else
        active--;
}

// All that was asked on c is answered, and it asks no more.
static void finish(struct connection *c, uint64_t now)
{
    tally.outcome[ANSWERED]++;
    c->finished = option.keep;
    if (!c->finished)
        hang_up(c);
    leave(c, now);
}

static enum outcome outcome_of(int error)
{
    static const int errors[] = {[REFUSED] = ECONNREFUSED,
                                 [RESET] = ECONNRESET,
                                 [CLOSED] = 0,
                                 [TIMED_OUT] = ETIMEDOUT,
                                 [WRONG] = EBADMSG};
    enum outcome outcome = REFUSED;
    while (outcome < FAILED && errors[outcome] != error)
        outcome++;
    return outcome;
}

// Notes the first failure of all, for the report.
static void note_failure(const struct connection *c, int error)
{
    const char *when = !c->connected ? "connecting"
                       : c->inflight ? "waiting for an answer"
                       : c->finished ? "kept open"
                                     : "between two questions";
    const char *what = error == 0         ? "the server closed it"
                       : error == EBADMSG ? "wrong answer"
                                          : strerror(error);
    if (!*tally.first_failure)
        snprintf(tally.first_failure, sizeof tally.first_failure,
                 "%sconnection %lu, %s: %s", c->idle ? "idle " : "", c->number, when,
                 what);
}

// Ends c, which has failed with `error` as errno has it: 0 for an end of file that came too
// early, EBADMSG for a wrong answer.
static void fail(struct connection *c, int error)
{
    bool was_active = !c->idle && (!c->finished || c->inflight > 0);
    uint64_t now = now_ns();

    note_failure(c, error);
    if (c->idle) {
        tally.idle -= c->connected != 0;
    } else if (c->finished) {
        tally.lost++;
    } else {
        tally.outcome[outcome_of(error)]++;
        tally.connect_timed_out += error == ETIMEDOUT && !c->connected;
    }
    connecting -= !c->connected;
    no_longer_opening(c, now);
    hang_up(c);
    c->inflight = 0;
    if (was_active)
        leave(c, now);
}

// The kernel has taken what c sends, so the handshake is over: at `now`.
static void connected(struct connection *c, uint64_t now)
{
    c->connected = now;
    for (unsigned i = 0; i < c->inflight; i++) // only now are they sent
        times_of(c)[i] = now;
    connecting--;
    tally.idle += c->idle;
    tally.connected += !c->idle;
    if (c->inflight == 0)
        no_longer_opening(c, now);
}

// Sends what c owes, as far as the kernel takes it. This also tells whether c is connected:
// until then the kernel takes nothing, not even no bytes.
static void send_owed(struct connection *c)
{
    uint64_t now = c->connected ? 0 : now_ns();
    ssize_t n = send(c->fd, questions.bytes + c->out, c->owed, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        fail(c, errno == EPIPE ? ECONNRESET : errno);
        return;
    }
    if (n >= 0 && !c->connected && connected_to_itself(c->fd)) {
        fail(c, ECONNREFUSED);
        return;
    }
    if (n >= 0 && !c->connected)
        connected(c, now);
    if (n > 0) {
        c->owed -= (unsigned)n;
        c->out = (c->out + (unsigned)n) % questions.at[texts];
    }

    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (!c->connected || c->owed > 0)
        e.events |= EPOLLOUT;
    if (e.events != c->events &&
        epoll_ctl(epoll, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) < 0)
        fail(c, errno);
    else
        c->events = e.events;
}

// Notes the next `many` questions of c, or as many as it has left, as asked at `now`.
static void note_questions(struct connection *c, uint64_t many, uint64_t now)
{
    const unsigned *at = questions.at + c->answer + c->inflight;
    uint64_t *ring = times_of(c);

    many = many < c->left ? many : c->left;
    c->left -= many;
    c->owed += at[many] - at[0];
    for (; many > 0; many--) {
        unsigned place = c->oldest + c->inflight++;
        ring[place < option.depth ? place : place - option.depth] = now;
    }
}

static void ask(struct connection *c, uint64_t many, uint64_t now)
{
    note_questions(c, many, now);
    send_owed(c);
}

static void bind_to_a_source(struct connection *c)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int yes = 1;

    source.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + (uint32_t)(c->number % option.sources));
    // The port is chosen by connect, which sees that one port serves several servers.
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source) < 0)
        fail(c, errno);
}

// Opens c and asks its first questions.
static void begin(struct connection *c)
{
    int yes = 1;

    c->number = c->idle ? ++idle_begun : ++tally.attempted;
    c->began = now_ns();
    c->connected = c->answered = 0;
    c->answer = (unsigned)((c->number - 1) % texts);
    c->out = questions.at[c->answer];
    c->owed = c->got = c->inflight = c->oldest = 0;
    c->opening = true;
    opening++;
    connecting++;
    note_questions(c, option.depth, c->began);

    c->fd = socket(server->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail(c, errno);
        return;
    }
    if (!option.churn) // a question must not wait for the answer to the one before it
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (option.sources > 1)
        bind_to_a_source(c);
    if (c->fd < 0)
        return;
    if (connect(c->fd, server->ai_addr, server->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail(c, errno);
    else // on one machine the handshake is over by now, and the kernel takes the question
        send_owed(c);
}

// ---- what comes back ------------------------------------------------------------------

static void print_quoted(const char *text, size_t n)
{
    const size_t most = 70;

    for (size_t i = 0; i < n && i < most; i++) {
        const char *m = text[i] ? strchr(meanings, text[i]) : NULL;
        if (m)
            fprintf(stderr, "\\%c", letters[m - meanings]);
        else
            fprintf(stderr, isprint((unsigned char)text[i]) ? "%c" : "\\x%02x",
                    (unsigned char)text[i]);
    }
    fputs(n > most ? "..." : "", stderr);
}

// Says on stderr what was asked on c, what had to come, and what came: the n bytes behind
// those that are right.
static void name_wrong_answer(const struct connection *c, const char *got, size_t n)
{
    const unsigned *q = questions.at + c->answer, *a = answers.at + c->answer;
    bool expected = c->inflight > 0;
    const char *newline = memchr(got, '\n', n);
    static bool named;

    if (named)
        return;
    named = true;
    clear_progress();
    fputs("serviceblaster: wrong answer: asked \"", stderr);
    print_quoted(questions.bytes + q[0], expected ? q[1] - q[0] : 0);
    fputs("\", expected \"", stderr);
    print_quoted(answers.bytes + a[0], expected ? a[1] - a[0] : 0);
    fputs("\", got \"", stderr);
    print_quoted(answers.bytes + a[0], c->got);
    print_quoted(got, newline ? (size_t)(newline - got) + 1 : n);
    fputs("\"\n", stderr);
}

// `done` more questions of c are answered: what does it do next?
static void go_on(struct connection *c, unsigned done, uint64_t now)
{
    no_longer_opening(c, now);
    if (c->idle)
        return;
    if (c->finished) { // it was asked once more, after it had been held
        tally.again++;
        active--;
    } else if (wants_more(c, now) && !option.churn) {
        if (!option.think)
            ask(c, done, now);
        else if (c->inflight == 0)
            think(c, now);
    } else if (c->inflight == 0) {
        finish(c, now);
    }
}

// How many of the n bytes that have come on c are the right ones, from the first on.
static size_t right_bytes(const struct connection *c, const char *got, size_t n)
{
    const unsigned *at = answers.at + c->answer;
    const char *right = answers.bytes + *at + c->got;
    size_t most = at[c->inflight] - *at - c->got, i = 0;

    if (n <= most && memcmp(got, right, n) == 0)
        return n;
    while (i < n && i < most && got[i] == right[i])
        i++;
    return i;
}

// Takes what has come on c and holds it against what has to come.
static void receive(struct connection *c)
{
    static char buffer[1 << 16];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    uint64_t now = now_ns();

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            fail(c, n < 0 ? errno : 0);
        return;
    }
    size_t right = right_bytes(c, buffer, (size_t)n);
    const unsigned *at = answers.at + c->answer;
    unsigned done = 0, end = *at + c->got + (unsigned)right;
    while (done < c->inflight && at[done + 1] <= end)
        done++;
    c->got = end - at[done];
    c->answer = (c->answer + done) % texts;
    c->inflight -= done;
    if (done > 0)
        measure(c, done, now);

    if (right < (size_t)n) {
        name_wrong_answer(c, buffer + right, (size_t)n - right);
        fail(c, EBADMSG);
    } else if (done > 0) {
        go_on(c, done, now);
    }
}

// ---- all of them ----------------------------------------------------------------------

static bool stalled(uint64_t now)
{
    return now - last_progress >= STALL;
}

// May one more connection be begun, or held one asked? When nothing goes on, twice as many.
static bool may_open(uint64_t now)
{
    if (opening < window)
        return true;
    if (!stalled(now))
        return false;
    window = opening < UINT32_MAX / 2 ? 2 * opening : UINT32_MAX;
    last_progress = now;
    return true;
}

// The idle ones come first: are they there, or is there no getting on with them?
static bool idle_are_there(uint64_t now)
{
    return idle_begun == option.idle && connecting == 0 && (opening == 0 || stalled(now));
}

// c has thought enough.
static void wake(struct connection *c, uint64_t now)
{
    if (option.churn && wants_more(c, now))
        begin(c);
    else if (option.churn)
        active--;
    else if (c->fd < 0)
        return; // it failed while it thought
    else if (wants_more(c, now))
        ask(c, option.depth, now);
    else
        finish(c, now);
}

// Begins what may begin, and wakes those that have thought enough.
static void start_some(uint64_t now)
{
    while (idle_begun < option.idle &&
           (idle_begun % PROBE != 0 || opening == 0 || stalled(now)))
        begin(&connections[option.connections + idle_begun]);
    if (!started && idle_are_there(now)) {
        started = last_progress = now;
        measured_from = option.duration ? NEVER : now;
    }
    while (started && begun < option.connections && may_open(now))
        begin(&connections[begun++]);
    while (thinking && (thinking->wake <= now || now >= deadline) &&
           !(option.churn && !may_open(now))) {
        struct connection *c = thinking;
        thinking = c->next;
        if (!thinking)
            thinking_end = &thinking;
        wake(c, now);
    }
}

// With -d the clock starts when all are open, as far as they will be.
static void look_at_the_clock(uint64_t now)
{
    bool open = option.churn || opening == 0 || stalled(now);

    if (measured_from == NEVER && begun == option.connections && open) {
        measured_from = now;
        deadline = now + option.duration;
    }
}

static void end_waits(struct connection *c, unsigned count, uint64_t now)
{
    for (; count > 0; c++, count--) {
        uint64_t since = !c->connected ? c->began
                         : c->inflight ? times_of(c)[c->oldest]
                                       : NEVER;
        bool waits = c->fd >= 0 && !(c->idle && c->connected);
        if (waits && since < now && now - since >= option.wait)
            fail(c, ETIMEDOUT);
    }
}

// Every TICK: ends the waits that are over; tells a terminal how things are.
static void tick(uint64_t now)
{
    unsigned long failed = 0;

    end_waits(connections, begun, now);
    end_waits(connections + option.connections, idle_begun, now);
    for (int i = REFUSED; i < OUTCOMES; i++)
        failed += tally.outcome[i];
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%lu attempted, %lu connected, %lu answered, %lu failed\033[K",
                tally.attempted, tally.connected, tally.outcome[ANSWERED], failed);
}

// Does what there is to do, after waiting for it if need be, for a TICK at most.
static void turn(void)
{
    static uint64_t next_tick;
    struct epoll_event ready[READY];
    uint64_t now = now_ns(), until = next_tick;

    look_at_the_clock(now);
    start_some(now);
    if (thinking && thinking->wake > now && thinking->wake < until)
        until = thinking->wake;
    int n = epoll_wait(epoll, ready, READY,
                       until > now ? (int)((until - now + MS - 1) / MS) : 0);
    for (int i = 0; i < n; i++) {
        struct connection *c = ready[i].data.ptr;
        if (!c->connected || c->owed > 0)
            send_owed(c);
        if (c->fd >= 0 && c->connected && ready[i].events & ~(unsigned)EPOLLOUT)
            receive(c);
    }
    now = now_ns();
    if (now >= next_tick) {
        next_tick = now + TICK;
        tick(now);
    }
}

// Holds what is open, and then asks once more on each.
static void hold(void)
{
    uint64_t end = now_ns() + option.hold;

    clear_progress();
    fprintf(stderr, "holding %lu connections\n", tally.outcome[ANSWERED] - tally.lost);
    while (now_ns() < end && !signalled)
        turn();
    signalled = 0;
    for (struct connection *c = connections; c < connections + begun && !signalled; c++) {
        while (!may_open(now_ns()) && !signalled)
            turn();
        if (!c->finished || c->fd < 0)
            continue;
        c->left = 1;
        c->opening = true;
        opening++;
        active++;
        ask(c, 1, now_ns());
    }
    while (active > 0 && !signalled)
        turn();
}

// Returns true when all went well.
static bool run(void)
{
    window = option.burst;
    active = option.connections;
    last_progress = now_ns();
    while (active > 0 && !signalled)
        turn();
    measured_until = now_ns() < deadline ? now_ns() : deadline;
    if (option.hold && !signalled)
        hold();
    for (unsigned i = 0; i < begun + option.idle; i++) {
        struct connection *c =
            &connections[i < begun ? i : option.connections + i - begun];
        if (c->fd >= 0)
            hang_up(c);
    }
    clear_progress();
    return !signalled && tally.outcome[ANSWERED] == tally.attempted && tally.lost == 0 &&
           tally.idle == option.idle;
}

// ---- the report -----------------------------------------------------------------------

static void put(const char *key, double value, int decimals, const char *note)
{
    if (!option.tsv) {
        printf("%-13s %10.*f%s%s\n", key, decimals, value, *note ? "  " : "", note);
        return;
    }
    for (; *key; key++)
        putchar(*key == ' ' ? '_' : *key);
    printf("\t%.*f\n", decimals, value);
}

// A count that a person needs to see only when it is not 0.
static void put_some(const char *key, unsigned long count, const char *note)
{
    if (option.tsv || count > 0)
        put(key, (double)count, 0, note);
}

static void report_connections(void)
{
    const unsigned long *n = tally.outcome, late = tally.connect_timed_out;
    unsigned long unfinished = tally.attempted;
    char note[80] = "";

    for (int i = ANSWERED; i < OUTCOMES; i++)
        unfinished -= n[i];
    if (n[TIMED_OUT])
        snprintf(note, sizeof note, "%lu connecting, %lu waiting for an answer", late,
                 n[TIMED_OUT] - late);
    put("attempted", (double)tally.attempted, 0, "");
    put("connected", (double)tally.connected, 0, "the kernel's handshake");
    put("answered", (double)n[ANSWERED], 0, "the server's service");
    put("refused", (double)n[REFUSED], 0, "");
    put("reset", (double)n[RESET], 0, "");
    put("closed", (double)n[CLOSED], 0, "by the server, before it had answered");
    put("timed out", (double)n[TIMED_OUT], 0, note);
    if (option.tsv)
        put("timed out connecting", (double)late, 0, "");
    put("wrong", (double)n[WRONG], 0, "");
    put_some("failed", n[FAILED], "for another reason");
    put_some("unfinished", unfinished, "when a signal ended it");
    put_some("again", tally.again, "answered once more after they had been held");
    put_some("lost", tally.lost, "of those that were kept open");
    put_some("idle", tally.idle, "held silent beside");
}

static void report(void)
{
    bool measured = measured_from < measured_until;
    double ns = measured ? (double)(measured_until - measured_from) : 0;
    double seconds = ns / (double)SECOND, count = (double)answer_count;

    report_connections();
    put("seconds", seconds, 3, "");
    put("answers", count, 0, "");
    put("answers/s", measured ? count / seconds : 0, 1, "");
    put("p50 ms", percentile(.5), 3, "from sending to the whole answer");
    put("p90 ms", percentile(.9), 3, "");
    put("p99 ms", percentile(.99), 3, "");
    put("max ms", (double)slowest / (double)MS, 3, "");
    if (option.tsv)
        printf("first_failure\t%s\n", *tally.first_failure ? tally.first_failure : "-");
    else if (*tally.first_failure)
        printf("first failure: %s\n", tally.first_failure);
}

// ---- set-up ---------------------------------------------------------------------------

// The number that is given with -letter, or (0) without.
static unsigned number(int letter, const char *text, unsigned long least,
                       unsigned long most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end || n < least || n > most)
        refuse("%s%s: not a number from %lu to %lu",
               letter ? (char[]){'-', (char)letter, ' ', '\0'} : "", text, least, most);
    return (unsigned)n;
}

// A time that is given in units of so many nanoseconds.
static uint64_t duration(int letter, const char *text, uint64_t unit)
{
    char *end;
    double n = strtod(text, &end);

    if (end == text || *end || !(n * (double)unit >= 1 && n < 1e8))
        refuse("-%c %s: not a time above 0", letter, text);
    return (uint64_t)(n * (double)unit);
}

// clang-format off
static void parse_option(int letter, char *text)
{
    switch (letter) {
    case 'b': option.burst = number(letter, text, 1, MOST); break;
    case 'c': option.churn = true; break;
    case 'C': option.sources = number(letter, text, 1, 60000); break;
    case 'd': option.duration = duration(letter, text, SECOND); break;
    case 'e': option.answer = text; break;
    case 'f': option.names = text; break;
    case 'H': option.host = text; break;
    case 'i': option.idle = number(letter, text, 0, MOST); break;
    case 'k': option.keep = true; break;
    case 'n': option.requests = number(letter, text, 1, MOST); break;
    case 'p': number(letter, option.port = text, 1, 65535); break;
    case 'P': option.depth = number(letter, text, 1, 100000); break;
    case 'q': option.question = text; break;
    case 's': option.hold = duration(letter, text, SECOND); break;
    case 't': option.think = duration(letter, text, MS); break;
    case 'T': option.timeline = text; break;
    case 'v': option.tsv = true; break;
    case 'w': option.wait = duration(letter, text, SECOND); break;
    case 'h': exit(fputs(help, stdout) < 0 || fflush(stdout) != 0);
    default: fputs("`serviceblaster --help` lists the options.\n", stderr); exit(2);
    }
}
// clang-format on

static void parse_options(int argc, char **argv)
{
    static const struct option words[] = {
        {"help", 0, NULL, 'h'}, {"tsv", 0, NULL, 'v'}, {0}};
    static const char shorts[] = "b:cC:d:e:f:hH:i:kn:p:P:q:s:t:T:w:";

    for (int o; (o = getopt_long(argc, argv, shorts, words, NULL)) != -1;)
        parse_option(o, optarg);
    if (argc - optind != 1)
        refuse("how many CONNECTIONS? One number");
    option.connections = number(0, argv[optind], 1, MOST);
    if (option.requests && option.duration)
        refuse("-n and -d: one of them says when to stop");
    if (option.churn && (option.keep || option.hold || option.depth > 1))
        refuse("-c makes a connection for each request: no -k, -s or -P with it");
    if (!option.question != !option.answer || (option.question && option.names))
        refuse("-q and -e go together, and without -f");
    if (option.question && (!*option.question || !*option.answer))
        refuse("-q and -e: an empty one tells nothing");
    if (!option.requests)
        option.requests = option.duration ? NEVER : option.depth;
    option.keep = option.keep || option.hold;
}

static void raise_descriptor_limit(void)
{
    rlim_t need = (rlim_t)option.connections + option.idle + SPARE_FILES;
    unsigned left_open = 0; // by whoever has started us
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    for (rlim_t fd = STDERR_FILENO + 1; fd < need && fd < limit.rlim_cur; fd++)
        if (fcntl((int)fd, F_GETFD) >= 0 && ++left_open > SPARE_FILES / 2)
            need++;
    unsigned long long may = limit.rlim_max;
    if (limit.rlim_cur < need)
        limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need; // only root may
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        refuse("%u connections need %llu descriptors; this process may have %llu "
               "(ulimit -Hn)",
               option.connections + option.idle, (unsigned long long)need, may);
}

// Where to, and from how many addresses: one gives some 28,000 ports towards one server, and
// past half of them the kernel searches long for a free one. 127.x.x.x are all this
// machine's. With churn, a port stays taken for a while after its connection has closed.
static void find_server(void)
{
    int e = resolve(option.host, option.port, &server);
    if (e != 0)
        refuse("%s: %s", option.host,
               e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));

    struct sockaddr_in *in = (struct sockaddr_in *)(void *)server->ai_addr;
    bool loopback = server->ai_family == AF_INET &&
                    ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    unsigned total = option.connections + option.idle;
    if (option.sources > 1 && !loopback)
        refuse("-C: only towards 127.x.x.x may one come from many addresses");
    if (option.sources == 0 && loopback)
        option.sources = option.churn ? 32 : total / 10000 + 1;
}

static void prepare_connections(void)
{
    unsigned total = option.connections + option.idle;

    connections = allocate(NULL, total, sizeof *connections);
    asked = allocate(NULL, (size_t)total * option.depth, sizeof *asked);
    for (unsigned i = 0; i < total; i++) {
        struct connection *c = &connections[i];
        c->fd = -1;
        c->idle = i >= option.connections;
        c->left = option.requests;
        // Idle ones say nothing; but every PROBE-th asks once, for its answer shows that
        // the server has taken in all that came before it.
        if (c->idle)
            c->left = (i - option.connections) % PROBE == PROBE - 1;
    }
    if (option.timeline) {
        timeline = fopen(option.timeline, "w");
        if (!timeline)
            refuse("%s: %s", option.timeline, strerror(errno));
        fputs("connection\tbegan\tconnected\tanswered\tclosed\n", timeline);
    }
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        refuse("epoll_create1: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    parse_options(argc, argv);
    raise_descriptor_limit();
    find_server();
    prepare_questions();
    prepare_connections();

    struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: waits end
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    bool good = run();
    report();
    if (timeline && (ferror(timeline) | fclose(timeline)) != 0) {
        fprintf(stderr, "serviceblaster: %s: %s\n", option.timeline, strerror(errno));
        good = false;
    }
    if (ferror(stdout) | fflush(stdout)) {
        perror("serviceblaster: standard output");
        good = false;
    }
    freeaddrinfo(server);
    return good ? 0 : 1;
}
