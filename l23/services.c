// services.c: the cache, and the answers that come out of it; see common.h

#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The cache: a hash table from a request to its answer, both as text. A service is in it
// under each of its names with its protocol, and, when that is tcp, without.

struct service {
    struct service *next;
    uint64_t hash;
    unsigned key_length, answer_length;
    char text[]; // the key, then the answer in whole COPYs
};

// COPY bytes at once hold most answers: a copy without a loop.
enum { WORD = PADDING, COPY = 32 };

enum { BUCKETS = 1 << 14 };
static struct service **services;

// Takes a word at a time; of the last one it keeps the bytes that belong to the key.
static uint64_t hash_of(const char *key, size_t n)
{
    static const unsigned char keep[2 * WORD] = {255, 255, 255, 255, 255, 255, 255, 255};
    const uint64_t odd = 0x9e3779b97f4a7c15; // 2^64 over the golden ratio
    uint64_t hash = n, word, kept;

    for (; n > WORD; key += WORD, n -= WORD) {
        memcpy(&word, key, WORD);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    memcpy(&word, key, WORD);
    memcpy(&kept, keep + WORD - n, WORD);
    hash = (hash ^ (word & kept)) * odd;
    return hash ^ hash >> 32;
}

static const struct service *find_service(const char *key, size_t n)
{
    uint64_t hash = hash_of(key, n);
    const struct service *s = services[hash % BUCKETS];

    while (s && !(s->hash == hash && s->key_length == n && memcmp(s->text, key, n) == 0))
        s = s->next;
    return s;
}

// Bytes that do not print come back as '?': an answer is safe to show on a terminal.
static void copy_printable(char *out, const char *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = isprint((unsigned char)in[i]) ? in[i] : '?';
}

// Of two services with one name the first one counts, as for getservbyname(3). False
// without memory.
static bool add_service(const char *name, const char *protocol, int port)
{
    char number[16];
    size_t tail = (size_t)snprintf(number, sizeof number, ", %d\n", port);
    size_t n = strlen(name) + (protocol ? 1 + strlen(protocol) : 0);
    struct service *s = malloc(sizeof *s + n + n + tail + COPY);

    if (!s)
        return false;
    snprintf(s->text, n + 1, "%s%s%s", name, protocol ? "/" : "",
             protocol ? protocol : "");
    if (find_service(s->text, n)) {
        free(s);
        return true;
    }
    s->hash = hash_of(s->text, n);
    s->key_length = (unsigned)n;
    s->answer_length = (unsigned)(n + tail);
    copy_printable(s->text + n, s->text, n);
    memcpy(s->text + n + n, number, tail);
    s->next = services[s->hash % BUCKETS];
    services[s->hash % BUCKETS] = s;
    return true;
}

static void free_services(struct service **table)
{
    for (size_t i = 0; table && i < BUCKETS; i++)
        for (struct service *s; (s = table[i]); free(s))
            table[i] = s->next;
    free(table);
}

// Reads the database into `services`; the number of services, or -1 without memory.
static int read_services(void)
{
    int found = 0;

    for (struct servent *e; errno = 0, (e = getservent()); found++) {
        bool tcp = strcmp(e->s_proto, "tcp") == 0;
        int port = ntohs((uint16_t)e->s_port);
        for (int i = -1; i < 0 || e->s_aliases[i]; i++) {
            const char *name = i < 0 ? e->s_name : e->s_aliases[i];
            if (!add_service(name, e->s_proto, port) ||
                (tcp && !add_service(name, NULL, port)))
                return -1;
        }
    }
    return errno == ENOMEM ? -1 : found;
}

int load_services(void)
{
    struct service **old = services;

    // The database's stream first: closed again, it leaves its place, on the heap's first
    // page, to the stream that a forked child opens. Elsewhere that would cost a page more.
    setservent(1);
    services = calloc(BUCKETS, sizeof *services);
    int found = services ? read_services() : -1;
    endservent();
    if (found < 0 && !old) {
        errno = ENOMEM; // whatever endservent has left there
        perror("the services cache");
        exit(1);
    }
    if (found <= 0 && old) {
        free_services(services);
        services = old;
    } else {
        free_services(old);
    }
    return found;
}

// The answer to one line, without its newline; returns its length.
static size_t answer_line(const char *line, size_t n, char *out)
{
    static const char unknown[] = ", unknown\n";
    static const char too_long[] = "error: the line is longer than 1023 bytes\n";

    if (n > LINE_MAX_BYTES) {
        memcpy(out, too_long, sizeof too_long - 1);
        return sizeof too_long - 1;
    }
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    const struct service *s = find_service(line, n);
    if (s) {
        const char *answer = s->text + s->key_length;
        for (size_t done = 0; done < s->answer_length; done += COPY)
            memcpy(out + done, answer + done, COPY);
        return s->answer_length;
    }
    copy_printable(out, line, n);
    memcpy(out + n, unknown, sizeof unknown - 1);
    return n + sizeof unknown - 1;
}

size_t answer_lines(struct lines *in, bool eof, char *out, size_t size)
{
    char *o = out, *full = out + size - ANSWER_MAX_BYTES, *newline;

    while (o <= full &&
           (newline = memchr(in->begin, '\n', (size_t)(in->end - in->begin)))) {
        if (!in->skipping)
            o += answer_line(in->begin, (size_t)(newline - in->begin), o);
        in->skipping = false;
        in->begin = newline + 1;
    }
    if (o > full)
        return (size_t)(o - out);

    size_t left = (size_t)(in->end - in->begin);
    if (left > LINE_MAX_BYTES || (eof && left > 0)) {
        if (!in->skipping)
            o += answer_line(in->begin, left, o);
        in->skipping = !eof;
        in->begin = in->end;
    }
    return (size_t)(o - out);
}
