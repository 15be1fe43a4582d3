# Everything a newcomer needs is `make demo` and `make test`; the rest is for those who stay.

SHELL := /bin/bash
CARGO ?= cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help demo test lint bench fuzz faults plugins build setup

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: setup ## real requests through NAT with each scheduler, in namespaces on this machine
	$(CARGO) build -q -p wvs -p wvs-tests --bins
	sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -E'; $$sudo target/debug/wvs-demo

test: setup ## all tests: pure ones and, as root, the lab with real traffic
	scripts/test

lint: setup ## formatting, lints and licences
	scripts/lint

bench: setup ## the figures of SPECIFICATION.md, measured on this machine
	scripts/bench

fuzz: setup ## a million configurations
	WVS_FUZZ_CASES=1000000 $(CARGO) test -p wvs-core --test config_fuzz -- --nocapture

faults: setup ## each fault of a plugin ten thousand times
	WVS_FAULTS=10000 $(CARGO) test --release -p wvs-core --test scheduler_siege -- --nocapture

plugins: ## build the schedulers to WebAssembly (they are kept in the repository)
	plugins/build.sh

build: setup ## the release binary, target/release/wvs
	$(CARGO) build --release -p wvs

setup: ## install what is missing
	@scripts/setup
