// serviceparser.c: a filter that looks up services
//
// New:    every line of standard input is a question, answered from the cached database.
// See:    make demo-parser
// Breaks: one input and one output: callers can't be told apart.

#include <stdio.h>
#include <stdlib.h>

#include "l23/common.h"

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "usage: ./serviceparser < questions\n");
        exit(2);
    }
    load_services();

    if (handle_connection(stdin, stdout) < 0) {
        perror("serviceparser");
        exit(1);
    }
}
