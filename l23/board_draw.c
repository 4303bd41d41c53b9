// board_draw.c: see board.h
//
// The screen is an array of cells; what does not fit is cut off, and where things stand
// depends on the size of the terminal alone, never on the numbers: nothing jumps.

#include "board.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum style { PLAIN, DIM, BOLD, GOOD, WARN, BAD, TITLE, STYLES };

// With and without colour. What is bad stands out either way.
static const char *const styles[2][STYLES] = {
    {"", "", "1", "", "1", "1;7", "7"},
    {"", "2", "1", "32", "1;33", "1;31", "7"},
};

struct cell {
    char glyph[5];
    enum style style;
};

static struct {
    struct cell *cells;
    int rows, columns;
} screen;

// The marks, in UTF-8 or, where the terminal is not, in ASCII.
static const char *mark_full, *mark_empty, *mark_shared, *mark_one, *mark_idle;

static void choose_marks(void)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    mark_full = utf8 ? "█" : "#";
    mark_shared = utf8 ? "▒" : "+";
    mark_empty = utf8 ? "·" : ".";
    mark_one = utf8 ? "■" : "#";
    mark_idle = utf8 ? "□" : "o";
}

static void clear_screen(int rows, int columns)
{
    size_t n = (size_t)rows * (size_t)columns;
    free(screen.cells);
    screen.cells = malloc((n + 1) * sizeof *screen.cells);
    if (!screen.cells) {
        perror("the board");
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        screen.cells[i] = (struct cell){" ", PLAIN};
    screen.rows = rows;
    screen.columns = columns;
}

// Writes `text` and returns the column after it. Each character is a cell wide.
static int put(int row, int column, enum style style, const char *text)
{
    while (*text) {
        size_t n = 1;
        while (((unsigned char)text[n] & 0xc0) == 0x80)
            n++;
        if (row >= 0 && row < screen.rows && column >= 0 && column < screen.columns &&
            n < sizeof screen.cells->glyph) {
            struct cell *c = screen.cells + row * screen.columns + column;
            memcpy(c->glyph, text, n);
            c->glyph[n] = '\0';
            c->style = style;
        }
        column++;
        text += n;
    }
    return column;
}

__attribute__((format(printf, 4, 5))) static int
putf(int row, int column, enum style style, const char *form, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(text, sizeof text, form, arguments);
    va_end(arguments);
    return put(row, column, style, text);
}

static void print_screen(bool colour, FILE *out)
{
    fputs("\033[H", out);
    for (int row = 0; row < screen.rows; row++) {
        const struct cell *c = screen.cells + row * screen.columns;
        int end = screen.columns;
        enum style now = PLAIN;
        while (end > 0 && c[end - 1].style != TITLE && strcmp(c[end - 1].glyph, " ") == 0)
            end--;
        for (int i = 0; i < end; i++) {
            if (c[i].style != now)
                fprintf(out, "\033[0;%sm", styles[colour][c[i].style]);
            now = c[i].style;
            fputs(c[i].glyph, out);
        }
        fputs(end < screen.columns ? "\033[0m\033[K" : "\033[0m", out);
        if (row + 1 < screen.rows)
            fputs("\r\n", out);
    }
}

// KiB in at most five characters.
static const char *kib(unsigned long n)
{
    static char texts[8][32];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    const char *unit = "KMGT";
    double x = (double)n;

    while (x >= 999.5 && unit[1]) {
        x /= 1024;
        unit++;
    }
    snprintf(text, sizeof texts[0], x < 9.95 && *unit != 'K' ? "%.1f%c" : "%.0f%c", x,
             *unit);
    return text;
}

// A row of the upper part: label, number, and from BAR on a bar or marks.
enum { LABEL = 1, NUMBER = 14, BAR = 29 };

static int bar_width(void)
{
    return screen.columns > BAR + 2 ? screen.columns - BAR - 2 : 0;
}

static void put_label(int row, enum style style, const char *label, const char *number)
{
    put(row, LABEL, style == PLAIN ? BOLD : style, label);
    put(row, NUMBER, style == PLAIN ? BOLD : style, number);
}

// Any share above none shows.
static void put_bar(int row, enum style style, double share)
{
    int width = bar_width(), full = (int)(share * width + 0.5);
    full = full > width ? width : full == 0 && share > 0 ? 1 : full;
    for (int i = 0; i < width; i++)
        put(row, BAR + i, i < full ? style : DIM, i < full ? mark_full : mark_empty);
}

// A mark for each `scale` of them.
static void put_marks(int row, enum style style, size_t n, size_t scale)
{
    size_t marks = (n + scale - 1) / scale, width = (size_t)bar_width();
    for (size_t i = 0; i < marks && i < width; i++)
        put(row, BAR + (int)i, style, mark_one);
}

// 1, 2, 5, 10, 20 ...: how many things one mark is, so that n of them fit in `cells`.
static size_t scale_for(size_t n, size_t cells)
{
    size_t scale = 1;
    for (int i = 0; cells > 0 && (n + scale - 1) / scale > cells; i++)
        scale = i % 3 == 1 ? scale / 2 * 5 : scale * 2;
    return scale;
}

static void put_title(const struct board *b, const struct process *root)
{
    for (int i = 0; i < screen.columns; i++)
        put(0, i, TITLE, " ");
    if (root)
        putf(0, 1, TITLE, "%s   port %d   pid %d%s", root->name, b->port, root->pid,
             b->sockets.listening ? "" : "   NOT LISTENING: refuses clients");
    else if (b->sockets.listening)
        putf(0, 1, TITLE, "port %d   the server belongs to somebody else", b->port);
    else
        putf(0, 1, TITLE, "port %d   NO SERVER: waiting for one", b->port);
}

static void put_waiting(const struct board *b, int row, bool note)
{
    const struct sockets *s = &b->sockets;
    char number[64];
    enum style style = s->queue == 0 ? PLAIN : s->queue < s->limit ? WARN : BAD;
    // The kernel lets in one more than the limit.
    snprintf(number, sizeof number, s->listening ? "%zu of %u" : "%zu", s->waiting,
             s->limit);
    put_label(row, style, "WAITING", number);
    put_bar(row, style, s->limit ? (double)s->waiting / s->limit : 0);
    if (note) { // numbers first: a narrow screen cuts the rest off
        int at = putf(row + 1, LABEL, PLAIN, "most %u,  ", b->queue_most);
        at = putf(row + 1, at, s->dropped ? BAD : PLAIN, "%lu dropped", s->dropped);
        at = put(row + 1, at, PLAIN, ",  ");
        at = putf(row + 1, at, s->knocking ? BAD : PLAIN, "%zu still connecting",
                  s->knocking);
        put(row + 1, at, PLAIN, ";  connected, not accepted");
    }
}

// How many, and how many a mark is when that is more than one.
static void put_counted(int row, enum style style, const char *label, size_t n,
                        size_t scale, enum style mark)
{
    char number[64], each[48] = "";

    if (n > 0 && scale > 1)
        snprintf(each, sizeof each, "  %s=%zu", mark_one, scale);
    snprintf(number, sizeof number, "%zu%s", n, each);
    put_label(row, style, label, number);
    put_marks(row, mark, n, scale);
}

static void put_connections(struct board *b, int row, bool note)
{
    size_t accepted = b->sockets.served, leaked = b->sockets.gone + b->processes.reset;
    size_t most = accepted > leaked ? accepted : leaked;
    size_t scale = scale_for(most, (size_t)bar_width());

    b->scale = scale > b->scale ? scale : b->scale;
    put_counted(row, PLAIN, "ACCEPTED", accepted, b->scale, GOOD);
    put_counted(row + 1, leaked ? BAD : PLAIN, "LEAKED", leaked, b->scale, BAD);
    if (note)
        put(row + 2, LABEL, PLAIN, "client gone, socket still open (CLOSE_WAIT)");
}

static void put_descriptors(const struct totals *t, int row)
{
    const struct process *p = t->fullest;
    double share = p && p->descriptors_limit
                       ? (double)p->descriptors / (double)p->descriptors_limit
                       : 0;
    enum style style = share > 0.9 ? BAD : share > 0.5 ? WARN : PLAIN;
    char number[64];

    snprintf(number, sizeof number, p && p->descriptors_limit ? "%lu of %lu" : "%lu",
             p ? p->descriptors : 0, p ? p->descriptors_limit : 0);
    put_label(row, style, "DESCRIPTORS", number);
    put_bar(row, style == PLAIN ? GOOD : style, share);
}

static void put_threads(const struct totals *t, int row)
{
    const struct process *p = t->largest;
    char number[64];
    double share = 0;

    put_counted(row, PLAIN, "THREADS", t->threads,
                scale_for(t->threads, (size_t)bar_width()), GOOD);
    if (p && p->kib_virtual_limit)
        share = (double)p->kib_virtual / (double)p->kib_virtual_limit;
    snprintf(number, sizeof number, p && p->kib_virtual_limit ? "%s of %s" : "%s",
             kib(p ? p->kib_virtual : 0), kib(p ? p->kib_virtual_limit : 0));
    put_label(row + 1,
              share > 0.9   ? BAD
              : share > 0.5 ? WARN
                            : PLAIN,
              "ADDRESSES", number);
    if (share > 0)
        put_bar(row + 1, share > 0.9 ? BAD : share > 0.5 ? WARN : GOOD, share);
    else if (p && p->kib_stack)
        putf(row + 1, BAR, DIM, "no limit; a stack is %s", kib(p->kib_stack));
}

// One's own pages, and those shared with others: what copy-on-write saves.
static void put_memory(const struct processes *p, const struct totals *t, int row)
{
    enum { SHARE = BAR + 30 };
    const struct process *one = p->count > 0 ? p->list : NULL;
    bool children = t->child_private + t->child_shared > 0;
    unsigned long own = children ? t->child_private : one ? one->kib_private : 0;
    unsigned long shared = children ? t->child_shared : one ? one->kib_shared : 0;
    int left = screen.columns - 2 - SHARE, full = 0;
    char number[64];

    snprintf(number, sizeof number, "%s own", kib(t->kib_private));
    put_label(row, PLAIN, "MEMORY", number);
    putf(row, BAR, PLAIN, "%s%s own, %s shared", children ? "a child " : "", kib(own),
         kib(shared));
    if (own + shared > 0)
        full = (int)((double)left * (double)own / (double)(own + shared) + 0.5);
    for (int i = 0; own + shared > 0 && i < left; i++)
        put(row, SHARE + i, i < full ? WARN : GOOD, i < full ? mark_full : mark_shared);
}

static void put_cpu(const struct totals *t, int row)
{
    enum style style = t->cpu >= 90 ? BAD : t->cpu >= 50 ? WARN : PLAIN;
    char number[64];

    snprintf(number, sizeof number, "%.0f%% of a core", t->cpu);
    put_label(row, style, "CPU", number);
    put_bar(row, style == PLAIN ? GOOD : style, t->cpu >= 0.5 ? t->cpu / 100 : 0);
}

// What a process is doing, for the wall and the table.
enum doing { SERVES, RUNS, IDLE, OTHER, ZOMBIE, DOINGS };

static enum doing doing(const struct process *p)
{
    return p->state == 'Z'                ? ZOMBIE
           : p->state == 'R'              ? RUNS
           : p->state == 'S' && p->serves ? SERVES
           : p->state == 'S'              ? IDLE
                                          : OTHER;
}

static void put_doing(int row, int column, enum doing what)
{
    switch (what) {
    case SERVES:
        put(row, column, GOOD, mark_one);
        break;
    case RUNS:
        put(row, column, WARN, "R");
        break;
    case IDLE:
        put(row, column, DIM, mark_idle);
        break;
    case ZOMBIE:
        put(row, column, BAD, "Z");
        break;
    default:
        put(row, column, BOLD, "?");
    }
}

// A mark a child, by pid; where there are too many, by what they do.
static size_t put_wall(const struct processes *p, const struct totals *t, int row,
                       int height)
{
    int width = screen.columns - 2 * LABEL;
    size_t cells = width > 0 ? (size_t)width * (size_t)height : 0;
    // Each kind may need a mark of its own for its last few.
    size_t scale = t->children <= cells ? 1 : scale_for(t->children, cells - DOINGS);
    size_t counts[DOINGS] = {0}, at = 0;

    if (cells <= DOINGS)
        return 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->list[i].is_root)
            continue;
        counts[doing(p->list + i)]++;
        if (scale == 1) {
            put_doing(row + (int)at / width, LABEL + (int)at % width, doing(p->list + i));
            at++;
        }
    }
    for (int what = 0; scale > 1 && what < DOINGS; what++)
        for (size_t i = 0; i * scale < counts[what]; i++, at++)
            put_doing(row + (int)at / width, LABEL + (int)at % width, (enum doing)what);
    return scale;
}

static void put_processes(const struct processes *p, const struct totals *t, int row,
                          int height)
{
    enum { RUNNING = NUMBER, SLEEPING = RUNNING + 14, ZOMBIES = SLEEPING + 16 };
    size_t scale = put_wall(p, t, row + 2, height);
    char number[64];

    snprintf(number, sizeof number, "%zu", p->count);
    put_label(row, t->zombies ? BAD : PLAIN, "PROCESSES", number);
    int at = putf(row, BAR, PLAIN, "%zu parent + %zu children", p->count - t->children,
                  t->children);
    if (scale > 1)
        putf(row, at, PLAIN, ";  a mark is %zu", scale);
    row++;
    putf(row, RUNNING, t->running ? WARN : PLAIN, "%zu running", t->running);
    putf(row, SLEEPING, BOLD, "%zu sleeping", t->sleeping);
    at = putf(row, ZOMBIES, t->zombies ? BAD : PLAIN, "%zu zombie%s", t->zombies,
              t->zombies == 1 ? "" : "s");
    if (t->others > 0)
        putf(row, at, BOLD, ", %zu other", t->others);
}

static const char *state_name(char state)
{
    return state == 'R'   ? "running"
           : state == 'S' ? "sleeping"
           : state == 'Z' ? "ZOMBIE"
           : state == 'D' ? "disk"
           : state == 'T' ? "stopped"
                          : "other";
}

// A narrow screen has no room for these columns of the table, and leaves them out whole.
enum { OWN_SHARED = 69, ADDRESSES = 75 };

// What has not been read yet is left blank.
static void put_process(const struct process *p, int row)
{
    char descriptors[48], connections[24] = "";
    enum style style = p->state == 'Z' ? BAD : p->state == 'R' ? WARN : PLAIN;

    putf(row, 1, style, "%7d %-6s %-8s", p->pid, p->is_root ? "parent" : "child",
         state_name(p->state));
    if (p->state == 'Z')
        return;
    snprintf(descriptors, sizeof descriptors, p->seen > 0 ? "%lu/%lu" : "%lu",
             p->descriptors, p->descriptors_limit);
    if (p->counted == p->descriptors)
        snprintf(connections, sizeof connections, "%lu", p->connections);
    putf(row, 25, style, "%5lu %11s %6s %4.0f%%", p->threads, descriptors, connections,
         p->cpu);
    if (p->seen > 0 && screen.columns >= OWN_SHARED)
        putf(row, 56, style, "%5s %6s", kib(p->kib_private), kib(p->kib_shared));
    if (screen.columns >= ADDRESSES)
        putf(row, 69, style, "%5s", kib(p->kib_virtual));
}

// As many processes as there is room for.
static void put_table(const struct processes *p, int row, int height)
{
    size_t room = (size_t)height - 1;
    size_t shown = p->count <= room ? p->count : room - 1;

    put(row, 1, DIM, "    pid who    state    thrds descriptors  conns   CPU");
    if (screen.columns >= OWN_SHARED)
        put(row, 56, DIM, "  own shared");
    if (screen.columns >= ADDRESSES)
        put(row, 69, DIM, " addr");
    for (size_t i = 0; i < shown; i++)
        put_process(p->list + i, row + 1 + (int)i);
    if (shown < p->count)
        putf(row + 1 + (int)shown, 1, DIM, "    and %zu more", p->count - shown);
}

static void put_legend(int row)
{
    int at = LABEL;
    for (int what = 0; what < DOINGS; what++) {
        static const char *const names[] = {"serves", "runs", "idle", NULL, "zombie"};
        if (!names[what])
            continue;
        put_doing(row, at, (enum doing)what);
        at = putf(row, at + 2, PLAIN, "%s", names[what]) + 2;
    }
    put(row, at, PLAIN, "q quits");
}

void draw(struct board *b, int rows, int columns, bool colour, FILE *out)
{
    const struct processes *p = &b->processes;
    bool airy = rows >= 18, notes = rows >= 22, legend = rows >= 13;
    int wall = rows >= 24 ? rows / 8 : 1, row = 1 + airy;
    struct totals t;

    count_all(p, &t);
    choose_marks();
    clear_screen(rows, columns);
    put_title(b, p->count > 0 ? p->list : NULL);
    put_waiting(b, row, notes);
    row += 1 + notes;
    put_connections(b, row, rows >= 24);
    row += 2 + (rows >= 24);
    put_descriptors(&t, row++);
    put_threads(&t, row);
    row += 2;
    put_memory(p, &t, row++);
    put_cpu(&t, row++);
    row += airy;
    put_processes(p, &t, row, wall);
    row += 2 + wall + (rows >= 28);
    if (rows - legend - row >= 3)
        put_table(p, row, rows - legend - row);
    if (legend)
        put_legend(rows - 1);
    print_screen(colour, out);
}
