// noreuse.c: setsockopt without SO_REUSEADDR
//
// LD_PRELOAD=tests/noreuse.so: the program believes that it has set the option. Shows what
// tip 1 is good for, with any server, unchanged.

#define _GNU_SOURCE // syscall
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    if (level == SOL_SOCKET && option == SO_REUSEADDR)
        return 0;
    return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}
