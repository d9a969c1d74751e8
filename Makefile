# The only door: everything that a person or the CI does here is a target of this file. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Where cargo builds; set CARGO_TARGET_DIR to build elsewhere.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SYNCER := $(TARGET_DIR)/release/redissync-syncer

# Generated from the code, and the chart's copy of it.
CRD := crds/redissyncs.redissync.dev.yaml
CHART_CRD := charts/redissync-operator/files/redissyncs.redissync.dev.yaml

# The name, or a part of the name, of the tests to run: `make test-process T=killed`.
T ?=
# Arguments for the demo, the benchmark, the cluster and the images: `make demo ARGS='--help'`.
ARGS ?=

# One selection of crates and features for all tests: another one would build most dependencies again.
TESTS := --workspace --all-features
PROCESS_TESTS := $(TESTS) --test process -- --test-threads=1 $(T)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing of what the other targets need (compiler, pip, servers, a cluster's programs)
	@.ci/setup.sh
	@tests-e2e/servers/install.sh
	@deploy/local/setup.sh
	@deploy/local/build/build.sh > /dev/null

.PHONY: servers
servers: ## Put the real servers of several versions into the cache
	@.ci/setup.sh
	@tests-e2e/servers/install.sh

.PHONY: build
build: tools ## Build the release binary
	cargo build --release -p redissync-syncer

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: fmt-check
fmt-check: ## Fail where the code is not formatted
	cargo fmt --all -- --check

.PHONY: lint
lint: tools ## Clippy on every target with every feature; a warning fails
	cargo clippy --workspace --all-targets --all-features -- -D warnings

.PHONY: doc
doc: tools ## Build the API documentation; a broken link fails
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# The programs that write from the code, built as the tests are.
GENERATE := $(TARGET_DIR)/debug
.PHONY: generators
generators: tools
	@cargo build --quiet $(TESTS) --examples --bin redissync-operator

.PHONY: reference
reference: generators ## Write docs/reference.md, crd.md and conditions.md anew from the code
	$(GENERATE)/examples/reference > docs/reference.md
	for page in crd conditions; do $(GENERATE)/examples/kind-reference $$page > docs/$$page.md; done

.PHONY: crds
crds: generators ## Write the CustomResourceDefinition anew from the code, and the chart's copy of it
	$(GENERATE)/redissync-operator crd > $(CRD)
	cp $(CRD) $(CHART_CRD)

.PHONY: manifests
manifests: crds ## Write deploy/operator.yaml anew from the chart (needs helm, or builds it)
	.ci/manifests.sh > deploy/operator.yaml.new
	mv deploy/operator.yaml.new deploy/operator.yaml

.PHONY: check-generated
check-generated: generators ## Fail where a generated file is not what the code or the chart says
	@$(GENERATE)/examples/reference | diff -u docs/reference.md - \
		|| { echo "docs/reference.md is out of date: run 'make reference'" >&2; exit 1; }
	@for page in crd conditions; do \
		$(GENERATE)/examples/kind-reference $$page | diff -u docs/$$page.md - \
			|| { echo "docs/$$page.md is out of date: run 'make reference'" >&2; exit 1; }; \
	done
	@$(GENERATE)/redissync-operator crd | diff -u $(CRD) - \
		|| { echo "$(CRD) is out of date: run 'make crds'" >&2; exit 1; }
	@cmp $(CRD) $(CHART_CRD) || { echo "$(CHART_CRD) is out of date: run 'make crds'" >&2; exit 1; }
	@.ci/manifests.sh | diff -u deploy/operator.yaml - \
		|| { echo "deploy/operator.yaml is out of date: run 'make manifests'" >&2; exit 1; }

.PHONY: check-docs
check-docs: ## Fail where a document names a test, file, target or field that is not there
	@.ci/check-docs.sh

.PHONY: check-layers
check-layers: tools ## Fail if the syncer depends on Kubernetes, or anything on OpenSSL or a second TLS provider
	@.ci/check-layers.sh

.PHONY: deny
deny: ## Check licences, sources and bans of the dependencies (needs cargo-deny)
	@if cargo deny --version > /dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo "deny: cargo-deny is not installed, left out; 'cargo install cargo-deny --locked' gets it"; fi

.PHONY: check
check: fmt-check lint check-layers check-generated check-docs test-unit test-kit test-chart ## All that takes minutes: before each commit
	@$(MAKE) test-process T=line::

.PHONY: test
test: test-unit test-kit test-chart test-process ## All tests in their short form, with real servers and in a real cluster
	@$(MAKE) cluster-up ARGS=
	@$(MAKE) test-api T=
	@$(MAKE) test-cluster T=
	@echo "the cluster is still up: 'make cluster-down' stops it"

.PHONY: test-unit
test-unit: tools ## Tests beside the code: nothing else is needed
	.ci/cargo-test.sh $(TESTS) --lib --bins --test fuzz

.PHONY: test-kit
test-kit: servers ## Tests of the kit: servers, faults, ledgers, comparisons
	.ci/cargo-test.sh $(TESTS) --test main

.PHONY: test-chart
test-chart: tools ## The chart, the samples and what is written about them (needs helm, or builds it)
	.ci/cargo-test.sh $(TESTS) --test chart

.PHONY: test-api
test-api: tools ## The operator against a real API server ('make cluster-up' first, or KUBECONFIG); T=name runs a part
	@.ci/test-api.sh $(T)

.PHONY: test-process
test-process: servers ## The syncer between real servers, short form; T=name runs a part
	.ci/cargo-test.sh $(PROCESS_TESTS)

.PHONY: test-cluster
test-cluster: tools ## The operator in a real cluster, with faults (root, or KUBECONFIG); T=name runs a part
	@.ci/test-cluster.sh $(T)

.PHONY: test-long
test-long: servers ## The same tests in their long form (hours); T=name runs a part
	REDISSYNC_TEST_LONG=1 .ci/cargo-test.sh $(PROCESS_TESTS) --nocapture

.PHONY: fuzz
fuzz: tools ## Feed the parsers with libFuzzer (g++ needed): ARGS='SECONDS [TARGET…]', ARGS=keep keeps what was found
	.ci/fuzz.sh $(ARGS)

.PHONY: demo
demo: tools ## The operator in a cluster (root, or KUBECONFIG): two Sentinel sets, one manifest, a failover, a comparison
	@deploy/local/demo.sh $(ARGS)

.PHONY: demo-local
demo-local: servers build ## The same without Kubernetes: a syncer between two Sentinel sets, a failover at each end
	cargo run --quiet --release -p redissync-e2e --bin demo -- --syncer $(SYNCER) $(ARGS)

.PHONY: bench
bench: servers build ## Measure the syncer against REPLICAOF and redis-cli --pipe
	cargo run --quiet --release -p redissync-e2e --bin bench -- --syncer $(SYNCER) $(ARGS)

.PHONY: cluster-up
cluster-up: ## A Kubernetes of one node on this machine (root), or the cluster that KUBECONFIG names
	@deploy/local/up.sh $(ARGS)

.PHONY: cluster-down
cluster-down: ## Stop that node; ARGS=--wipe removes its state too
	@deploy/local/down.sh $(ARGS)

.PHONY: images
images: tools ## Build the images without Docker, into target/images; ARGS='syncer redis' builds a part
	@deploy/images/build.sh $(ARGS)

.PHONY: cluster-load
cluster-load: ## Load the built images into the cluster (ours, kind, k3d)
	@deploy/local/load.sh $(ARGS)

.PHONY: clean
clean: ## Remove what was built (the servers' cache stays)
	cargo clean

.PHONY: tools
tools:
	@.ci/setup.sh
