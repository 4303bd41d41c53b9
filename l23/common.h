// common.h: what all programs of the lecture share
//
// Set-up (parse_port, load_services, make_listen) prints its error and ends the program.
// Everything else returns -1 with errno set, and main decides.

#ifndef L23_COMMON_H
#define L23_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct addrinfo;

enum {
    DEFAULT_PORT = 6168,     // the lecture's
    LINE_MAX_BYTES = 1023,   // longest request, without its newline
    ANSWER_MAX_BYTES = 1088, // room for any answer: the request, ", unknown", a newline
    PADDING = 8 // readable bytes behind a block of input: the hash takes whole words
};

// parse_port(argc, argv)
//   The port of a command line `PROGRAM [PORT]`: 0 (the kernel picks one) to 65535,
//   DEFAULT_PORT when there is none. Prints the usage and exits 2 on anything else. Also
//   puts in order what a parent may have left otherwise: see open_standard_descriptors;
//   SIGCHLD is not ignored, no signal is blocked.
int parse_port(int argc, char **argv);

// open_standard_descriptors()
//   Opens /dev/null as descriptors 0, 1, 2 where they are closed, or else a socket would get
//   such a number, and a client what was meant for stderr.
void open_standard_descriptors(void);

// resolve(host, port, a)
//   getaddrinfo(3) for TCP, both as text; IPv4 if the host has it, for `localhost` is both,
//   and one of our servers listens at one of them. Returns 0, and the caller frees *a, or
//   the error for gai_strerror(3).
int resolve(const char *host, const char *port, struct addrinfo **a);

// connected_to_itself(fd)
//   Where nobody listens, a connect(2) that happens to come from the very port that it goes
//   to succeeds, and meets itself. Is `fd` such a socket? (Here, for serviceremote.so has
//   nothing of common.c.)
static inline bool connected_to_itself(int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t n = sizeof own, m = sizeof peer;
    return getsockname(fd, (struct sockaddr *)&own, &n) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &m) == 0 &&
           memcmp(&own, &peer, sizeof own) == 0;
}

// load_services()
//   Reads the machine's whole services database (setservent(3), getservent(3)) into the
//   cache. Call it before any fork or thread: afterwards nobody writes the cache, so
//   children share its pages and threads need no lock. A second call reads it anew, and
//   keeps what there is when it finds nothing or memory is short. Returns the number of
//   services found, -1 without memory. The first call then exits 1 instead.
int load_services(void);

// make_listen(port)
//   Returns a listening socket on `port` of the address in L23_HOST (127.0.0.1 unless
//   set), backlog 100, and says on stderr which port that is. Port 0: the kernel picks
//   one, and later calls return to the same. The caller closes it. SO_REUSEADDR is set
//   (tip 1), and TCP_NODELAY, which accepted sockets inherit. Prints why and exits 1 on
//   failure; names the process that holds the port where /proc tells.
int make_listen(int port);

// end_with_parent()
//   For a child of the process that has called make_listen: SIGTERM comes when that
//   process ends. Ends the child at once if it has ended already.
void end_with_parent(void);

// handle_connection(fin, fout)
//   Answers every line of `fin` on `fout`, in order, until end of file: one read for all
//   that has come (16 KiB at most), one write for its answers (for each 32 KiB of them).
//   Closes neither stream. `fout` must not have been written to.
//   Returns 0 at end of file, -1 with errno set as by read(2) or write(2).
int handle_connection(FILE *fin, FILE *fout);

// stop_accepting(fd, n, what)
//   For a server that has met its wall: prints that connection `n` failed at `what`, and
//   errno; closes the listening socket `fd`; waits until the clients that it serves in
//   children or threads have left (threads as far as /proc tells of them); exits 1.
_Noreturn void stop_accepting(int fd, unsigned long n, const char *what);

// Input that has been received and is not answered yet.
struct lines {
    char *begin, *end; // PADDING more bytes past `end` must be readable
    bool skipping;     // in a line that is too long, whose error has been given
};

// answer_lines(in, eof, out, size)
//   Takes complete lines from the front of `in` and writes their answers to `out`, as many
//   as surely fit in `size` bytes, ANSWER_MAX_BYTES at least; with `eof`, a last line
//   without its newline too.
//   Returns the number of bytes written: 0 when no complete line is left, and then `in`
//   holds at most LINE_MAX_BYTES.
size_t answer_lines(struct lines *in, bool eof, char *out, size_t size);

#endif
