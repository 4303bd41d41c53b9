// connection.h: one connection that never blocks
//
// Knows the question and the answer and nothing of other connections: whoever has a loop
// finds out when it is ready, in a way of its own, and calls connection_run.

#ifndef L23_CONNECTION_H
#define L23_CONNECTION_H

#include <stdbool.h>

// 40 bytes while it is idle: the buffers are there only while something is in them.
struct connection {
    int fd;
    short events;        // what it waits for: POLLIN, POLLOUT, or 0 when it is over
    bool ended;          // the client has sent its last byte
    bool skipping;       // in a line that is too long
    bool progress;       // the last run answered a line, or sent part of an answer
    unsigned kept;       // length of `line`
    unsigned begin, end; // what is left of `pending`
    char *line;          // the beginning of a line; its end has not come
    char *pending;       // answers that the client has not taken
};

// connection_init(c, fd)
//   Makes `c` the connection of `fd`, a connected, non-blocking socket, which it owns now.
void connection_init(struct connection *c, int fd);

// connection_run(c)
//   Does what can be done without waiting: reads what has come, a block at most, and
//   answers all complete lines with one write. A client that does not take its answers is
//   not read from until it has. Returns what `c` waits for next, as poll(2) names it (for
//   epoll(7) the numbers are the same), or 0 when it is over: all answered after the
//   client's end of file, or an error. It ends in no other way: it sends no SIGPIPE.
int connection_run(struct connection *c);

// connection_close(c)
//   Closes the socket, frees the buffers.
void connection_close(struct connection *c);

// raise_descriptor_limit()
//   Raises the process's descriptor limit as far as it may go, a million at most, and
//   returns it: no descriptor will be equal to it or above.
int raise_descriptor_limit(void);

#endif
