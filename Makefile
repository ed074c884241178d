# Everything a developer runs. `make` or `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help run build test lint deny deps bench bench-data bench-text bench-peers crash scale model sim fuzz-http soak fuzz openapi clean

SEEDS ?= 10000
PYTHON := .deps/venv/bin/python
CARGO_DENY_VERSION := 0.20.2

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the release binary and serve on 127.0.0.1:7700, data in ./data
	cargo build --release --locked
	./target/release/quiver serve

build: ## Build the release binary
	cargo build --release --locked

test: deps ## Run every test, against real object-storage servers and real clients
	cargo test --locked --workspace
	$(PYTHON) -m pytest tests/python

lint: ## Check the format and the lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

deny: .deps/bin/cargo-deny ## Check dependencies for licences, advisories, duplicates and sources
	.deps/bin/cargo-deny --locked check

.deps/bin/cargo-deny:
	cargo install --locked --root .deps cargo-deny@$(CARGO_DENY_VERSION)

deps: ## Install what the tests need into .deps/ (Python 3.11 and Node 20 must be there)
	@scripts/install-test-deps.sh
	@scripts/install-haproxy.sh
	@scripts/install-chromium.sh

bench: deps ## Measure, with ratios against baselines from the same run
	cargo bench --locked
	$(MAKE) scale

bench-data: deps ## Make the benchmark data set (117,791 embeddings) in .data/
	@scripts/make_dataset.sh

bench-text: bench-data ## Measure full text beside tantivy
	cargo run --release --locked --manifest-path benches/text/Cargo.toml --target-dir target/text

bench-peers: bench-data ## Measure Quiver and its peers on the same data; PEERS="name …" again, ROWS=n enlarged
	@scripts/bench-peers.sh $(PEERS) $(if $(ROWS),--rows $(ROWS))

crash: deps ## Kill the server with -9 at 200 random moments during ingest
	QUIVER_CRASH_ROUNDS=200 cargo test --locked --test crash -- --nocapture

scale: bench-data ## Send a million rows through the whole life of a namespace, on files and S3
	QUIVER_SCALE_ROWS=1000000 cargo test --release --locked --test at_scale -- --nocapture --test-threads 1
	QUIVER_SCALE_ROWS=200000 QUIVER_SCALE_DIMENSION=1024 \
		cargo test --release --locked --test at_scale on_ -- --nocapture --test-threads 1

soak: deps ## Kill and pause three nodes on a failing store for a minute, and check the whole history
	QUIVER_CHAOS_SECONDS=60 cargo test --locked --test chaos -- --nocapture

model: ## Search larger systems in the model of the protocol (minutes, gigabytes)
	QUIVER_MODEL_LARGE=1 cargo test --locked --test protocol_model -- --nocapture

sim: ## Simulate SEEDS clusters (10,000) in virtual time; BUG=<name> plants a bug
	QUIVER_SIM_SEEDS=$(SEEDS) $(if $(BUG),QUIVER_SIM_BUG=$(BUG)) \
		cargo test --locked --test simulation -- every_seed --nocapture

fuzz: ## Try a million mutated objects on every decoder
	QUIVER_FUZZ_CASES=1000000 cargo test --locked --test fuzz -- --nocapture

fuzz-http: deps ## Send 10,000 generated requests
	cargo build --locked
	QUIVER_HTTP_CASES=10000 $(PYTHON) -m pytest tests/python/test_schemathesis.py

openapi: ## Write openapi/openapi.json
	cargo run --locked --quiet -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

clean: ## Delete what was built; installed dependencies and data stay
	cargo clean
