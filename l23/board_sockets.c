// board_sockets.c: see board.h
//
// sock_diag(7) is what ss uses: the kernel filters by port itself and answers in binary,
// hundreds of sockets a call. /proc/net/tcp would be every socket of the machine as text.

#include "board.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// The kernel's numbers of the states, in the order of their names in state_names.
enum {
    ESTABLISHED = 1,
    SYN_SENT,
    SYN_RECV,
    CLOSE_WAIT = 8,
    LISTEN = 10,
    CLOSING,
    NEW_SYN_RECV,
    EVERY_STATE = 0xfff
};

static const char *const state_names[] = {
    "UNKNOWN",   "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
    "FIN_WAIT2", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT", "LAST_ACK",
    "LISTEN",    "CLOSING",     "SYN_RECV",
};

typedef void found_function(const struct inet_diag_msg *m, unsigned dropped,
                            void *context);

int open_sock_diag(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    // The kernel answers at once; but a board that waits for ever cannot be left.
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 2},
                   sizeof(struct timeval));
    return fd;
}

static unsigned dropped_by(const struct nlmsghdr *h)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    unsigned left = h->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof *m);
    const struct rtattr *a = (const struct rtattr *)(m + 1);

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == INET_DIAG_SKMEMINFO &&
            RTA_PAYLOAD(a) >= (SK_MEMINFO_DROPS + 1) * sizeof(uint32_t))
            return ((const uint32_t *)RTA_DATA(a))[SK_MEMINFO_DROPS];
    return 0;
}

// Reads one dump to its end.
static int receive(int netlink, found_function *found, void *context)
{
    static _Alignas(struct nlmsghdr) char buffer[1 << 16];

    while (1) {
        ssize_t n = recv(netlink, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        unsigned left = (unsigned)n;
        for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
                return -1;
            }
            found(NLMSG_DATA(h), dropped_by(h), context);
        }
    }
}

// Asks for the sockets in these states, of IPv4 and IPv6.
static int dump(int netlink, int port, bool clients, unsigned states,
                found_function *found, void *context)
{
    const int families[] = {AF_INET, AF_INET6};

    for (int i = 0; i < 2; i++) {
        struct {
            struct nlmsghdr h;
            struct inet_diag_req_v2 r;
        } ask = {
            .h = {.nlmsg_len = sizeof ask,
                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
            .r = {.sdiag_family = (uint8_t)families[i],
                  .sdiag_protocol = IPPROTO_TCP,
                  .idiag_states = states},
        };
        if (clients)
            ask.r.id.idiag_dport = htons((uint16_t)port);
        else
            ask.r.id.idiag_sport = htons((uint16_t)port);
        if (states == 1 << LISTEN)
            ask.r.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
        if (send(netlink, &ask, sizeof ask, 0) < 0)
            return -1;
        if (receive(netlink, found, context) < 0 &&
            !(families[i] == AF_INET6 && errno == ENOENT))
            return -1;
    }
    return 0;
}

int for_each_socket(int netlink, int port, bool clients, found_function *found,
                    void *context)
{
    if (!clients && dump(netlink, port, false, 1 << LISTEN, found, context) < 0)
        return -1;
    return dump(netlink, port, clients, EVERY_STATE & ~(1U << LISTEN), found, context);
}

void add_inode(struct inodes *list, unsigned long inode)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 1024;
        list->list = realloc(list->list, list->room * sizeof *list->list);
        if (!list->list) {
            perror("the board");
            exit(1);
        }
    }
    list->list[list->count++] = inode;
}

static int compare_inodes(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

void sort_inodes(struct inodes *list)
{
    if (list->count > 0)
        qsort(list->list, list->count, sizeof *list->list, compare_inodes);
}

bool has_inode(const struct inodes *list, unsigned long inode)
{
    return list->count > 0 &&
           bsearch(&inode, list->list, list->count, sizeof inode, compare_inodes);
}

static void add_listener(struct sockets *s, const struct inet_diag_msg *m,
                         unsigned dropped)
{
    char peer[sizeof s->address];

    if (s->listening == 0)
        socket_ends(m, s->address, peer, sizeof s->address);
    if (s->listening < LISTENERS_MAX)
        s->listen[s->listening++] = m->idiag_inode;
    s->queue += m->idiag_rqueue;
    s->limit += m->idiag_wqueue;
    s->dropped += dropped;
}

static void add(const struct inet_diag_msg *m, unsigned dropped, void *context)
{
    struct sockets *s = context;
    unsigned state = m->idiag_state;

    if (state == LISTEN) {
        add_listener(s, m, dropped);
    } else if (state == SYN_RECV || state == NEW_SYN_RECV) {
        ; // its client is counted among those that knock, when it is on this machine
    } else if (state != ESTABLISHED && state != CLOSE_WAIT) {
        s->closing++;
    } else if (m->idiag_inode == 0) {
        s->waiting++;
    } else {
        add_inode(&s->accepted, m->idiag_inode);
        if (state == ESTABLISHED)
            s->served++;
        else
            s->gone++;
    }
}

static void add_knocking(const struct inet_diag_msg *m, unsigned dropped, void *context)
{
    (void)m, (void)dropped;
    ((struct sockets *)context)->knocking++;
}

int look_at_sockets(int netlink, int port, struct sockets *s)
{
    *s = (struct sockets){.accepted = {s->accepted.list, 0, s->accepted.room}};
    if (for_each_socket(netlink, port, false, add, s) < 0 ||
        dump(netlink, port, true, 1 << SYN_SENT, add_knocking, s) < 0)
        return -1;
    sort_inodes(&s->accepted);
    return 0;
}

const char *socket_state(const struct inet_diag_msg *m)
{
    return state_names[m->idiag_state < sizeof state_names / sizeof *state_names
                           ? m->idiag_state
                           : 0];
}

void socket_ends(const struct inet_diag_msg *m, char *local, char *peer, size_t size)
{
    const struct inet_diag_sockid *id = &m->id;
    const char *form = m->idiag_family == AF_INET6 ? "[%s]:%d" : "%s:%d";
    char name[INET6_ADDRSTRLEN];

    inet_ntop(m->idiag_family, id->idiag_src, name, sizeof name);
    snprintf(local, size, form, name, ntohs(id->idiag_sport));
    inet_ntop(m->idiag_family, id->idiag_dst, name, sizeof name);
    snprintf(peer, size, form, name, ntohs(id->idiag_dport));
}
