// holder.c: see holder.h

#include "holder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The inode of the socket that listens on `port`, as listed in /proc/net/tcp; 0: none found.
static unsigned long listening_inode(const char *table, int port)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(table, "r");

    while (f && inode == 0 && fgets(line, sizeof line, f)) {
        unsigned p, state;
        unsigned long i;
        if (sscanf(line, " %*d: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &p,
                   &state, &i) == 3 &&
            p == (unsigned)port && state == 10) // TCP_LISTEN
            inode = i;
    }
    if (f)
        fclose(f);
    return inode;
}

// Says which process has the socket `inode` open, if /proc lets us see it.
static void print_process(unsigned long inode)
{
    char wanted[64], path[600], link[64], name[64];
    DIR *proc = opendir("/proc");

    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    for (struct dirent *p; proc && (p = readdir(proc));) {
        snprintf(path, sizeof path, "/proc/%s/fd", p->d_name);
        DIR *fds = isdigit((unsigned char)*p->d_name) ? opendir(path) : NULL;
        for (struct dirent *d; fds && (d = readdir(fds));) {
            snprintf(path, sizeof path, "/proc/%s/fd/%s", p->d_name, d->d_name);
            ssize_t n = readlink(path, link, sizeof link - 1);
            if (n < 0 || (link[n] = '\0', strcmp(link, wanted) != 0))
                continue;
            snprintf(path, sizeof path, "/proc/%s/comm", p->d_name);
            FILE *f = fopen(path, "r");
            if (f && fscanf(f, "%63s", name) == 1)
                fprintf(stderr, "It is held by process %s (%s).\n", p->d_name, name);
            if (f)
                fclose(f);
            closedir(fds);
            closedir(proc);
            return;
        }
        if (fds)
            closedir(fds);
    }
    if (proc)
        closedir(proc);
}

void print_holder(int port)
{
    int saved = errno;
    unsigned long inode = listening_inode("/proc/net/tcp", port);

    if (inode == 0)
        inode = listening_inode("/proc/net/tcp6", port);
    if (inode != 0)
        print_process(inode);
    errno = saved;
}
