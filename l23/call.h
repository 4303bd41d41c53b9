// call.h: a question to the server, from inside any program

#ifndef L23_CALL_H
#define L23_CALL_H

#include <stddef.h>

// call_server(request, n, answer, size)
//   Sends `request`, a line of n bytes with its newline, to the server at L23_HOST
//   (127.0.0.1 unless set), port L23_PORT (6168 unless set), and puts the line that comes
//   back, the answer that begins with the request, into `answer`, without its newline.
//   Returns 0, or -1 with errno set when there is none: ETIMEDOUT after a second, and then
//   for ten seconds at once, without asking. (A host given by name has to be looked up
//   first, and that has no limit here.)
//   One connection is kept between calls and opened anew when it breaks. Threads may call
//   at the same time; a child of fork(2) opens its own, but holds those that other threads
//   were using at that moment until it ends or execs. No SIGPIPE. `size` is
//   ANSWER_MAX_BYTES at least; a longer answer counts as none.
int call_server(const char *request, size_t n, char *answer, size_t size);

#endif
