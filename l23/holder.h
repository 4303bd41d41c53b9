// holder.h: who holds a port

#ifndef L23_HOLDER_H
#define L23_HOLDER_H

// print_holder(port)
//   Says on stderr which process listens on TCP `port`, if /proc lets us see it; else
//   nothing. Keeps errno.
void print_holder(int port);

#endif
