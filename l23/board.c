// board.c: the kernel's side of a server, live
//
// usage: board [--once | --tsv] [PORT]     (6168 unless given)
//
// On a terminal: a few times a second, until q or Ctrl-C. Elsewhere: a line of text a
// second. --once prints lines `KEY VALUE` and ends; --tsv prints listening sockets,
// processes, their descriptors and all sockets, tab-separated, each kind under a line that
// names its columns. Both exit 1 when there is no server. Linux; needs no root for servers
// of one's own.

#include "board.h"
#include "common.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// Seconds from one look to the next.
static const double quarter = 0.25, longest = 1;

static void look(struct board *b, double seconds)
{
    struct processes *p = &b->processes;
    unsigned long long start = p->count > 0 ? p->list->start : 0;
    pid_t pid = p->count > 0 ? p->list->pid : 0;

    if (look_at_sockets(b->netlink, b->port, &b->sockets) < 0) {
        perror("sock_diag");
        exit(1);
    }
    look_at_processes(p, &b->sockets, seconds);
    if (p->count > 0 && (p->list->pid != pid || p->list->start != start)) {
        b->queue_most = 0; // another server
        b->scale = 1;
    }
    if (b->sockets.queue > b->queue_most)
        b->queue_most = b->sockets.queue;
}

static bool server_there(const struct board *b)
{
    return b->sockets.listening > 0 || b->processes.count > 0;
}

static void pause_for(double seconds)
{
    struct timespec t = {(time_t)seconds,
                         (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

// --once

static void print_limit(const char *key, unsigned long limit)
{
    if (limit)
        printf("%s %lu\n", key, limit);
    else
        printf("%s unlimited\n", key);
}

static void print_once(const struct board *b)
{
    const struct sockets *s = &b->sockets;
    const struct processes *p = &b->processes;
    struct totals t;

    count_all(p, &t);
    printf("port %d\n", b->port);
    printf("server %s\n", p->count > 0      ? p->list->name
                          : server_there(b) ? "hidden"
                                            : "none");
    printf("pid %d\n", p->count > 0 ? p->list->pid : 0);
    printf("listening %u\n", s->listening);
    printf("address %s\n", s->listening ? s->address : "none");
    printf("queue %u\nqueue_limit %u\ndropped %lu\n", s->queue, s->limit, s->dropped);
    printf("knocking %zu\nwaiting %zu\naccepted %zu\nleaked %zu\nclosing %zu\n",
           s->knocking, s->waiting, s->served, s->gone + p->reset, s->closing);
    printf("processes %zu\nchildren %zu\n", p->count, t.children);
    printf("running %zu\nsleeping %zu\nzombies %zu\n", t.running, t.sleeping, t.zombies);
    printf("threads %lu\n", t.threads);
    printf("descriptors %lu\n", t.fullest ? t.fullest->descriptors : 0);
    print_limit("descriptors_limit", t.fullest ? t.fullest->descriptors_limit : 0);
    printf("private_kib %lu\nshared_kib %lu\n", t.kib_private, t.kib_shared);
    printf("child_private_kib %lu\nchild_shared_kib %lu\n", t.child_private,
           t.child_shared);
    printf("virtual_kib %lu\n", t.largest ? t.largest->kib_virtual : 0);
    print_limit("virtual_limit_kib", t.largest ? t.largest->kib_virtual_limit : 0);
    printf("cpu_percent %.0f\n", t.cpu);
}

// --tsv

static void print_descriptor(int fd, const char *what, void *context)
{
    const struct process *p = context;
    unsigned long inode = 0;
    const char *kind = strncmp(what, "socket:", 7) == 0        ? "socket"
                       : strncmp(what, "pipe:", 5) == 0        ? "pipe"
                       : strncmp(what, "anon_inode:", 11) == 0 ? what + 11
                       : strncmp(what, "/dev/", 5) == 0        ? "device"
                                                               : "file";
    if (sscanf(what, "%*[a-z]:[%lu]", &inode) != 1)
        inode = 0;
    printf("descriptor\t%d\t%d\t%s\t%lu\t%s\n", p->pid, fd, kind, inode, what);
}

static void print_socket(const struct inet_diag_msg *m, unsigned dropped, void *context)
{
    char local[64], peer[64];
    bool connected = strcmp(socket_state(m), "ESTABLISHED") == 0 ||
                     strcmp(socket_state(m), "CLOSE_WAIT") == 0;
    bool listens = strcmp(socket_state(m), "LISTEN") == 0;
    const char *side = context;

    socket_ends(m, local, peer, sizeof local);
    printf("socket\t%s\t%s\t%u\t%s\t%s\t%s\t%u\t%u\t%u\n", side, socket_state(m),
           m->idiag_inode, local, peer,
           listens          ? "listens"
           : m->idiag_inode ? "open"
           : !connected     ? "closed"
           : *side == 's'   ? "waits"
                            : "closed",
           m->idiag_rqueue, m->idiag_wqueue, dropped);
}

static void print_tsv(const struct board *b)
{
    static char server[] = "server", client[] = "client";
    const struct processes *p = &b->processes;

    printf("#process\tpid\tparent\trole\tstate\tthreads\tdescriptors\tdescriptors_limit\t"
           "connections\tprivate_kib\tshared_kib\tvirtual_kib\tcpu_percent\tname\n");
    for (const struct process *q = p->list; q < p->list + p->count; q++)
        printf("process\t%d\t%d\t%s\t%c\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\t%lu\t%.0f\t%s\n",
               q->pid, q->parent, q->is_root ? "parent" : "child", q->state, q->threads,
               q->descriptors, q->descriptors_limit, q->connections, q->kib_private,
               q->kib_shared, q->kib_virtual, q->cpu, q->name);
    printf("#descriptor\tpid\tfd\tkind\tinode\twhat\n");
    for (struct process *q = p->list; q < p->list + p->count; q++)
        for_each_descriptor(q->pid, print_descriptor, q);
    // Of a listening socket, received and to_send are its queue now and at most.
    printf("#socket\tside\tstate\tinode\tlocal\tpeer\thow\treceived\tto_send\tdropped\n");
    if (for_each_socket(b->netlink, b->port, false, print_socket, server) < 0 ||
        for_each_socket(b->netlink, b->port, true, print_socket, client) < 0) {
        perror("sock_diag");
        exit(1);
    }
}

// Not on a terminal: a line a second

static _Noreturn void run_plain(struct board *b)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (1) {
        const struct sockets *s = &b->sockets;
        char now[16];
        time_t t = time(NULL);
        struct totals c;

        look(b, 0.1);
        count_all(&b->processes, &c);
        strftime(now, sizeof now, "%H:%M:%S", localtime(&t));
        if (server_there(b))
            printf(
                "%s waiting %zu/%u dropped %lu accepted %zu leaked %zu descriptors %lu "
                "processes %zu running %zu sleeping %zu zombies %zu threads %lu "
                "private %luK cpu %.0f%%\n",
                now, s->waiting, s->limit, s->dropped, s->served,
                s->gone + b->processes.reset, c.fullest ? c.fullest->descriptors : 0,
                b->processes.count, c.running, c.sleeping, c.zombies, c.threads,
                c.kib_private, c.cpu);
        else
            printf("%s no server on port %d: waiting for one\n", now, b->port);
        if (ferror(stdout))
            exit(1);
        pause_for(1);
    }
}

// On a terminal

static struct termios terminal_before;
static bool terminal_changed;

static void restore_terminal(void)
{
    if (!terminal_changed)
        return;
    fputs("\033[0m\033[?25h\033[?1049l", stdout); // colour, cursor, the screen before
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    terminal_changed = false;
}

// Keys come one by one and unseen. Ctrl-C is a key as well: as a signal it would reach make
// too, which would have the last word.
static void change_terminal(void)
{
    struct termios t;

    if (tcgetattr(STDIN_FILENO, &terminal_before) == 0) {
        t = terminal_before;
        t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        t.c_cc[VMIN] = 1;
        t.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
    }
    terminal_changed = true;
    fputs("\033[?1049h\033[?25l\033[2J", stdout);
}

enum { CTRL_C = 3, CTRL_D = 4, CTRL_Z = 26, CTRL_BACKSLASH = 28 };

// One key; true when it is one that ends the board.
static bool handle_key(void)
{
    char c;
    ssize_t n = read(STDIN_FILENO, &c, 1);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n > 0 && c == CTRL_Z) {
        restore_terminal();
        kill(0, SIGTSTP); // all of the job, make too; it goes on here
        change_terminal();
    }
    return n <= 0 || c == 'q' || c == 'Q' || c == CTRL_C || c == CTRL_D ||
           c == CTRL_BACKSLASH;
}

static void draw_now(struct board *b)
{
    struct winsize w = {0};
    const char *no_colour = getenv("NO_COLOR");

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row == 0 || w.ws_col == 0)
        w = (struct winsize){.ws_row = 24, .ws_col = 80};
    draw(b, w.ws_row, w.ws_col, !no_colour || !*no_colour, stdout);
    fflush(stdout);
    if (ferror(stdout))
        exit(1);
}

// Waits until `end`, and draws anew whenever the size changes. True: the board shall end.
static bool wait_until(struct board *b, int signals, double end)
{
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                         {.fd = signals, .events = POLLIN}};
    double left;

    while ((left = end - seconds_now()) > 0) {
        if (poll(p, 2, (int)(left * 1000) + 1) < 0 && errno != EINTR) {
            perror("poll");
            exit(1);
        }
        struct signalfd_siginfo s = {0};
        if (p[1].revents && read(signals, &s, sizeof s) != (ssize_t)sizeof s)
            return true;
        if (s.ssi_signo == SIGWINCH) {
            b->scale = 1; // as many marks as there is room for now
            draw_now(b);
        } else if (s.ssi_signo)
            return true;
        if (p[0].revents && handle_key())
            return true;
    }
    return false;
}

static void run_on_terminal(struct board *b)
{
    const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sigaddset(&set, ours[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0) {
        perror("signalfd");
        exit(1);
    }
    atexit(restore_terminal);
    change_terminal();
    // However much there is to look at, it takes a twentieth of a core.
    double pause;
    do {
        double worked = seconds_worked();
        look(b, 0.01);
        draw_now(b);
        pause = 20 * (seconds_worked() - worked);
        pause = pause < quarter ? quarter : pause > longest ? longest : pause;
    } while (!wait_until(b, signals, seconds_now() + pause));
    close(signals);
}

static _Noreturn void usage(const char *name)
{
    fprintf(stderr, "usage: %s [--once | --tsv] [PORT]\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct board b = {.scale = 1};
    bool tsv = argc > 1 && strcmp(argv[1], "--tsv") == 0;
    bool once = tsv || (argc > 1 && strcmp(argv[1], "--once") == 0);
    const char *name = argv[0];

    if (!once && argc > 1 && *argv[1] == '-')
        usage(name);
    argv[once] = argv[0]; // what is left is a command line `PROGRAM [PORT]`
    b.port = parse_port(argc - once, argv + once);
    b.netlink = open_sock_diag();
    if (b.port == 0)
        usage(name);
    if (b.netlink < 0) {
        perror("sock_diag");
        return 1;
    }
    setlocale(LC_CTYPE, "");

    if (once) {
        look(&b, 60);
        pause_for(quarter); // CPU is measured from one look to the next
        b.processes.details_due = 0;
        look(&b, 60);
        if (tsv)
            print_tsv(&b);
        else
            print_once(&b);
        return ferror(stdout) || fflush(stdout) || !server_there(&b);
    }
    const char *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO) || !term ||
        strcmp(term, "dumb") == 0)
        run_plain(&b);
    run_on_terminal(&b);
    return 0;
}
