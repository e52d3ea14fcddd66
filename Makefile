# Two commands do it all on a fresh machine:
#   make run    installs what is missing, builds, starts `nexus dev`, runs a sample and prints the link
#   make test   installs what is missing, then runs every check and every test
.DEFAULT_GOAL := help
.PHONY: help run mesh test setup build lint fmt clippy proto-lint deny unit e2e examples simulate faults chaos bench bench-mesh fuzz clean

RUN_PROFILE ?= release
ARGS ?=
SEEDS ?= 10000
SECONDS ?= 60
TARGETS ?=
KILLS ?= 120
CHAOS_SECONDS ?= 600
OTHER ?=

help: ## Shows this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup ## Builds NEXUS, starts `nexus dev` and runs a sample (ARGS="--listen …" passes arguments on)
	@echo "==> building (the first time takes several minutes; cargo shows how far it is)"
	cargo build --profile $(RUN_PROFILE) --locked -p nexus
	@echo "==> starting; Ctrl-C stops"
	exec target/$(RUN_PROFILE)/nexus dev $(ARGS)

SHAPE ?= --definitions 2 --execution 2 --workers 4

mesh: setup ## Builds NEXUS and runs a whole mesh here until Ctrl-C (SHAPE="--execution 3 --workers 8", ARGS=--no-fsync)
	@echo "==> building (the first time takes several minutes; cargo shows how far it is)"
	cargo build --profile $(RUN_PROFILE) --locked -p nexus -p nexus-fleet
	exec target/$(RUN_PROFILE)/nexus-fleet $(SHAPE) $(ARGS)

test: setup lint build ## Runs every check and every test
	cargo test --workspace --locked

setup:
	@scripts/setup.sh

# Binaries and tests together: so the dependencies are built once, with one set of features.
build: ## Builds everything for development
	cargo build --workspace --bins --tests --locked

lint: fmt clippy proto-lint ## Checks formatting, lints and contracts

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

proto-lint:
	@scripts/buf.sh lint

simulate: ## Simulates SEEDS seeds (10000) under faults, then hunts every planted bug
	cargo run --locked -p nexus-simulation -- --seeds $(SEEDS)
	cargo run --locked -p nexus-simulation -- --hunt 20000

deny: ## Checks licences and banned crates of all dependencies (needs cargo-deny)
	cargo deny --offline check licenses bans sources

unit: build ## Unit tests of every crate
	cargo test --workspace --locked --lib --bins

e2e: build ## End-to-end tests and faults over real sockets
	cargo test --workspace --locked --test e2e

examples: setup ## Runs a workflow over three gRPC services in two languages (installs Python packages into target/)
	cargo build --locked -p nexus
	examples/services/run.sh

# Figures on standard output, one line of JSON a workload; nothing is asserted.
bench: setup ## Measures a release build and the machine (ARGS="--only chain_40 --runs 9", ARGS=--quick)
	cargo build --release --locked -p nexus -p nexus-bench
	target/release/nexus-bench $(ARGS)

bench-mesh: setup ## The same over a mesh with a Postgres and a Redis of its own (ARGS="--execution 1 --workers 4")
	cargo build --release --locked -p nexus -p nexus-bench
	target/release/nexus-bench --mesh $(ARGS)

# The short part of it, the corpus and some thousand inputs more, is in `make test`.
fuzz: setup ## Looks for inputs that break something (SECONDS=60 for each of TARGETS="parser …")
	scripts/fuzz.sh $(SECONDS) $(TARGETS)

faults: build ## Faults, the whole set: every failpoint at its first and third hit, KILLS kills under load
	NEXUS_FAULT_ALL=1 NEXUS_FAULT_KILLS=$(KILLS) cargo test --workspace --locked --test faults --test planted -- --nocapture

# The short part of it, 40 s of everything two at a time and a third of the failpoints, is in `make test`.
# OTHER=COMMIT builds that commit and lets it run beside this one.
chaos: build ## Faults of a whole mesh, everything: every failpoint, every cut, CHAOS_SECONDS=600 of everything two at a time
	$(if $(OTHER),NEXUS_OTHER_BUILD=$$(scripts/other-build.sh $(OTHER))) NEXUS_CHAOS_ALL=1 NEXUS_CHAOS_SECONDS=$(CHAOS_SECONDS) cargo test --workspace --locked --test mesh -- --nocapture

clean: ## Removes what was built
	cargo clean
