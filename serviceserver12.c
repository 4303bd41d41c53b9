// serviceserver12.c: an event loop per core; the one to leave running
//
// Extends 11 by 08: forked workers share the listening socket, each with a loop of its own.
// New:    limits on connections and on idle time; SIGTERM answers what was asked and ends;
//         SIGHUP reads the database anew; a worker that dies is replaced.
// See:    make demo-12
// Breaks: nothing that we know of. Try.

#define _GNU_SOURCE // accept4, EPOLLEXCLUSIVE, getopt_long
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "l23/common.h"
#include "l23/connection.h"

enum {
    READY = 256, // so many events at a time
    BATCH = 4,   // so many accepted at a time: the other workers want some as well
    GRACE = 5,   // seconds, and what is not taken of the last answers is lost
    LINGER = 1,  // seconds of silence, and it has nothing more to say
    MOST_CLIENTS = 1 << 20
};

static long workers, max_clients = MOST_CLIENTS, idle = 60; // -w, -c, -i
static int fd;                                              // the listening socket

// A worker is serviceserver11 with a list of its clients, the longest idle first.

struct client {
    struct connection c;
    struct client *older, *newer;
    time_t since;  // it came, had a question answered, took answers, was half-closed
    bool answered; // it has had an answer
    bool leaving;  // after half_close: no more answers come
};

static int ep, signals;
static struct client *oldest, *newest;
static long clients;
static bool accepting, paused; // paused: there was no descriptor for the next client
static bool retiring;          // exits when its last client has left
static time_t deadline;        // set: asks them to leave; those that stay then are left

// What epoll gives back for the listening socket, and for `signals`.
static struct client listener_tag, signal_tag;

// Says it on stderr, unless that would have to wait: nobody may be reading it.
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    va_list arguments;

    if (poll(&p, 1, 0) < 1 || !(p.revents & POLLOUT))
        return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

static time_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static int watch(int operation, int sfd, unsigned events, struct client *c)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    return epoll_ctl(ep, operation, sfd, &e);
}

static void take_from_list(struct client *c)
{
    *(c->older ? &c->older->newer : &oldest) = c->newer;
    *(c->newer ? &c->newer->older : &newest) = c->older;
}

static void put_last_in_list(struct client *c)
{
    c->older = newest;
    c->newer = NULL;
    *(newest ? &newest->newer : &oldest) = c;
    newest = c;
    c->since = now();
}

static void end(struct client *c)
{
    take_from_list(c);
    connection_close(&c->c);
    free(c);
    clients--;
}

static void made_progress(struct client *c)
{
    take_from_list(c);
    put_last_in_list(c);
}

// Says goodbye, all being answered. Closing at once would be a reset, and might destroy the
// last answers, if the client has sent more by now.
static void half_close(struct client *c)
{
    shutdown(c->c.fd, SHUT_WR);
    c->leaving = true;
    made_progress(c);
}

// Has it nothing to wait for? Who has just come may be about to ask; half a line may be ended.
static bool may_leave(const struct client *c)
{
    bool half = c->c.kept > 0;
    bool silent = now() - (half ? deadline - GRACE : c->since) > LINGER;
    return c->c.events == POLLIN && (silent || (c->answered && !half)) &&
           poll(&(struct pollfd){.fd = c->c.fd, .events = POLLIN}, 1, 0) == 0;
}

static void serve(struct client *c)
{
    static char too_late[4096];
    short before = c->c.events;

    if (c->leaving) {
        ssize_t n = recv(c->c.fd, too_late, sizeof too_late, 0);
        if (n > 0)
            made_progress(c);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            end(c);
        return;
    }
    if (connection_run(&c->c) == 0) {
        end(c);
        return;
    }
    c->answered = c->answered || c->c.progress;
    if (c->c.progress && c->since != now())
        made_progress(c);
    if (c->c.events != before)
        watch(EPOLL_CTL_MOD, c->c.fd, (unsigned)c->c.events, c);
    if (deadline && may_leave(c))
        half_close(c);
}

// Accepts as many as `batch` of those who wait; returns how many.
static int accept_some(int batch)
{
    int n = 0;
    for (; n < batch && clients < max_clients; n++) {
        int cfd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        struct client *c = cfd < 0 ? NULL : calloc(1, sizeof *c);
        if (!c) {
            paused = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
            if (cfd >= 0)
                close(cfd);
            break;
        }
        connection_init(&c->c, cfd);
        put_last_in_list(c);
        clients++;
        if (watch(EPOLL_CTL_ADD, cfd, POLLIN, c) < 0)
            end(c);
        else
            serve(c); // most have asked by now
    }
    return n;
}

// EPOLLEXCLUSIVE: a client wakes one of the workers that wait for it, not all of them.
static void watch_listener(bool wanted)
{
    int operation = wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (wanted != accepting &&
        watch(operation, fd, EPOLLIN | EPOLLEXCLUSIVE, &listener_tag) == 0)
        accepting = wanted;
}

// No new clients from now on; those who have come, be it into the listening socket's queue
// only, get the answers to what they have asked.
static void finish(void)
{
    static time_t looked; // at all of them, once a second
    watch_listener(false);
    if (looked != now()) {
        looked = now();
        for (struct client *c = oldest, *next; c; c = next) {
            next = c->newer; // serve may end c, or put it last: then we meet it twice
            if (!c->leaving)
                serve(c);
            else if (looked - c->since > LINGER)
                end(c);
        }
    }
    while (fd >= 0 && accept_some(READY) > 0)
        ;
    if (fd >= 0 && clients < max_clients && !paused) { // the queue is empty
        close(fd);
        fd = -1;
    }
}

static void take_signal(void)
{
    struct signalfd_siginfo s;
    if (read(signals, &s, sizeof s) == sizeof s) {
        if (s.ssi_signo == SIGTERM && !deadline)
            deadline = now() + GRACE;
        retiring = retiring || deadline || s.ssi_signo == SIGUSR1;
    }
}

// Signals are events like the others, by signalfd(2), and take turns with them: epoll_pwait(2)
// would let none in for as long as there is something else to do.
static void prepare(const sigset_t *blocked)
{
    ep = epoll_create1(0);
    signals = signalfd(-1, blocked, SFD_NONBLOCK);
    long room = raise_descriptor_limit() - signals - 1; // all below are taken
    if (room < max_clients)
        max_clients = room;
    if (ep < 0 || watch(EPOLL_CTL_ADD, signals, EPOLLIN, &signal_tag) < 0 ||
        max_clients < 1) {
        say("too few descriptors for a worker\n");
        sleep(1); // or else we should be replaced a hundred times a second
        _exit(1);
    }
}

static _Noreturn void work(const sigset_t *blocked)
{
    time_t looked = 0;
    prepare(blocked);
    while (!(retiring && clients == 0) && !(deadline && now() > deadline)) {
        struct epoll_event ready[READY];
        watch_listener(!retiring && !paused && clients < max_clients);
        int n = epoll_wait(ep, ready, READY, paused ? 100 : 1000);

        paused = false;
        for (int i = 0; i < n; i++) {
            struct client *c = ready[i].data.ptr;
            if (c == &signal_tag) {
                take_signal();
            } else if (c != &listener_tag) {
                serve(c);
            } else {
                accept_some(BATCH);
                watch_listener(false); // line up anew, last: another's turn
            }
        }
        // Is there one who has woken a worker that was stopped, or died, or had no memory?
        if (accepting && looked != now()) {
            looked = now();
            accept_some(BATCH);
        }
        while (oldest && now() - oldest->since > idle)
            end(oldest);
        if (deadline)
            finish();
    }
    exit(0); // not _exit: a leak checker has its say at exit
}

// The parent is serviceserver08: it serves nobody, and replaces workers that die.

enum { MOST_WORKERS = 256, MOST_CHILDREN = 1024 };
static struct child {
    pid_t pid;
    bool retired;
} children[MOST_CHILDREN];

static void signal_children(int sig, bool only_retired)
{
    for (struct child *c = children; c < children + MOST_CHILDREN; c++)
        if (c->pid && (c->retired || !only_retired))
            kill(c->pid, sig);
}

// Returns whether there are any alive. (Others than these may be our children, too, such as
// a `cat` that waits for our stderr's end: nobody waits for them.)
static bool reap_children(void)
{
    int status;
    pid_t pid;
    bool alive = false;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct child *c = children; c < children + MOST_CHILDREN; c++)
            if (c->pid == pid) {
                if (!c->retired) {
                    say("worker %ld has died (status %#x): replaced\n", (long)pid,
                        (unsigned)status);
                    // If they die again and again, this keeps us from spinning.
                    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
                }
                c->pid = 0;
            }
    for (struct child *c = children; c < children + MOST_CHILDREN; c++)
        alive = alive || c->pid;
    return alive;
}

// Starts workers until there are as many as there shall be; then those who retire may go.
// Returns how many could not be started.
static long start_missing_workers(const sigset_t *blocked)
{
    long missing = workers;

    for (struct child *c = children; c < children + MOST_CHILDREN; c++)
        missing -= c->pid && !c->retired;
    for (struct child *c = children; missing > 0 && c < children + MOST_CHILDREN; c++) {
        if (c->pid)
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            end_with_parent();
            work(blocked);
        }
        if (pid < 0) {
            say("fork: %s\n", strerror(errno));
            return missing;
        }
        *c = (struct child){.pid = pid};
        missing--;
    }
    if (missing == 0)
        signal_children(SIGUSR1, true);
    return missing;
}

// SIGHUP: new workers with a new cache; the old ones go when their clients have gone.
static void retire(void)
{
    for (struct child *c = children; c < children + MOST_CHILDREN; c++)
        c->retired = true;
}

static void reload(void)
{
    int found = load_services();
    if (found <= 0) {
        say("no services %s: the old ones stay\n",
            found == 0 ? "found" : "read for want of memory");
        return;
    }
    say("services read anew\n");
    retire();
}

// From here on the kernel does not hear who calls: a packet filter takes nothing that has
// SYN set. So nobody slips into the queue behind a worker's last look; those few try again
// in a second, as after any lost packet, and are refused by then. Handshakes under way may
// come to their end meanwhile. Where only root may set such a filter, the queue is made as
// short as can be: one client may then slip in and be reset.
static void drop_callers(void)
{
    struct sock_filter no_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), // the TCP header's flags
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    struct sock_fprog filter = {.len = 4, .filter = no_syn};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0)
        listen(fd, 0);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

static _Noreturn void usage(FILE *f, int status)
{
    fprintf(f,
            "usage: serviceserver12 [OPTIONS] [PORT]\n"
            "  -w, --workers N      event loops, each a process (one per core: %ld)\n"
            "  -c, --connections N  at once in each worker (what descriptors allow)\n"
            "  -i, --idle SECONDS   drop who has had nothing answered for longer (60)\n"
            "  -h, --help           this text\n"
            "SIGTERM, SIGINT: answers what was asked, then exits 0. SIGHUP: reads the\n"
            "services anew. PORT: 0 lets the kernel pick one; %d unless given.\n",
            sysconf(_SC_NPROCESSORS_ONLN), DEFAULT_PORT);
    exit(fflush(f) == 0 ? status : 1);
}

static long number(const char *text, long highest)
{
    char *rest;
    errno = 0;
    long n = strtol(text, &rest, 10);
    if (*rest || rest == text || errno || n < 1 || n > highest) {
        fprintf(stderr, "%s is not a number from 1 to %ld\n", text, highest);
        usage(stderr, 2);
    }
    return n;
}

static int options(int argc, char **argv)
{
    static const struct option names[] = {{"workers", required_argument, NULL, 'w'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"idle", required_argument, NULL, 'i'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    workers = sysconf(_SC_NPROCESSORS_ONLN);
    for (int o; (o = getopt_long(argc, argv, "w:c:i:h", names, NULL)) != -1;)
        switch (o) {
        case 'w':
            workers = number(optarg, MOST_WORKERS);
            break;
        case 'c':
            max_clients = number(optarg, MOST_CLIENTS);
            break;
        case 'i':
            idle = number(optarg, 1000000000);
            break;
        default:
            usage(o == 'h' ? stdout : stderr, o == 'h' ? 0 : 2);
        }
    argv[optind - 1] = argv[0]; // what is left is a command line `PROGRAM [PORT]`
    return parse_port(argc - optind + 1, argv + optind - 1);
}

int main(int argc, char **argv)
{
    int port = options(argc, argv);
    load_services();
    fd = make_listen(port);
    listen(fd, SOMAXCONN);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    // The kernel would take megabytes of answers, and tell of room for more only when a third of
    // them is gone: a slow reader would look idle. Accepted sockets inherit this.
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){1 << 16}, sizeof(int));

    // Signals wait until they are asked for, here and in the workers: none is lost between
    // two looks.
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN); // nobody may read our stderr any more

    for (int sig = 0; sig != SIGTERM && sig != SIGINT;) {
        if (sig == SIGHUP)
            reload();
        reap_children();
        long missing = start_missing_workers(&wanted);
        struct timespec patience = {.tv_sec = missing ? 1 : 3600};
        sig = sigtimedwait(&wanted, NULL, &patience);
    }

    drop_callers();
    close(fd);
    retire();
    signal_children(SIGTERM, false);
    for (time_t late = now() + 2 * GRACE; reap_children();)
        if (sigtimedwait(&wanted, NULL, &(struct timespec){.tv_sec = 1}) < 0 &&
            now() > late)
            signal_children(SIGKILL, false); // stopped, perhaps
    exit(0);
}
