# The short way: `make` sets the machine up and builds build/gyre, `make run` builds the site and
# serves it, `make check` runs every test. The build itself is CMake's; see CMakeLists.txt.
BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PORT ?= 8080
# of tools/packages.txt
GROUPS = build

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all
.PHONY: all setup configure build run check install bench site format tidy clean exercises

all: build

setup:
	@tools/setup.sh

configure:
	@tools/setup.sh $(GROUPS)
	@cmake --preset release -B $(BUILD) --log-level=WARNING

build: configure
	@cmake --build $(BUILD) -j $(JOBS)

# Only what it needs: the program, and the site.
run: GROUPS = build site
run: configure site
	@cmake --build $(BUILD) -j $(JOBS) --target gyre_program
	$(BUILD)/gyre serve $(BUILD)/site --host 127.0.0.1 --port $(PORT)

check: setup build
	ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-tests=error

install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

bench: setup
	bench/run --build $(BUILD)/bench

site:
	@tools/setup.sh site
	@tools/site --out $(BUILD)/site

format: setup
	tools/format --fix

tidy: build
	tools/tidy $(BUILD)

# Which of the exercises under exercises/ are solved: an answer, so that an unsolved one is no error.
exercises:
	@exercises/run || [ $$? -eq 1 ]

clean:
	rm -rf build
