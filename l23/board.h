// board.h: the kernel's side of a server, as the board shows it
//
// board_sockets.c asks for the sockets of the port (sock_diag), board_processes.c for the
// processes that serve it (/proc), board_draw.c draws both, and board.c has main.

#ifndef L23_BOARD_H
#define L23_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct inet_diag_msg;

enum { LISTENERS_MAX = 64, ROOTS_MAX = 16 };

// A list that grows.
struct inodes {
    unsigned long *list;
    size_t count, room;
};

// The sockets with the server's port. The kernel completes a connection by itself; accept
// only takes it out of the listening socket's queue and gives it a descriptor, and with
// that an inode: a connection without an inode has not been accepted.
struct sockets {
    unsigned listening;                  // how many listening sockets
    unsigned long listen[LISTENERS_MAX]; // their inodes
    unsigned queue, limit;               // of them all: in the queue now, and at most
    unsigned long dropped;               // requests to connect that met a full queue
    char address[64];                    // of the first
    size_t waiting;                      // connected, not accepted
    size_t served;                       // accepted, and the client is there
    size_t gone;                         // accepted, the client is gone: CLOSE_WAIT
    size_t closing;                      // closed by the server: the last states
    size_t knocking;                     // clients of this machine not connected yet
    struct inodes accepted;              // sorted
};

struct process {
    pid_t pid, parent;
    bool is_root; // its parent does not serve the port
    char state;   // R runs, S sleeps, D waits for a disk, T is stopped, Z is a zombie
    char name[32];
    unsigned long long start; // with pid, names a process for ever
    unsigned long long ticks; // of CPU time, used
    double cpu;               // percent of a core since the last look
    unsigned long threads, kib_virtual;
    unsigned long descriptors, descriptors_limit, kib_virtual_limit, kib_stack; // 0: none
    unsigned long connections; // open here, when there were as many descriptors as
    unsigned long counted;     // this; `serves` says at any time whether there are any
    bool serves;
    unsigned long kib_private, kib_shared;
    double seen; // when the details were read, for they cost most; 0: not yet
};

struct root {
    pid_t pid;
    unsigned long long start;
};

struct processes {
    struct process *list; // roots first, then by pid
    size_t count;
    struct root roots[ROOTS_MAX];
    size_t root_count;
    unsigned long searched_for; // the first socket of the last search
    double searched, looked;    // when
    double details_due;         // when to read details again
    struct inodes odd;          // sockets of the first root in no state any more, at
    size_t reset;               // its last reading; so many at the one before too
};

// Everything, with what has to be remembered from one look to the next.
struct board {
    int port, netlink;
    struct sockets sockets;
    struct processes processes;
    unsigned queue_most;
    size_t scale; // connections a mark
};

// add_inode(list, inode), sort_inodes(list), has_inode(list, inode)
//   The last one needs a sorted list. The list's owner frees list->list. Without memory
//   add_inode prints why and exits 1.
void add_inode(struct inodes *list, unsigned long inode);
void sort_inodes(struct inodes *list);
bool has_inode(const struct inodes *list, unsigned long inode);

// open_sock_diag()
//   A netlink socket for the two functions below, closed by the caller; -1 with errno.
int open_sock_diag(void);

// look_at_sockets(netlink, port, s)
//   Fills `s`, whose `accepted` it reuses. Returns 0, or -1 with errno.
int look_at_sockets(int netlink, int port, struct sockets *s);

// for_each_socket(netlink, port, clients, found, context)
//   Calls `found` for each socket with this local port, or with `clients` for those whose
//   peer has it. `dropped` is what a listening socket has dropped. Returns 0, or -1 with
//   errno.
int for_each_socket(int netlink, int port, bool clients,
                    void (*found)(const struct inet_diag_msg *m, unsigned dropped,
                                  void *context),
                    void *context);

// socket_state(m), socket_ends(m, local, peer, size)
//   The name of its state, as in netstat(8), not to be freed; its two ends, as
//   ADDRESS:PORT, cut short at `size` bytes (64 hold any).
const char *socket_state(const struct inet_diag_msg *m);
void socket_ends(const struct inet_diag_msg *m, char *local, char *peer, size_t size);

// look_at_processes(p, s, seconds)
//   Finds the processes that hold the sockets of `s` and their descendants. What costs
//   much (memory, each of thousands of descriptors) is read anew for as many as `seconds`
//   allow, the longest unread first. Exits 1 when memory is short.
void look_at_processes(struct processes *p, const struct sockets *s, double seconds);

// for_each_descriptor(pid, found, context)
//   Calls `found` with each open descriptor and what it is, as in /proc/PID/fd.
void for_each_descriptor(pid_t pid,
                         void (*found)(int fd, const char *what, void *context),
                         void *context);

// seconds_now(), seconds_worked()
//   A clock that never jumps; the CPU time that this process has used.
double seconds_now(void);
double seconds_worked(void);

// The board as a whole: counts over all processes.
struct totals {
    size_t children, running, sleeping, zombies, others;
    unsigned long threads, kib_private, kib_shared; // shared pages count in each process
    unsigned long child_private, child_shared;      // of a child, on average
    const struct process *fullest;                  // most descriptors; NULL: none
    const struct process *largest;                  // most addresses
    double cpu;
};

// count_all(p, t)
//   Fills `t`, whose pointers are into `p` and valid as long as that is not looked at anew.
void count_all(const struct processes *p, struct totals *t);

// draw(b, rows, columns, colour, out)
//   Draws the board into `out` as a whole screen, from its upper left corner.
void draw(struct board *b, int rows, int columns, bool colour, FILE *out);

#endif
