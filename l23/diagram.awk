# diagram.awk: processes, descriptors and sockets of a running server, as SVG
#
# Reads what `board --tsv` prints. Left: the processes, with a row for each descriptor that is
# a socket. Middle: the kernel's sockets. Right: the clients. Where many children are alike,
# three are drawn. `-v title=...` goes on top.

BEGIN {
    FS = "\t"
    ink = "#1b1f24"; soft = "#57606a"
    listening = "#6f42c1"; serving = "#1a7f37"; waiting = "#bc4c00"; leaked = "#cf222e"
    left = 30; box = 400; middle = 600; socket = 300; right = 1020; client = 210
    line = 40
}

$1 == "process" {
    p = ++processes
    pid[p] = $2; role[p] = $4; state[p] = $5; threads[p] = $6; name = $14
    number[$2] = p
}

$1 == "descriptor" {
    p = number[$2]
    if ($4 == "socket")
        holds[p, ++held[p]] = $3 "\t" $5
    else if ($4 ~ /eventpoll|signalfd/)
        others[p] = others[p] ", " $3 " " ($4 ~ /eventpoll/ ? "epoll" : "signals")
    else
        others[p] = others[p] (others[p] == "" ? "" : " ") $3
}

# What has come and is not read yet, by the local end of the connection.
$1 == "socket" && $2 == "client" { client_state[$5] = $3; client_unread[$5] = $8 }

$1 == "socket" && $2 == "server" {
    s = ++sockets
    tcp[s] = $3; inode[s] = $4; peer[s] = $6; how[s] = $7; unread[s] = $8; room[s] = $9
    if ($4) of_inode[$4] = s
}

$1 == "refused" { refused = $2 }

function text(x, y, size, colour, words, more) {
    gsub(/&/, "\\&amp;", words)
    printf "<text x=\"%d\" y=\"%d\" font-size=\"%d\" fill=\"%s\" %s>%s</text>\n", x, y, size, colour, more, words
}

function rectangle(x, y, w, h, fill, edge, more) {
    printf "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"10\" fill=\"%s\" stroke=\"%s\" stroke-width=\"3\" %s/>\n", x, y, w, h, fill, edge, more
}

function colour_of(s) {
    if (how[s] == "listens") return listening
    if (how[s] == "waits") return waiting
    return tcp[s] == "CLOSE_WAIT" || tcp[s] == "CLOSE" ? leaked : serving
}

# Children that hold a connection come first; of the others only so many are drawn.
function choose(  i, pass, alike) {
    for (pass = 1; pass <= 3; pass++)
        for (i = 1; i <= processes; i++) {
            if (chosen[i]) continue
            if (pass == 1 && role[i] == "parent" || pass == 2 && (held[i] > 1 || state[i] == "Z") || pass == 3 && alike < 2) {
                shown[++drawn] = i
                chosen[i] = 1
                alike += pass == 3
            }
        }
}

function measure(  i, h) {
    y = 90
    for (i = 1; i <= drawn; i++) {
        h = state[shown[i]] == "Z" ? 56 : 84 + line * held[shown[i]]
        top[i] = y; high[i] = h
        y += h + 18
    }
    below = y
    if (drawn < processes) y += 40
    bottom = y
}

# Sockets: the listening one, who waits in its queue, then the others as they came.
function order(  i, j, n, pass, best) {
    for (pass = 1; pass <= 3; pass++)
        for (;;) {
            best = 0
            for (i = 1; i <= sockets; i++)
                if (!placed[i] && (pass == 1 ? how[i] == "listens" : pass == 2 ? how[i] == "open" : how[i] == "waits") && (!best || inode[i] + 0 < inode[best] + 0))
                    best = i
            if (!best) break
            placed[best] = 1
            in_order[++n] = best
        }
    for (i = 1; i <= n; i++) {
        at[in_order[i]] = y
        y += 108
    }
    return n
}

function describe(s) {
    if (how[s] == "listens") return "listening socket"
    if (how[s] == "waits") return "waits for accept"
    return colour_of(s) == leaked ? "its client has left" : "connected"
}

function detail(s) {
    if (how[s] == "listens") return "queue: " unread[s] ", room for " room[s]
    if (colour_of(s) == leaked) return "state " tcp[s]
    return unread[s] ? unread[s] " bytes asked, unread" : tcp[s] == "CLOSE_WAIT" ? "has hung up" : ""
}

END {
    choose()
    measure()
    y = 90
    n = order()
    at_refused = y
    y += 108 * refused
    if (y > bottom) bottom = y
    height = bottom + 16
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1260 %d\" font-family=\"sans-serif\">\n", height
    printf "<rect width=\"1260\" height=\"%d\" fill=\"#ffffff\"/>\n", height
    text(30, 42, 30, ink, title, "font-weight=\"bold\"")
    text(left, 76, 22, soft, "processes, their descriptors")
    text(middle, 76, 22, soft, "the kernel's sockets")
    text(right, 76, 22, soft, "clients")

    # Lines first, so that boxes lie on top of them.
    for (i = 1; i <= drawn; i++)
        for (j = 1; j <= held[shown[i]]; j++) {
            split(holds[shown[i], j], f, "\t")
            s = of_inode[f[2]]
            if (!s) continue
            y1 = top[i] + 84 + line * (j - 1) + 8
            y2 = at[s] + 42
            printf "<path d=\"M %d %d C %d %d %d %d %d %d\" fill=\"none\" stroke=\"%s\" stroke-width=\"4\"/>\n", left + box - 12, y1, left + box + 90, y1, middle - 90, y2, middle, y2, colour_of(s)
        }
    for (i = 1; i <= n; i++) {
        s = in_order[i]
        if (how[s] == "listens") continue
        gone = !(peer[s] in client_state) || client_state[peer[s]] != "ESTABLISHED"
        printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"4\" %s/>\n", middle + socket, at[s] + 42, right, at[s] + 42, colour_of(s), gone ? "stroke-dasharray=\"10 8\"" : ""
    }

    for (i = 1; i <= drawn; i++) {
        p = shown[i]
        zombie = state[p] == "Z"
        rectangle(left, top[i], box, high[i], zombie ? "#ffebe9" : "#eef4ff", zombie ? leaked : "#0550ae", zombie ? "stroke-dasharray=\"10 8\"" : "")
        what = processes == 1 ? "the process" : role[p]
        if (zombie) what = what ": a zombie"
        if (threads[p] > 1) what = what ", " threads[p] " threads"
        else if (processes == 1) what = what ", " (state[p] == "R" ? "running" : "asleep")
        text(left + 16, top[i] + 34, 24, ink, what, "font-weight=\"bold\"")
        for (j = 1; j <= threads[p] && threads[p] > 1; j++) # a thread: a line that winds down
            printf "<path d=\"M %d %d q 14 12 0 24 q -14 12 0 24 q 14 12 0 24\" fill=\"none\" stroke=\"#0550ae\" stroke-width=\"5\" stroke-linecap=\"round\"/>\n", left + 10 + 40 * j, top[i] + 84
        if (!zombie) text(left + 16, top[i] + 64, 20, soft, "descriptors " others[p])
        for (j = 1; j <= held[p]; j++) {
            split(holds[p, j], f, "\t")
            s = of_inode[f[2]]
            yy = top[i] + 84 + line * (j - 1)
            text(left + box - 34, yy + 15, 22, s ? colour_of(s) : soft, f[1] (s ? "" : " (its socket is gone)"), "text-anchor=\"end\" font-weight=\"bold\"")
            if (s) printf "<circle cx=\"%d\" cy=\"%d\" r=\"9\" fill=\"%s\"/>\n", left + box - 14, yy + 8, colour_of(s)
        }
    }
    if (drawn < processes)
        text(left + 16, below + 22, 24, ink, "and " processes - drawn " more children like " (processes - drawn > 1 ? "the last" : "it"))
    for (i = 1; i <= n; i++) {
        s = in_order[i]
        rectangle(middle, at[s], socket, 84, "#ffffff", colour_of(s), how[s] == "waits" ? "stroke-dasharray=\"10 8\"" : "")
        text(middle + 16, at[s] + 36, 24, colour_of(s), describe(s), "font-weight=\"bold\"")
        text(middle + 16, at[s] + 66, 20, soft, detail(s))
        if (how[s] == "listens") continue
        gone = !(peer[s] in client_state) || client_state[peer[s]] != "ESTABLISHED"
        rectangle(right, at[s], client, 84, gone ? "#f6f8fa" : "#ffffff", gone ? soft : ink, gone ? "stroke-dasharray=\"10 8\"" : "")
        text(right + 16, at[s] + 36, 24, gone ? soft : ink, gone ? "has left" : "client", "font-weight=\"bold\"")
        text(right + 16, at[s] + 66, 20, soft, gone ? "" : client_unread[peer[s]] ? "has its answer" : unread[s] ? "has asked" : "silent")
    }
    for (i = 0; i < refused; i++) { # clients that found nobody
        yy = at_refused + 108 * i
        printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"4\" stroke-dasharray=\"10 8\"/>\n", middle + socket, at_refused + 42, right, yy + 42, leaked
        rectangle(right, yy, client, 84, "#ffffff", leaked, "")
        text(right + 16, yy + 36, 24, ink, "client", "font-weight=\"bold\"")
        text(right + 16, yy + 66, 20, leaked, "refused")
    }
    if (refused) {
        rectangle(middle, at_refused, socket, 84, "#ffffff", leaked, "stroke-dasharray=\"10 8\"")
        text(middle + 16, at_refused + 50, 24, leaked, "no listening socket", "font-weight=\"bold\"")
    }
    print "</svg>"
}
