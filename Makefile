# `make` lists what there is. Everything runs from a clean clone; `scripts/setup` installs what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint sim bench crash setup ci

# cargo nextest where it is installed, else cargo test.
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS := cargo nextest run
else
RUN_TESTS := cargo test
endif

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'

demo: ## run an installation with everything in it and show what comes of it (ARGS=--exit ends it)
	@scripts/setup demo
	@cargo run --quiet --bin carillon -- demo $(ARGS)

test: ## the whole test suite, its services (PostgreSQL, SIPp, a soft phone) included (ARGS=-p carillon-domain for one crate)
	@scripts/setup
	$(RUN_TESTS) $(if $(ARGS),$(ARGS),--workspace)

lint: ## formatting, clippy, documentation, the project's own rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo xtask tidy

SEED ?= 1
SEEDS ?= 1
RECORDS ?= 10000
sim: ## a day of calls in simulated time, with crashes (SEED=8123, SEEDS=10, RECORDS=10000, ARGS="--bug list")
	@cargo run --quiet --bin carillon-sim -- --seed $(SEED) --seeds $(SEEDS) --records $(RECORDS) $(ARGS)

bench: ## measure this machine with an optimised build; docs/benchmarks.md has ours
	@cargo run --quiet --release --bin carillon -- bench $(ARGS)

KILLS ?= 100
crash: ## kill the server at every failpoint, and KILLS=100 times at random (CARILLON_SEED=7 repeats a run)
	@scripts/setup
	CARILLON_RANDOM_KILLS=$(KILLS) $(RUN_TESTS) -p carillon-server --test e2e crash:: $(if $(NEXTEST),--no-capture,-- --nocapture)

setup: ## install what the tests and the demo want beside the Rust toolchain
	@scripts/setup

ci: ## what must pass before anything is merged
	@.ci/run
