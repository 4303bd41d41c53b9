# make builds every program, here at the top level. Lines with ## are what `make help` says.

CC = gcc
CFLAGS = -O2 -g
SAN =
JOBS = 4
comma = ,
MAKEFLAGS += --no-builtin-rules

STANDARD = -std=c11 -D_POSIX_C_SOURCE=200809L
WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wvla
SANITIZER = $(if $(SAN),-fsanitize=$(SAN:address=address$(comma)undefined) -fno-sanitize-recover=all)
FLAGS = $(STANDARD) $(WARNINGS) $(SANITIZER) $(CFLAGS) -pthread
# Functions of the C library are looked up at the start, not by every forked child anew.
LINK = $(FLAGS) -Wl,-z,now

# What a sanitizer, or lint, builds has a place of its own.
OUT = $(if $(SAN),build/$(SAN)/)
OBJ = $(or $(OUT),build/plain/)obj/

PROGRAMS := $(basename $(wildcard serviceparser.c serviceserver[0-9][0-9].c serviceblaster.c))
SHARED := l23/common.o l23/services.o l23/connection.o l23/holder.o
# Those that take longest begin first, so that none is left to run alone at the end.
LONGEST := $(addprefix tests/,serviceserver12.bats demo.bats bench.bats serviceserver10.bats board.bats)
TESTS := $(LONGEST) $(filter-out $(LONGEST),$(wildcard tests/*.bats))
C_FILES := $(wildcard *.c l23/*.[ch] tests/*.[ch])
SHELL_FILES := $(wildcard .ci/run l23/setup l23/with-services l23/live l23/lecture l23/checkmine l23/bench l23/bench-call l23/figures l23/measure.bash l23/million l23/soak l23/stop l23/notes l23/diff l23/demo/[!.]* tests/run tests/*.bash tests/*.bats)

BUILT := $(addprefix $(OUT),$(PROGRAMS) tests/client tests/getserv l23/bound)
PRELOADED := $(OUT)tests/noreuse.so
REMOTE := serviceremote.c l23/call.c

## make                 build everything; CC=clang: with that compiler
all: $(BUILT) $(PRELOADED) $(OUT)serviceremote.so $(OUT)tests/calls $(OUT)l23/board

$(BUILT): $(OUT)%: $(OBJ)%.o $(OBJ)l23.a
	@mkdir -p $(@D)
	$(CC) $(LINK) -o $@ $^

BOARD := $(addprefix l23/,board.o board_sockets.o board_processes.o board_draw.o)
$(OUT)l23/board: $(addprefix $(OBJ),$(BOARD) l23.a)
	@mkdir -p $(@D)
	$(CC) $(LINK) -o $@ $^

$(PRELOADED): $(OUT)%.so: %.c
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -fPIC -shared -o $@ $<

# Any program may have it preloaded, so it shows nothing but the functions it stands for.
$(OUT)serviceremote.so: $(REMOTE) l23/call.h l23/common.h
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -fPIC -fvisibility=hidden -shared -o $@ $(REMOTE) -ldl

# A sanitizer cannot be preloaded: there, this program has the remote call built in.
$(OUT)tests/calls: tests/calls.c $(if $(SAN),$(REMOTE) l23/call.h l23/common.h)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -o $@ $(filter %.c,$^) -ldl

$(OBJ)l23.a: $(addprefix $(OBJ),$(SHARED))
	$(AR) rcs $@ $^

$(OBJ)%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(OBJ)*.d $(OBJ)*/*.d)
.SECONDARY:

## make check           run all tests, JOBS=4 files at once; SAN=address or SAN=thread: under
##                      that sanitizer
check: all
	@BIN=$(or $(OUT),./) JOBS=$(JOBS) tests/run $(TESTS)

## make check-03        run one program's tests (check-parser, check-blaster, check-00 ...);
##                      SERVER=./live: does my server do what 03 does? HINT=1: with hints;
##                      ONLY=zombie: only the behaviours with that word
check-%: all $(if $(filter live ./live $(CURDIR)/live,$(SERVER)),$(if $(wildcard live.c),live))
	@BIN=$(or $(OUT),./) SERVER='$(SERVER)' HINT=$(HINT) $(if $(SERVER),l23/checkmine $*,tests/run) \
	    $(wildcard tests/service$*.bats tests/serviceserver$*.bats tests/$*.bats)

## make live-03         live coding on PORT=6168: live.c, your copy of 03, is built and started
##                      at every save; make live-reset: the copy as it was (VERSION=05: of 05)
live-reset:
	@l23/live reset $(VERSION)

live-%:
	@l23/live $*

# The program before stays until its successor is whole. Always built: a live.c that was put back
# is older than the program and new all the same. Two may build it at once.
live: $(OBJ)l23.a
	@$(CC) $(LINK) $(LIVE_FLAGS) -o build/live.$$$$ live.c $< && mv build/live.$$$$ $@

## make lecture         live coding, a client and the board side by side, in tmux (STEP=03)
lecture: l23/board tests/client
	@l23/lecture $(STEP)

## make demo            all demos, one after another: the tour
## make demo-03         one of them (demo-parser, demo-00 ... demo-12, demo-blaster): a question,
##                      real commands, real output, the reason; Enter goes on
DEMOS := parser $(filter-out parser blaster,$(PROGRAMS:service%=%)) blaster
demo: all
	@for demo in $(DEMOS:server%=%); do l23/demo/$$demo || exit; done

demo-%: all
	@l23/demo/$*

## make diff-03         what 03 changes over the version that it extends; FROM=live.c: over that
diff-%:
	@l23/diff $* $(if $(FROM),'$(FROM)')

## make notes           put the demos' output into NOTES.md anew
notes: all
	@l23/notes

## make stop            end what a demo or live coding has left running
stop:
	@l23/stop

## make board           the kernel's side of the server on PORT=6168, live: queue, processes,
##                      zombies, descriptors, leaked sockets, memory, CPU
board: $(OUT)l23/board
	@$< $(PORT)

## make nat             the NAT lab: the slide, what NAT breaks, three servers behind one address;
##                      in network namespaces of its own
nat: all
	@l23/demo/nat

## make balance         HAProxy in front of three servers: one is killed, one is added; its cost
balance: all
	@l23/demo/balance

## make cache           the cache's lesson: an answer without the database, and a stale one
cache: all
	@l23/demo/cache

## make bench-call      what one getservbyname costs: uncached, through nscd, remote, cached
bench-call: all
	@BIN=$(or $(OUT),./) l23/bench-call

## make bench           every version by the same client: Stevens' table, answers/s, memory, the
##                      wall, what you would pick instead, goals; BENCH=quick: one minute;
##                      PART="peers two": only these parts
bench: all
	@BIN=$(or $(OUT),./) BENCH=$(BENCH) l23/bench $(PART)

## make million         serviceserver12 holds a million connections; COUNT=10000: so many
million: all
	@BIN=$(or $(OUT),./) COUNT=$(COUNT) l23/million

## make figures         draw figures/ anew, from what make bench has measured
figures:
	@l23/figures

## make fuzz            the line rules and l23/connection.c under libFuzzer, FUZZ_SECONDS=60
FUZZ_SECONDS = 60
FUZZER := build/fuzz/fuzz_connection
FUZZ_FLAGS = $(STANDARD) $(WARNINGS) -O2 -g -fno-sanitize-recover=all
fuzz:
	@mkdir -p build/fuzz/corpus
	@if echo 'int LLVMFuzzerTestOneInput(void){return 0;}' | \
	    clang -fsanitize=fuzzer,address -x c - -o build/fuzz/try 2>/dev/null; then \
	    $(MAKE) --no-print-directory $(FUZZER) && nice $(FUZZER) -verbosity=0 -print_final_stats=1 \
	        -max_len=4096 -max_total_time=$(FUZZ_SECONDS) \
	        -artifact_prefix=build/fuzz/ build/fuzz/corpus tests/corpus; \
	else echo "fuzz: skipped: there is no clang with libFuzzer here"; fi

# The harness itself is not what the fuzzer has to find its way through.
$(FUZZER): tests/fuzz_connection.c $(SHARED:.o=.c) $(wildcard l23/*.h)
	clang $(FUZZ_FLAGS) -fsanitize=address,undefined -c -o build/fuzz/harness.o $<
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ build/fuzz/harness.o $(SHARED:.o=.c)

## make soak            09 to 12 under sanitizers while 10,000 clients come and go, then 12 with a
##                      million connections one after another: nothing may stay behind
SOAK_SECONDS = 60
soak: all
	@$(MAKE) --no-print-directory SAN=address all >/dev/null
	@l23/soak $(SOAK_SECONDS)

## make lint            warnings of both compilers, clang-format, cppcheck, shellcheck
lint:
	@$(MAKE) --no-print-directory OUT=build/lint-gcc/ CC=gcc CFLAGS="-O2 -Werror" all
	@$(MAKE) --no-print-directory OUT=build/lint-clang/ CC=clang CFLAGS="-O2 -Werror" all
	clang-format --dry-run --Werror $(C_FILES)
	cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance \
	    --inline-suppr --suppress=missingIncludeSystem --std=c11 $(filter %.c,$(C_FILES))
	shellcheck $(SHELL_FILES)

## make clean           remove what make has built
clean:
	rm -rf build serviceremote.so tests/calls tests/client tests/getserv tests/*.so l23/board l23/bound live $(PROGRAMS)

## make help            this list
help:
	@sed -n 's/^## /  /p' Makefile

.PHONY: all live demo notes stop nat balance cache bench bench-call million figures board live-reset lecture check fuzz soak lint clean help
