# The commands of this repository. Everything runs on loopback and leaves no process behind.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help build tuned test lint fmt demo bench bench-codecs bench-failover soak fuzz clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

build: ## The programs, optimised: target/release/{qiao,qiao-sim}
	$(CARGO) build --release --locked --bins

tuned: ## The programs for production: the gateway optimised by what it does under load; a quarter of an hour, into target/tuned
	ops/tuned.sh

test: ## Everything CI runs; what cannot be had here is skipped and named at the end
	ops/test.sh

lint: ## Format, clippy and structural rules only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) run --quiet --locked -p tidy

fmt: ## Format the code
	$(CARGO) fmt --all

demo: build ## Gateway, four simulated carriers, load and callbacks for 40 s; one carrier is killed, later hangs; the ledger closes
	ops/demo.sh

bench: build bench-codecs ## The benchmark suite: a table here, figures in target/bench/*.json (FLAGS=--tuned: of what `make tuned` builds)
	ops/bench/run.sh $(FLAGS)

bench-codecs: ## What a PDU costs to read and to write, per protocol, in nanoseconds and instructions
	$(CARGO) bench --quiet --locked -p codecs --bench speed

bench-failover: build ## Breaks a carrier, every way and rate, and measures how soon traffic moves (FLAGS=--quick: a minute)
	ops/bench/failover.sh $(FLAGS)

soak: ## Thousands of worlds in virtual time (SIM_SEEDS=n), planted bugs, and endurance: kills, power cuts, hours at once (ENDURE_*=n)
	ops/soak/run.sh

fuzz: ## Every fuzz target for a minute (FUZZ_SECONDS=n) by cargo-fuzz where it is installed, else by mutation alone
	conformance/fuzz/run.sh

clean: ## Remove what was built
	$(CARGO) clean
