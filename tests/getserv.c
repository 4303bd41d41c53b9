// getserv.c: what getservbyname(3) says, to compare with
//
// usage: getserv questions | answers
// Takes every name and alias of the services database and asks about each without a
// protocol and with every protocol of the database. Prints the questions as a client would
// send them, or the answers of getservbyname(3) in the same order and the same form.

#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    char **text;
    size_t n;
};

static void append(struct list *l, const char *text)
{
    char **grown = realloc(l->text, (l->n + 1) * sizeof *grown);
    if (!grown || !(grown[l->n] = strdup(text))) {
        perror("getserv");
        exit(1);
    }
    l->text = grown;
    l->n++;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_unite(struct list *l)
{
    size_t kept = 0;
    if (l->n > 0)
        qsort(l->text, l->n, sizeof *l->text, compare);
    for (size_t i = 0; i < l->n; i++) {
        if (kept > 0 && strcmp(l->text[kept - 1], l->text[i]) == 0)
            free(l->text[i]);
        else
            l->text[kept++] = l->text[i];
    }
    l->n = kept;
}

static void print(const char *text, bool safely)
{
    for (; *text; text++)
        putchar(!safely || isprint((unsigned char)*text) ? *text : '?');
}

static void ask(const char *name, const char *protocol, bool answers)
{
    print(name, answers);
    if (protocol) {
        putchar('/');
        print(protocol, answers);
    }
    if (answers) {
        struct servent *e = getservbyname(name, protocol ? protocol : "tcp");
        if (e)
            printf(", %d", ntohs((uint16_t)e->s_port));
        else
            printf(", unknown");
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct list names = {0}, protocols = {0};
    bool answers = argc == 2 && strcmp(argv[1], "answers") == 0;

    if (!answers && !(argc == 2 && strcmp(argv[1], "questions") == 0)) {
        fprintf(stderr, "usage: %s questions | answers\n", argv[0]);
        return 2;
    }
    setservent(1);
    for (struct servent *e; (e = getservent());) {
        append(&names, e->s_name);
        append(&protocols, e->s_proto);
        for (char **alias = e->s_aliases; *alias; alias++)
            append(&names, *alias);
    }
    endservent();
    sort_and_unite(&names);
    sort_and_unite(&protocols);

    setservent(1); // keeps the database open from one question to the next
    for (size_t i = 0; i < names.n; i++) {
        ask(names.text[i], NULL, answers);
        for (size_t j = 0; j < protocols.n; j++)
            ask(names.text[i], protocols.text[j], answers);
    }
    endservent();

    for (size_t i = 0; i < names.n; i++)
        free(names.text[i]);
    for (size_t j = 0; j < protocols.n; j++)
        free(protocols.text[j]);
    free(names.text);
    free(protocols.text);
    return fflush(stdout) == EOF;
}
