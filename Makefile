# Everything a newcomer needs is `make demo` and `make test`; the rest is for those who stay.
#
# Always --workspace: a package built apart gets other features of what it depends on, and all of that is built twice.

SHELL := /bin/bash
CARGO ?= cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help demo demo-plugin test test-languages test-tutorial test-vm test-vm-one lint bench bench-vm fuzz faults plugins build setup setup-vm

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# With a test among it, dependencies get the features that the tests want, and `make test` need not build them again.
demo: setup ## real requests through NAT with each scheduler, in namespaces on this machine
	$(CARGO) build -q --workspace --bins --test house
	sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -E'; $$sudo target/debug/wvs-demo

demo-plugin: setup ## the same with a scheduler of your own: make demo-plugin PLUGIN=mine/mine.wasm
	@scripts/demo-plugin $(PLUGIN)

test: setup ## all tests: pure ones and, as root, the lab with real traffic
	scripts/test

test-vm: setup-vm ## direct routing and tunnels on Debian's kernels 6.12 and 6.1, under emulation
	scripts/vm-test

test-vm-one: setup-vm
	WVS_VM_SECONDS=150 scripts/vm-test --brief 6.12

test-languages: setup ## a scheduler in every language: begun, built, checked and loaded; installs tool chains into target/
	scripts/test-languages

test-tutorial: setup ## the tutorial as a reader goes through it, with real traffic
	scripts/test-tutorial

lint: setup ## formatting, lints and licences
	scripts/lint

bench: setup ## the figures of SPECIFICATION.md, measured on this machine
	scripts/bench

bench-vm: setup-vm ## instructions per packet of IPVS and of wvs, on the same kernels
	scripts/vm-bench

fuzz: setup ## a million configurations; as root, a million packets through the program and its model
	WVS_FUZZ_CASES=1000000 $(CARGO) test --workspace --test config_fuzz -- --nocapture
	sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -E'; \
	WVS_FUZZ_CASES=1000000 $$sudo $(CARGO) test --workspace --test differential -- --nocapture

faults: setup ## each fault of a plugin ten thousand times; as root, also in a director with connections
	WVS_FAULTS=10000 $(CARGO) test --release --workspace --test scheduler_siege -- --nocapture
	$(CARGO) build --release --workspace --bins
	sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -E'; \
	WVS_BIN=target/release/wvs WVS_FAULTS=10000 $$sudo $(CARGO) test --release --workspace --test siege -- --nocapture

plugins: ## build the schedulers to WebAssembly (they are kept in the repository)
	plugins/build.sh

build: setup ## the release binary, target/release/wvs
	$(CARGO) build --release --workspace --bins

setup: ## install what is missing
	@scripts/setup

setup-vm:
	@scripts/setup vm
