// holder.h: who holds a port

#ifndef L23_HOLDER_H
#define L23_HOLDER_H

struct sockaddr;

// print_holder(address)
//   Says on stderr which process listens on this TCP port of this address, or of all
//   addresses, if /proc lets us see it; else nothing. Keeps errno.
void print_holder(const struct sockaddr *address);

#endif
