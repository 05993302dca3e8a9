# What a person does with this project, one command each. `make` alone lists them.
# Each target first checks what it needs (scripts/need); Rust itself is the one thing that must be there.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Arguments for `driftgate demo`, such as DEMO_ARGS="--duration 20s --output json".
DEMO_ARGS ?=
# Arguments for `cargo test`, such as TEST_ARGS="--test regression" or TEST_ARGS="-- retry".
TEST_ARGS ?=
# Arguments for `driftgate bench`, such as BENCH_ARGS="--records 5000000 --output json".
BENCH_ARGS ?=
# Parts of the benchmark that `make scale` runs, and arguments for each of them, such as SCALE_PARTS=idle
# SCALE_ARGS="--idle-for 5m".
SCALE_PARTS ?= scale wide burst soak idle start
SCALE_ARGS ?=
# How often `make soak` runs the tests.
SOAK_ROUNDS ?= 10
# How long memory is watched in each round, at a steady rate.
SOAK_FOR ?= 1m
# How many seeds of the simulation `make soak` runs, and from which on.
SOAK_SEEDS ?= 1000000
SOAK_FROM ?= 0

.DEFAULT_GOAL := help
.PHONY: help demo build passthrough bench scale profile lint test soak simulate audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## build and run the demo: embedded broker and registry, nothing else needed (DEMO_ARGS)
	@scripts/need build
	$(CARGO) build --locked --bin driftgate
	@exec "$(TARGET)/debug/driftgate" demo $(DEMO_ARGS)

build: ## build the optimised program: target/release/driftgate
	@scripts/need build
	$(CARGO) build --locked --release --bin driftgate

passthrough: ## what the benchmark compares with, a program of its own
	@scripts/need build
	$(CARGO) build --locked --release --bin driftgate-passthrough

bench: build passthrough ## the benchmark on a real Apache Kafka: writes BENCHMARKS.md (BENCH_ARGS)
	@scripts/need bench
	@scripts/fetch kafka
	@DRIFTGATE_REAL_PARTS=kafka scripts/with-real scripts/bench "$(TARGET)/release/driftgate" $(BENCH_ARGS)

scale: build ## workers, partitions, bursts, a long backlog, idleness and starts, into BENCHMARKS.md (SCALE_PARTS, SCALE_ARGS)
	@scripts/need bench
	@scripts/fetch kafka
	@DRIFTGATE_REAL_PARTS=kafka scripts/with-real scripts/bench-parts "$(TARGET)/release/driftgate" "$(SCALE_PARTS)" $(SCALE_ARGS)

profile: build ## where the time of the benchmark's job goes, by stage: needs perf (BENCH_ARGS)
	@scripts/need bench
	@scripts/fetch kafka
	@DRIFTGATE_REAL_PARTS=kafka scripts/with-real scripts/profile "$(TARGET)/release/driftgate" $(BENCH_ARGS)

lint: ## formatting, clippy, and the dependencies' licences, bans and sources
	@scripts/need lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@scripts/deny licenses bans sources

test: ## every test, with a real Apache Kafka and two real schema registries; failures are told at the end (TEST_ARGS)
	@scripts/need test
	@scripts/fetch
	@scripts/with-real $(CARGO) test --locked --no-fail-fast $(TEST_ARGS)

soak: simulate build ## the same tests in full with the optimised program, to find what fails one time in many (SOAK_ROUNDS, SOAK_FOR, TEST_ARGS)
	@scripts/need test
	@scripts/fetch
	@for round in $$(seq $(SOAK_ROUNDS)); do \
		echo "==> round $$round of $(SOAK_ROUNDS)"; \
		DRIFTGATE_TEST_SOAK=1 DRIFTGATE_TEST_SOAK_FOR=$(SOAK_FOR) DRIFTGATE_TEST_PROGRAM=$(abspath $(TARGET))/release/driftgate \
			scripts/with-real $(CARGO) test --locked $(TEST_ARGS) || exit 1; \
	done

simulate: ## seeds of the workers' simulation, optimised (SOAK_SEEDS, SOAK_FROM); a part of soak
	@scripts/need build
	DRIFTGATE_SIM_SEEDS=$(SOAK_SEEDS) DRIFTGATE_SIM_FROM=$(SOAK_FROM) \
		$(CARGO) test --locked --profile simulation --lib -- --nocapture worker::sim::tests::no_seed_breaks_an_invariant

audit: ## known vulnerabilities of the dependencies (fetches the advisory database)
	@scripts/need lint
	@scripts/deny advisories

clean: ## remove what was built and fetched: the folder target
	$(CARGO) clean
