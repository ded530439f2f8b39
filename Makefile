# SPDX-License-Identifier: MIT
#
# One Makefile, no recursion into directories, no configure. Sources are found by wildcard: adding a
# file edits nothing here. Each variant (release, asan, tsan, fuzz) builds in build/VARIANT, so
# changing between them costs nothing. V=1 shows the commands.

VERSION := 0.1.0
VARIANT ?= release
PREFIX  ?= /usr/local
B       := build/$(VARIANT)
Q       := $(if $(V),,@)
PYTHON  := /usr/bin/python3

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(VARIANT)),clang,gcc)
endif
IS_GCC := $(if $(findstring clang,$(CC)),,yes)

# Use every core unless -j says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc) --no-print-directory
endif

# ---- flags -------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wvla -Walloca -Wundef -Wformat=2 -Wswitch-enum -Werror
BASE     := -std=c11 -D_GNU_SOURCE -Iinclude -I. -g -fno-common -fstack-protector-strong $(WARNINGS)

FLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fPIE
FLAGS_asan    := -O1 -fno-omit-frame-pointer -fPIE -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_tsan    := -O1 -fno-omit-frame-pointer -fPIE -fsanitize=thread
FLAGS_fuzz    := -O1 -fno-omit-frame-pointer -fPIE -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
# The doorbell's seq_cst fences are there on purpose and carry no data; gcc's TSan only warns of them.
FLAGS_tsan    += $(if $(IS_GCC),-Wno-tsan)
LINK_asan     := -fsanitize=address,undefined
LINK_tsan     := -fsanitize=thread
LINK_fuzz     := -fsanitize=address,undefined

FLAGS := $(BASE) $(FLAGS_$(VARIANT)) $(CFLAGS)
LINK  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LINK_$(VARIANT)) $(LDFLAGS)

LIBS_dispatcher := -luring -lmsgpackc -lcjson -lsodium -lyaml -lm
LIBS_worker     := -lmsgpackc -lseccomp -ldl -lm

# ---- files -------------------------------------------------------------------------------------

objects  = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
pic_objects = $(patsubst %.c,$(B)/pic/%.o,$(wildcard $(1)))
programs = $(patsubst %.c,$(B)/%,$(wildcard $(1)))
# Of some programs those that T=name picks.
picked   = $(if $(T),$(foreach program,$(1),$(if $(findstring $(T),$(program)),$(program))),$(1))

BINARIES := $(B)/millrace $(B)/millrace-worker
EXAMPLES := $(patsubst docs/examples/%.c,build/examples/%.so,$(wildcard docs/examples/*.c)) \
            $(patsubst docs/examples/%.cpp,build/examples/%.so,$(wildcard docs/examples/*.cpp))
AREAS    := $(B)/shm.a $(B)/dispatcher.a $(B)/worker.a

UNITS    := $(call programs,tests/unit/*/test_*.c)
RINGS    := $(call programs,tests/model/*.c tests/stress/*.c)
EXPLORERS := $(if $(filter release,$(VARIANT)),$(call programs,tests/explore/explore_*.c))
CRASHERS := $(call programs,tests/crash/*.c)
BENCHES  := $(call programs,tests/bench/*.c)
REFERENCE := $(B)/tests/bench/reference/reference
COUNTED  := $(call programs,tests/bench/instructions/*.c)
LOADS    := $(patsubst tests/bench/pipelines/%.c,build/bench/%.so,$(wildcard tests/bench/pipelines/*.c))
PUBLIC   := include/millrace/pipeline.h include/millrace/pipeline_table.h include/millrace/pipeline_device.h \
            include/millrace/pipeline_start.h include/millrace/pipeline_batch.h include/millrace/pipeline_engine.h \
            include/millrace/pipeline.hpp
FUZZERS  := $(call programs,tests/fuzz/fuzz_*.c)

# ---- building ----------------------------------------------------------------------------------

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all examples programs run-tests FORCE

all: $(BINARIES) examples ## build/release/{millrace,millrace-worker} and build/examples/*.so

examples: $(EXAMPLES)

$(B)/millrace: $(B)/dispatcher/main.o $(B)/dispatcher.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_dispatcher)

$(B)/millrace-worker: $(B)/worker/native/main.o $(B)/worker.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_worker)

# An area is an archive of all its objects but main.o, so that each program takes what it needs.
$(B)/shm.a:        $(call objects,shm/*.c)
$(B)/dispatcher.a: $(filter-out %/main.o,$(call objects,dispatcher/*.c dispatcher/*/*.c dispatcher/*/*/*.c))
$(B)/worker.a:     $(filter-out %/main.o,$(call objects,worker/engine/*.c worker/confine/*.c worker/template/*.c worker/step/*.c worker/native/*.c))
$(AREAS) $(B)/pic/worker.a:
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c | build/version.h
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

# The assembler takes these files in, and tells nobody.
$(B)/dispatcher/cli/init_files.o: $(wildcard share/init/*/*)

# Product code keeps small stack frames; sanitizers and tests do not.
ifeq ($(VARIANT)$(IS_GCC),releaseyes)
$(B)/shm/%.o $(B)/worker/%.o $(B)/dispatcher/%.o: FLAGS += -Wstack-usage=8192
endif

# What --version prints, and BUILD_ID: a hash of what the two processes share. Both binaries of one
# build have the same; the file changes only when its text does. Several makes may run at once.
build/version.h: FORCE
	@mkdir -p $(@D)
	@id=$$(cat include/millrace/*.h shm/*.[ch] 2>/dev/null | sha256sum | cut -c1-16); \
	printf '#define MILLRACE_VERSION "%s"\n#define BUILD_ID UINT64_C(0x%s)\n' $(VERSION) $$id >$@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi

# Example pipelines see what their authors see: the public header alone.
EXAMPLE_PACKAGES_transcribe := pocketsphinx
EXAMPLE_PACKAGES_ocr := tesseract
EXAMPLE_LIBS_embed := -lm
build/examples/embed.so: $(wildcard docs/examples/embed_*.h)
build/examples/%.so: docs/examples/%.c $(PUBLIC)
	@mkdir -p $(@D)
	$(Q)packages="$(EXAMPLE_PACKAGES_$*)"; \
	if [ -n "$$packages" ] && ! pkg-config --exists $$packages; then \
		echo "  SKIP  $@: pkg-config does not find $$packages ('make deps' installs it)"; \
		exit 0; \
	fi; \
	echo "  CC    $@"; \
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Iinclude -shared \
		-o $@ $< $$([ -z "$$packages" ] || pkg-config --cflags --libs $$packages) $(EXAMPLE_LIBS_$*)

# An example of many files, for a library that docs/examples/llama/fetch takes from npm; its headers are not ours.
LLAMA := build/llama
.PHONY: llama
llama: build/examples/llama.so
$(LLAMA)/release:
	@docs/examples/llama/fetch $(LLAMA)
build/examples/llama.so: $(wildcard docs/examples/llama/*.[ch]) $(LLAMA)/release $(PUBLIC)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Iinclude -isystem $(LLAMA)/include \
		-DLLAMA_RELEASE="\"$$(cat $(LLAMA)/release)\"" -shared -o $@ $(filter %.c,$^) -ldl -lm

# In the oldest C++ that they may be in.
build/examples/%.so: docs/examples/%.cpp $(PUBLIC)
	@mkdir -p $(@D)
	$(Q)if ! command -v $(CXX) >/dev/null; then \
		echo "  SKIP  $@: there is no $(CXX) (Debian's g++ is one)"; \
		exit 0; \
	fi; \
	echo "  CXX   $@"; \
	$(CXX) -std=c++11 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror -Iinclude -shared -o $@ $<

# ---- the worker for Python ---------------------------------------------------------------------

# One extension for every Python since 3.9: it is compiled against the limited API of that version,
# whatever the headers at hand are of. The worker's own C files are in it, as position-independent
# code, and without sanitizers, which would have to be in the interpreter too.
PYTHON_INCLUDE := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))' 2>/dev/null)
PYTHON_FILES   := $(filter-out %.c %.h,$(patsubst worker/python/%,$(B)/python/%, \
	$(shell find worker/python/millrace_worker worker/python/pipeline -name '*.py' -o -name '*.pyi' -o -name py.typed 2>/dev/null)))
RING           := $(B)/python/millrace_worker/_ring.abi3.so
FLAGS_ring     := $(BASE) -O2 -D_FORTIFY_SOURCE=2 -fPIC -fvisibility=hidden -isystem $(PYTHON_INCLUDE) $(CFLAGS)

.PHONY: python
all: python
python: $(PYTHON_FILES)
ifneq ($(wildcard $(PYTHON_INCLUDE)/Python.h),)
python: $(RING)
else
python:
	@echo "  SKIP  $(RING): no Python.h for $(PYTHON) ('make deps' installs python3-dev)"
endif

# Of the archive it takes what it needs: the interpreter is confined before it starts.
$(B)/pic/worker.a: $(call pic_objects,shm/*.c worker/engine/*.c worker/confine/*.c worker/template/*.c worker/step/*.c)
$(RING): $(call pic_objects,worker/python/*.c) $(B)/pic/worker.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--exclude-libs,ALL $(LDFLAGS) -o $@ $^ -lmsgpackc -lseccomp

$(B)/pic/%.o: %.c | build/version.h
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(FLAGS_ring) -MMD -MP -c -o $@ $<

$(B)/python/%: worker/python/%
	@mkdir -p $(@D)
	$(Q)cp $< $@

# ---- tests -------------------------------------------------------------------------------------

LIBS_test := -lcmocka -lpthread -lm

programs: $(UNITS) $(RINGS) $(EXPLORERS) $(FUZZERS) $(REFERENCE) $(COUNTED) $(LOADS)

$(B)/tests/unit/shm/%: $(B)/tests/unit/shm/%.o $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_test)
# They let each allocation fail in turn (allocs.h).
LINK_allocs := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(B)/tests/unit/dispatcher/test_pool $(B)/tests/unit/dispatcher/test_pipelines_change \
$(B)/tests/unit/dispatcher/test_config_hold $(B)/tests/unit/dispatcher/test_environment \
$(B)/tests/unit/dispatcher/test_manifest $(B)/tests/unit/dispatcher/test_config_change \
$(B)/tests/unit/dispatcher/test_alias $(B)/tests/unit/dispatcher/test_pipeline_options \
$(B)/tests/unit/dispatcher/test_renewal $(B)/tests/unit/dispatcher/test_serve_again \
$(B)/tests/unit/dispatcher/test_warm_up_inputs: LINK += $(LINK_allocs)
$(B)/tests/unit/dispatcher/%: $(B)/tests/unit/dispatcher/%.o $(B)/dispatcher.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_dispatcher) $(LIBS_test)
# They start the worker of this variant on the examples.
$(B)/tests/unit/worker/%: $(B)/tests/unit/worker/%.o $(B)/worker.a $(B)/shm.a | $(B)/millrace-worker examples
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_worker) $(LIBS_test)
$(RINGS) $(CRASHERS): $(B)/tests/%: $(B)/tests/%.o $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_test)

# What is explored is compiled for ThreadSanitizer and linked with the explorer instead, which hears
# of each access. The explorer jumps from stack to stack, which _FORTIFY_SOURCE takes for a mistake.
EXPLORER := $(filter-out $(B)/tests/explore/explore_%,$(call objects,tests/explore/*.c))
LINK_explored := -Wl,--wrap=write,--wrap=memcpy
# A worker's own clock and sleep (explore_worker.c).
LINK_explored += -Wl,--wrap=clock_gettime,--wrap=attachment_sleep,--wrap=attachment_poll
$(B)/explored/%.o: FLAGS := $(BASE) -O1 -fsanitize=thread $(if $(IS_GCC),-Wno-tsan)
$(B)/explored/%.o: %.c | build/version.h
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(FLAGS) -MMD -MP -c -o $@ $<
$(EXPLORER): FLAGS := $(BASE) -O2
$(B)/explored/shm.a: $(patsubst %.c,$(B)/explored/%.o,$(wildcard shm/*.c))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(EXPLORERS): $(B)/tests/%: $(B)/explored/tests/%.o $(EXPLORER) $(B)/explored/shm.a $(B)/worker.a
	@echo "  LINK  $@"
	$(Q)$(CC) -Wl,--as-needed $(LINK_explored) $(LDFLAGS) -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS_worker) $(LIBS_test)

$(BENCHES): $(B)/tests/%: $(B)/tests/%.o $(B)/dispatcher.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_dispatcher) -lpthread

$(REFERENCE): $(call objects,tests/bench/reference/*.c) $(B)/dispatcher.a $(B)/shm.a
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_dispatcher)

# What plays the kernel, or the dispatcher, is that of the unit tests.
$(B)/tests/bench/instructions/dispatcher: %: %.o $(B)/dispatcher.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_dispatcher)
$(B)/tests/bench/instructions/worker: %: %.o $(B)/worker.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^ $(LIBS_worker) $(LIBS_test)

build/bench/%.so: tests/bench/pipelines/%.c $(PUBLIC)
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Iinclude -shared \
		-o $@ $<

$(B)/tests/soak/soak: $(call objects,tests/soak/*.c)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $^

# Fuzz targets: with libFuzzer under VARIANT=fuzz, else with a driver that replays what is kept.
ifeq ($(VARIANT),fuzz)
$(FUZZERS): LINK += -fsanitize=fuzzer
else
$(FUZZERS): $(B)/tests/fuzz/replay.o
endif
$(FUZZERS): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/dispatcher.a $(B)/worker.a $(B)/shm.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_dispatcher) $(LIBS_worker)

# Targets that install packages first build in a second make, so that this one needs only make itself.
.PHONY: test asan tsan valgrind fuzz check mutants crash faults garbage hostile soak reloads bench bench-counts demo serve deps install uninstall clean help

# Any will do, and not every distribution has one as a package.
BROWSER := command -v chromium >/dev/null || command -v google-chrome >/dev/null || deploy/deps -k browser

test: ## unit, model, stress, explored, fuzz replay, system tests; T=ring picks by name
	@deploy/deps build demo test
	@$(BROWSER)
	@$(MAKE) run-tests

asan: ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@deploy/deps build demo test
	@$(BROWSER)
	@$(MAKE) VARIANT=asan run-tests

tsan: ## unit, model and stress tests under ThreadSanitizer
	@deploy/deps build demo test
	@$(MAKE) VARIANT=tsan run-programs

.PHONY: run-programs
run-tests: all $(call picked,$(UNITS) $(RINGS) $(EXPLORERS) $(FUZZERS)) | $(REFERENCE) $(COUNTED) $(LOADS)
	@BUILD=$(B) tests/run --system tests/system --system tests/hostile $(if $(T),--only '$(T)') $(filter-out all,$^)
run-programs: $(call picked,$(UNITS) $(RINGS))
	@BUILD=$(B) tests/run $(if $(T),--only '$(T)') $^

VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --child-silent-after-fork=yes
valgrind: ## unit and model tests under valgrind
	@deploy/deps build demo test
	@$(MAKE) run-valgrind
.PHONY: run-valgrind
run-valgrind: $(call picked,$(UNITS) $(filter $(B)/tests/model/%,$(RINGS)))
	@N=3000 tests/run --under '$(VALGRIND)' $(if $(T),--only '$(T)') $^

SECONDS_PER_TARGET ?= 30
fuzz: ## libFuzzer on every target, SECONDS_PER_TARGET=30 each
	@deploy/deps build fuzz
	@$(MAKE) VARIANT=fuzz fuzz-run
.PHONY: fuzz-run
fuzz-run: $(FUZZERS)
	@tests/fuzz/run $(SECONDS_PER_TARGET) $(FUZZERS)

check: build/version.h ## format, layers, headers, lengths, banned words, documents, names in them, types, cppcheck, clang-tidy
	@deploy/deps build demo check
	@tests/lint/run

mutants: ## break each labelled memory order in turn; the tests must notice
	@deploy/deps build test
	@$(MAKE) programs
	@BUILD=$(B) tests/mutants/run

crash: ## kill a process at every step of every protocol
	@deploy/deps build test
	@$(MAKE) all $(CRASHERS)
	@BUILD=$(B) tests/crash/run

faults: ## the fault matrix of docs/internals/faults.md, with its figures; T=name picks
	@deploy/deps build test faults
	@$(MAKE) all
	@BUILD=$(B) tests/faults/run $(if $(T),--only '$(T)')

garbage: ## half-valid HTTP to a server under AddressSanitizer; T=60 seconds, SEED=
	@deploy/deps build test
	@$(MAKE) VARIANT=asan all
	@BUILD=build/asan tests/garbage/run --seconds $(or $(T),60) $(if $(SEED),--seed $(SEED))

soak: ## kills, clients that leave or stall, every run checked; T=120 seconds, SEED=
	@deploy/deps build test
	@$(MAKE) all $(B)/tests/soak/soak
	@BUILD=$(B) tests/soak/run --seconds $(or $(T),120) $(if $(SEED),--seed $(SEED))

reloads: ## another configuration again and again, under load; N=1000 of them, STREAMS=32
	@deploy/deps build test
	@$(MAKE) all
	@BUILD=$(B) RELOADS=$(or $(N),1000) STREAMS=$(or $(STREAMS),32) $(PYTHON) -m pytest -q -s -p no:cacheprovider \
		tests/system/test_reload.py -k storm

hostile: ## workers that attack, beside victims that are checked; T=60 seconds, SEED=, OPTIONS=default,root
	@deploy/deps build test
	@$(MAKE) all
	@BUILD=$(B) tests/hostile/run --seconds $(or $(T),60) $(if $(SEED),--seed $(SEED)) $(if $(OPTIONS),--options $(OPTIONS))

bench: ## rates, ages, CPU, memory and counts beside references; BENCH=F1,P1000 picks, ROUNDS=7
	@deploy/deps build demo test bench
	@$(MAKE) all $(BENCHES) $(REFERENCE) $(LOADS)
	@BUILD=$(B) tests/bench/run --only '$(BENCH)' $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-peers bench-plots
bench-peers: ## millrace and its peers in turn, one table; ROUNDS=7 PEERS=php,go SCENARIOS=F1,U64
	@deploy/deps build bench
	@deploy/deps -k peers
	@$(MAKE) all $(LOADS)
	@BUILD=$(B) tests/bench/peers/run $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PEERS),--peers $(PEERS)) \
		$(if $(SCENARIOS),--scenarios $(SCENARIOS))

bench-plots: ## docs/plots/ and the figures of docs/benchmarks.md, from what bench-peers wrote
	@deploy/deps -k peers
	@BUILD=$(B) tests/bench/peers/plots
	@BUILD=$(B) tests/bench/peers/page --write

bench-counts: ## instructions, system calls, allocations of a chunk and of a request; WRITE=1 into docs
	@deploy/deps build demo test
	@$(MAKE) all $(COUNTED) $(LOADS)
	@BUILD=$(B) tests/bench/count $(if $(WRITE),--write)

.PHONY: ten-minutes
ten-minutes: ## docs/ten-minutes.md, typed in a fresh Debian; as root; FOLDER=/var/tmp/ten-minutes
	@deploy/deps bare
	@tests/ten_minutes/run --bare $(or $(FOLDER),/var/tmp/ten-minutes)

# A signal to make reaches the shell of a recipe alone; so that shell becomes the script.
demo: ## the main job: server, curl, words one by one, a transcript of a real recording
	@deploy/deps build demo
	@$(MAKE) all
	@exec env BUILD=$(B) deploy/demo demo

.PHONY: llama-demo
llama-demo: ## a language model, served: a toy that this project trained, or MODEL=path.gguf
	@deploy/deps build
	@command -v npm >/dev/null || deploy/deps test
	@$(MAKE) all llama
	@BUILD=$(B) MODEL="$(MODEL)" docs/examples/llama/demo

serve: ## leave the demo's server running on 127.0.0.1:8080
	@deploy/deps build demo
	@$(MAKE) all
	@exec env BUILD=$(B) deploy/demo serve

deps: ## install the Debian packages that are missing
	@deploy/deps build demo

# Where the shells look; Debian has a folder of its own for packages.
BASH_COMPLETIONS := $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS  := $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

install: all ## binaries, header, pkg-config file, man pages, examples, unit, completion; DESTDIR= PREFIX=/usr/local
	install -D -m 755 $(B)/millrace $(DESTDIR)$(PREFIX)/bin/millrace
	install -D -m 755 $(B)/millrace-worker $(DESTDIR)$(PREFIX)/libexec/millrace/millrace-worker
	install -d $(DESTDIR)$(PREFIX)/include/millrace $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/doc/millrace/examples/python \
		$(DESTDIR)$(PREFIX)/share/doc/millrace/examples/llama
	install -m 644 $(PUBLIC) $(DESTDIR)$(PREFIX)/include/millrace/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' deploy/millrace.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/millrace.pc
	install -m 644 docs/examples/*.c docs/examples/*.h docs/examples/*.cpp $(DESTDIR)$(PREFIX)/share/doc/millrace/examples/
	install -m 644 docs/examples/llama/*.[ch] docs/examples/llama/README.md $(DESTDIR)$(PREFIX)/share/doc/millrace/examples/llama/
	install -m 755 docs/examples/llama/fetch $(DESTDIR)$(PREFIX)/share/doc/millrace/examples/llama/
	install -m 644 docs/examples/python/*.py docs/examples/python/pipeline.yaml docs/examples/python/README.md \
		$(DESTDIR)$(PREFIX)/share/doc/millrace/examples/python/
	for file in $(patsubst $(B)/python/%,%,$(PYTHON_FILES)); do \
		install -D -m 644 $(B)/python/$$file $(DESTDIR)$(PREFIX)/lib/millrace/python/$$file || exit 1; \
	done
	[ ! -e $(RING) ] || install -m 755 $(RING) $(DESTDIR)$(PREFIX)/lib/millrace/python/millrace_worker/
	for page in docs/man/*.[1-8]; do \
		[ ! -e "$$page" ] || install -D -m 644 "$$page" \
			"$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}" || exit 1; \
	done
	install -d $(DESTDIR)$(BASH_COMPLETIONS) $(DESTDIR)$(ZSH_COMPLETIONS)
	$(B)/millrace completion bash >$(DESTDIR)$(BASH_COMPLETIONS)/millrace
	$(B)/millrace completion zsh >$(DESTDIR)$(ZSH_COMPLETIONS)/_millrace
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -e 's|@PREFIX@|$(PREFIX)|' deploy/systemd/millrace@.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/millrace@.service

uninstall: ## remove what make install wrote; DESTDIR= PREFIX=/usr/local
	rm -f $(DESTDIR)$(PREFIX)/bin/millrace $(DESTDIR)$(PREFIX)/lib/pkgconfig/millrace.pc \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/millrace@.service \
		$(DESTDIR)$(BASH_COMPLETIONS)/millrace $(DESTDIR)$(ZSH_COMPLETIONS)/_millrace \
		$(patsubst docs/man/%,$(DESTDIR)$(PREFIX)/share/man/man*/%,$(wildcard docs/man/*))
	rm -rf $(DESTDIR)$(PREFIX)/libexec/millrace $(DESTDIR)$(PREFIX)/include/millrace \
		$(DESTDIR)$(PREFIX)/lib/millrace $(DESTDIR)$(PREFIX)/share/doc/millrace

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | sort | expand -t 14
	@echo 'V=1 shows commands; VARIANT=asan|tsan builds another variant; CC=clang works too.'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
