// holder.c: see holder.h

#include "holder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// An address as /proc/net/tcp and tcp6 have it: the machine's words in hexadecimal.
struct address {
    char words[33];
    unsigned port;
};

static struct address address_of(const struct sockaddr *a)
{
    struct address r = {.port = 0};
    const uint32_t *word = NULL;
    int n = 0;

    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)a;
        r.port = ntohs(in->sin_port);
        word = &in->sin_addr.s_addr;
        n = 1;
    } else if (a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)a;
        r.port = ntohs(in->sin6_port);
        word = (const void *)&in->sin6_addr;
        n = 4;
    }
    for (int i = 0; i < n; i++)
        snprintf(r.words + 8 * i, 9, "%08" PRIX32, word[i]);
    return r;
}

// No address in particular: all of them.
static bool is_any(const char *words)
{
    return words[strspn(words, "0")] == '\0';
}

// Is it that address? ::ffff:127.0.0.1 is 127.0.0.1, too.
static bool is_same(const char *local, const char *wanted)
{
    char mapped[33];
    snprintf(mapped, sizeof mapped, "%016d%08" PRIX32 "%.8s", 0, htonl(0xffff), wanted);
    return strcmp(local, wanted) == 0 ||
           (strlen(wanted) == 8 && strcmp(local, mapped) == 0);
}

// The inode of the socket that listens there, as listed in such a table; 0: none found.
static unsigned long listening_inode(const char *table, const struct address *wanted)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(table, "r");

    while (f && inode == 0 && fgets(line, sizeof line, f)) {
        struct address local;
        unsigned state;
        unsigned long i;
        if (sscanf(line,
                   " %*d: %32[0-9A-F]:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   local.words, &local.port, &state, &i) == 4 &&
            local.port == wanted->port && state == 10 && // TCP_LISTEN
            (is_any(local.words) || is_any(wanted->words) ||
             is_same(local.words, wanted->words)))
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

void print_holder(const struct sockaddr *address)
{
    int saved = errno;
    struct address wanted = address_of(address);
    unsigned long inode = listening_inode("/proc/net/tcp", &wanted);

    if (inode == 0)
        inode = listening_inode("/proc/net/tcp6", &wanted);
    if (inode != 0)
        print_process(inode);
    errno = saved;
}
