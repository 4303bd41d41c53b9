// board_processes.c: see board.h

#include "board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double seconds_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double seconds_worked(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

// Reads /proc/PID/NAME as a string. False when it, or the process, is not there.
static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = 0, got = 0;
    while ((size_t)got < size - 1 &&
           (n = read(fd, text + got, size - 1 - (size_t)got)) > 0)
        got += n;
    close(fd);
    text[got] = '\0';
    return got > 0;
}

// The number after `name` in such a text, or 0 (also for "unlimited").
static unsigned long number_after(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    return p ? strtoul(p + strlen(name), NULL, 10) : 0;
}

// The name in /proc/PID/stat is in parentheses and may hold some itself.
static bool read_stat(pid_t pid, struct process *p)
{
    char text[1024];
    unsigned long long user, system;
    unsigned long bytes;

    if (!read_proc(pid, "stat", text, sizeof text))
        return false;
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end)
        return false;
    *end = '\0';
    *p = (struct process){.pid = pid};
    snprintf(p->name, sizeof p->name, "%s", name + 1);
    if (sscanf(end + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %lu "
               "%*d %llu %lu",
               &p->state, &p->parent, &user, &system, &p->threads, &p->start,
               &bytes) != 7)
        return false;
    p->ticks = user + system;
    p->kib_virtual = bytes / 1024;
    return true;
}

static int compare_pids(const void *a, const void *b)
{
    const struct process *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static int compare_rank(const void *a, const void *b)
{
    const struct process *x = a, *y = b;
    return x->is_root != y->is_root ? y->is_root - x->is_root : compare_pids(a, b);
}

// Every process of the machine, by pid. The caller frees it.
static struct process *list_all(size_t *count)
{
    struct process *all = NULL;
    size_t n = 0, room = 0;
    DIR *proc = opendir("/proc");

    for (struct dirent *d; proc && (d = readdir(proc));) {
        if (*d->d_name < '1' || *d->d_name > '9')
            continue;
        if (n == room) {
            room = room ? 2 * room : 256;
            all = realloc(all, room * sizeof *all);
            if (!all) {
                perror("the board");
                exit(1);
            }
        }
        if (read_stat((pid_t)atol(d->d_name), all + n))
            n++;
    }
    if (proc)
        closedir(proc);
    if (n > 0)
        qsort(all, n, sizeof *all, compare_pids);
    *count = n;
    return all;
}

static struct process *find(struct process *list, size_t n, pid_t pid)
{
    struct process key = {.pid = pid};
    return n > 0 ? bsearch(&key, list, n, sizeof key, compare_pids) : NULL;
}

void for_each_descriptor(pid_t pid,
                         void (*found)(int fd, const char *what, void *context),
                         void *context)
{
    char path[64], what[512];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);

    for (struct dirent *d; fds && (d = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), d->d_name, what, sizeof what - 1);
        if (n < 0)
            continue;
        what[n] = '\0';
        found(atoi(d->d_name), what, context);
    }
    if (fds)
        closedir(fds);
}

// Which of its descriptors are sockets of the server?
struct sockets_held {
    const struct sockets *s;
    pid_t pid;
    unsigned long listening, accepted;
    struct inodes *odd; // NULL, or those TCP sockets that the kernel did not list
};

// A connection that was reset is in no list, but its socket is there until it is closed.
static bool is_tcp(pid_t pid, int fd)
{
    char path[64], protocol[16];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    ssize_t n = getxattr(path, "system.sockprotoname", protocol, sizeof protocol);
    return n >= 3 && strncmp(protocol, "TCP", 3) == 0; // or TCPv6
}

static void add_socket_held(int fd, const char *what, void *context)
{
    struct sockets_held *h = context;
    unsigned long inode;

    if (sscanf(what, "socket:[%lu]", &inode) != 1)
        return;
    for (unsigned i = 0; i < h->s->listening; i++)
        if (h->s->listen[i] == inode) {
            h->listening++;
            return;
        }
    if (has_inode(&h->s->accepted, inode))
        h->accepted++;
    else if (h->odd && is_tcp(h->pid, fd))
        add_inode(h->odd, inode);
}

static struct sockets_held sockets_held(pid_t pid, const struct sockets *s,
                                        struct inodes *odd)
{
    struct sockets_held h = {.s = s, .pid = pid, .odd = odd};
    for_each_descriptor(pid, add_socket_held, &h);
    return h;
}

// Of its first descriptors alone: a server's listening socket is among them as a rule.
static struct sockets_held first_sockets_held(pid_t pid, const struct sockets *s)
{
    enum { FIRST = 16 };
    struct sockets_held h = {.s = s, .pid = pid};
    char path[64], what[64];

    for (int fd = 0; fd < FIRST; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        ssize_t n = readlink(path, what, sizeof what - 1);
        if (n < 0 && errno == EACCES)
            break; // somebody else's
        what[n < 0 ? 0 : n] = '\0';
        add_socket_held(fd, what, &h);
    }
    return h;
}

// The processes with the listening socket; serviceserver01 and 02 have none while they
// serve: then those with its connections. Of these the ones whose parent is not among them.
// Parents come first by pid, as a rule; their descendants need no look.
static void search_roots(struct processes *p, const struct sockets *s,
                         struct process *all, size_t n, bool thorough)
{
    bool *ours = calloc(n + 1, sizeof *ours);

    p->root_count = 0;
    for (size_t i = 0; ours && i < n && p->root_count < ROOTS_MAX; i++) {
        const struct process *parent = find(all, n, all[i].parent);
        if (parent && ours[parent - all]) {
            ours[i] = true;
            continue;
        }
        struct sockets_held h = thorough ? sockets_held(all[i].pid, s, NULL)
                                         : first_sockets_held(all[i].pid, s);
        ours[i] = s->listening ? h.listening : h.accepted;
        if (ours[i])
            p->roots[p->root_count++] = (struct root){all[i].pid, all[i].start};
    }
    free(ours);
}

// Forgets the roots that have ended.
static void keep_living_roots(struct processes *p, struct process *all, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->root_count; i++) {
        struct process *q = find(all, n, p->roots[i].pid);
        if (q && q->start == p->roots[i].start && q->state != 'Z' && q->state != 'X')
            p->roots[kept++] = p->roots[i];
    }
    p->root_count = kept;
}

// Every descriptor of every process is a long search: only when a server has come or gone
// and is not found by its first ones; and where that found nothing (the server is somebody
// else's) not again within a second.
static void find_roots(struct processes *p, const struct sockets *s, struct process *all,
                       size_t n)
{
    unsigned long first = s->listening        ? s->listen[0]
                          : s->accepted.count ? s->accepted.list[0]
                                              : 0;
    double now = seconds_now();

    keep_living_roots(p, all, n);
    if (first == 0 || (p->root_count > 0 && (first == p->searched_for || !s->listening)))
        return;
    if (first == p->searched_for && now - p->searched < 1)
        return;
    search_roots(p, s, all, n, false);
    if (p->root_count == 0)
        search_roots(p, s, all, n, true);
    p->searched_for = first;
    p->searched = now;
}

// Keeps of `all` the roots and their descendants, roots first; returns how many.
static size_t keep_family(const struct processes *p, struct process *all, size_t n)
{
    bool *ours = calloc(n + 1, sizeof *ours);
    size_t kept = 0;

    for (size_t i = 0; ours && i < p->root_count; i++) {
        struct process *q = find(all, n, p->roots[i].pid);
        if (q)
            ours[q - all] = q->is_root = true;
    }
    for (bool more = ours; more;) {
        more = false;
        for (size_t i = 0; i < n; i++) {
            struct process *q = ours[i] ? NULL : find(all, n, all[i].parent);
            if (q && ours[q - all])
                ours[i] = more = true;
        }
    }
    for (size_t i = 0; ours && i < n; i++)
        if (ours[i])
            all[kept++] = all[i];
    free(ours);
    if (kept > 0)
        qsort(all, kept, sizeof *all, compare_rank);
    return kept;
}

// How many descriptors. Since Linux 6.2 the directory's size says so, at once, but counts the
// one that a waiting accept has reserved, too: so a thousand or less are listed.
static unsigned long count_descriptors(pid_t pid)
{
    char path[64];
    struct stat st;
    unsigned long n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    if (stat(path, &st) == 0 && st.st_size > 1024)
        return (unsigned long)st.st_size;
    DIR *fds = opendir(path);
    while (fds && readdir(fds))
        n++;
    if (fds)
        closedir(fds);
    return n > 2 ? n - 2 : 0; // . and ..
}

static void read_memory(struct process *p)
{
    char text[2048];
    if (!read_proc(p->pid, "smaps_rollup", text, sizeof text))
        return;
    p->kib_private =
        number_after(text, "Private_Clean:") + number_after(text, "Private_Dirty:");
    p->kib_shared =
        number_after(text, "Shared_Clean:") + number_after(text, "Shared_Dirty:");
}

static void read_limits(struct process *p)
{
    char text[4096];
    if (!read_proc(p->pid, "limits", text, sizeof text))
        return;
    p->descriptors_limit = number_after(text, "Max open files");
    p->kib_virtual_limit = number_after(text, "Max address space") / 1024;
    p->kib_stack = number_after(text, "Max stack size") / 1024;
}

// Sockets that no list has at two readings were reset; at one reading they may have come
// or gone between the list and the look at the process.
static void count_reset(struct processes *p, struct inodes *odd)
{
    sort_inodes(odd);
    p->reset = 0;
    for (size_t i = 0; i < odd->count; i++)
        p->reset += has_inode(&p->odd, odd->list[i]);
    free(p->odd.list);
    p->odd = *odd;
}

static void read_details(struct processes *p, struct process *q, const struct sockets *s)
{
    struct inodes odd = {0};
    bool first = q == p->list;

    q->counted = q->descriptors;
    q->connections = sockets_held(q->pid, s, first ? &odd : NULL).accepted;
    q->serves = q->connections > 0;
    if (first)
        count_reset(p, &odd);
    read_memory(q);
    read_limits(q);
    q->seen = seconds_now();
}

// Takes over what the last look knew of this process.
static void remember(struct process *p, const struct processes *before, double since)
{
    const struct process *old =
        before->count > 0
            ? bsearch(p, before->list, before->count, sizeof *p, compare_rank)
            : NULL;

    if (!old || old->start != p->start)
        return;
    p->connections = old->connections;
    p->counted = old->counted;
    p->serves = old->serves;
    p->descriptors = old->descriptors;
    p->kib_private = old->kib_private;
    p->kib_shared = old->kib_shared;
    p->descriptors_limit = old->descriptors_limit;
    p->kib_virtual_limit = old->kib_virtual_limit;
    p->kib_stack = old->kib_stack;
    p->seen = old->seen;
    if (since > 0 && p->ticks > old->ticks)
        p->cpu =
            100 * (double)(p->ticks - old->ticks) / (double)sysconf(_SC_CLK_TCK) / since;
}

// Reads the details of the first root, which matter most, and of the longest unread until
// the time is up; and then not before twenty times as much as that was work has passed.
static void read_oldest(struct processes *p, const struct sockets *s, double seconds)
{
    double begin = seconds_now(), worked = seconds_worked();

    if (begin < p->details_due || p->count == 0)
        return;
    read_details(p, p->list, s);
    while (seconds_now() < begin + seconds) {
        struct process *oldest = NULL;
        for (struct process *q = p->list; q < p->list + p->count; q++)
            if (q->state != 'Z' && q->seen < p->looked &&
                (!oldest || q->seen < oldest->seen))
                oldest = q;
        if (!oldest)
            break;
        read_details(p, oldest, s);
    }
    p->details_due = begin + 20 * (seconds_worked() - worked);
}

// Where the number of descriptors has changed, so may have the connections. To count them
// all takes too long where there are many; whether there are any does not.
static void read_descriptors(struct process *p, const struct sockets *s)
{
    enum { FEW = 64 };
    unsigned long before = p->descriptors;

    p->descriptors = count_descriptors(p->pid);
    if (p->descriptors == before)
        return;
    if (p->descriptors <= FEW) {
        p->counted = p->descriptors;
        p->connections = sockets_held(p->pid, s, NULL).accepted;
        p->serves = p->connections > 0;
    } else if (!p->is_root) {
        p->serves = first_sockets_held(p->pid, s).accepted > 0;
    }
}

void look_at_processes(struct processes *p, const struct sockets *s, double seconds)
{
    struct processes before = *p;
    double now = seconds_now();
    size_t n;
    struct process *all = list_all(&n);

    find_roots(p, s, all, n);
    p->list = all;
    p->count = keep_family(p, all, n);
    p->looked = now;
    for (size_t i = 0; i < p->count; i++) {
        remember(all + i, &before, before.looked > 0 ? now - before.looked : 0);
        if (all[i].state != 'Z')
            read_descriptors(all + i, s);
    }
    free(before.list);
    if (p->root_count == 0)
        p->odd.count = p->reset = 0;
    read_oldest(p, s, seconds);
}

static void count_one(const struct process *p, struct totals *t)
{
    t->running += p->state == 'R';
    t->sleeping += p->state == 'S';
    t->zombies += p->state == 'Z';
    t->others += !strchr("RSZ", p->state);
    t->cpu += p->cpu;
    if (p->state == 'Z')
        return;
    t->threads += p->threads;
    if (!t->largest || p->kib_virtual > t->largest->kib_virtual)
        t->largest = p;
    if (!t->fullest || p->descriptors > t->fullest->descriptors)
        t->fullest = p;
}

// Adds up the memory. Of hundreds of children only some may have been read yet: the others
// are taken for as large as these are on average.
static void count_memory(const struct processes *p, struct totals *t)
{
    unsigned long private = 0, shared = 0, living = 0, read = 0;

    for (const struct process *q = p->list; q < p->list + p->count; q++) {
        if (q->is_root) {
            t->kib_private += q->kib_private;
            t->kib_shared += q->kib_shared;
        } else if (q->state != 'Z') {
            living++;
            read += q->seen > 0;
            private += q->kib_private;
            shared += q->kib_shared;
        }
    }
    if (read > 0) {
        t->child_private = private / read;
        t->child_shared = shared / read;
        t->kib_private += private * living / read;
        t->kib_shared += shared * living / read;
    }
}

void count_all(const struct processes *p, struct totals *t)
{
    *t = (struct totals){0};
    for (const struct process *q = p->list; q < p->list + p->count; q++) {
        count_one(q, t);
        t->children += !q->is_root;
    }
    count_memory(p, t);
}
