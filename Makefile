# A thin door to CMake: `make help`. Each command sets up what it needs first; `make SETUP=no ...` leaves that out.
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := all

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
PORT ?= 8000
PROMPT ?= Once upon a time
ARGS ?=
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# The prompt reaches the shell as it was typed: no make expansion, no shell quoting.
QN_PROMPT := $(value PROMPT)
export QN_PROMPT
unexport PROMPT

ifeq ($(SETUP),no)
setup = :
else
setup = scripts/setup.sh
endif
ctest = ctest --output-on-failure -j $(JOBS)

.PHONY: all help setup run test test-web debug asan noblocking web web-demo fuzz format format-check install clean

all: ## build build/quern (the default)
	@$(setup) >&2
	@scripts/build.sh release

help: ## list the targets
	@echo 'usage: make [TARGET] [NAME=VALUE ...]'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
	    printf '  %-14s%s\n' "$$target" "$$text"; done

setup: ## install what building, running and testing need
	@scripts/setup.sh >&2

run: ## generate text: make run PROMPT="Once upon a time" ARGS="-n 100 --stats"
	@$(setup) >&2
	@scripts/build.sh release quern_command
	@build/quern run -p "$$QN_PROMPT" $(ARGS)

test: ## build everything and run every test
	@$(setup) test >&2
	@scripts/build.sh release
	@$(ctest) --test-dir build

test-web: ## the tests of the build for browsers alone: Node.js, Chromium, Firefox
	@$(setup) test >&2
	@scripts/build.sh release
	@QN_ROUNDS=$${QN_ROUNDS:-50} $(ctest) --test-dir build -L web

debug: ## build without optimization into build-debug
	@$(setup) >&2
	@scripts/build.sh debug

asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(setup) test >&2
	@scripts/build.sh asan
	@$(ctest) --test-dir build-asan

noblocking: ## every test with the blocking helpers compiled out, as in a browser
	@$(setup) test >&2
	@scripts/build.sh noblocking
	@$(ctest) --test-dir build-noblocking

web: ## build the package for browsers, web/dist, with the demo
	@$(if $(filter no,$(SETUP)),:,scripts/setup.sh web) >&2
	@scripts/build_web.sh

web-demo: web ## serve the demo page at http://127.0.0.1:PORT/demo/ (8000)
	@scripts/serve_web.py $(PORT)

fuzz: ## run each fuzz target for FUZZ_SECONDS (60)
	@$(setup) ci >&2
	@scripts/build.sh fuzz
	@scripts/fuzz.sh $(FUZZ_SECONDS)

format: ## format the C sources in place (clang-format 14)
	@scripts/format.sh

format-check: ## fail when a C source is not formatted
	@scripts/format.sh --check

install: ## install under PREFIX (/usr/local), below DESTDIR if given
	@$(setup) >&2
	@scripts/build.sh release
	@cmake --install build --prefix "$(PREFIX)"

clean: ## remove the build folders
	rm -rf build build-debug build-asan build-noblocking build-web web/dist build-fuzz build-gcc build-clang build-ci
