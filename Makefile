# The commands people type. Each is a script in scripts/, which says more.
# KALPANA_CACHE (default ~/.cache/kalpana) is where everything built or downloaded is kept.

.DEFAULT_GOAL := help
.PHONY: help up test soak conformance check format image ui build bench-lifecycle bench-store bench-gateway clean

ARGS ?=

help: ## shows this list
	@echo "Kalpana. Usage: make <command>"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "A first time needs Rust, git and make; the rest is installed (and named) by 'make up'."

up: ## installs what is missing, builds, and starts Kalpana (ARGS="..." go to 'kalpana up')
	@scripts/up $(ARGS)

test: ## runs every test there is, real browser and containers included
	@scripts/test

soak: ## runs for hours what 'make test' runs in minutes: outages of the database, races, moves
	@scripts/soak

conformance: ## judges the gateway by sslyze, testssl.sh and slowhttptest
	@scripts/conformance

check: ## formatting, clippy, documentation, licences, lint
	@scripts/check

format: ## formats the Rust code
	@cargo fmt --all

image: ## builds the image that workspaces run
	@scripts/image

ui: ## builds the user interface into web/ui/out
	@scripts/node
	@scripts/ui

build: ui ## builds the kalpana executable (release)
	@scripts/build

bench-lifecycle: ui ## measures creation, latency and memory (ARGS="5" for 5 runs)
	@scripts/bench-lifecycle $(ARGS)

bench-store: ## measures both stores and moving data between them
	@scripts/bench-store $(ARGS)

bench-gateway: ## measures the gateway beside other proxies (ARGS="--only W1,W5 --rounds 3")
	@scripts/bench-gateway $(ARGS)

clean: ## removes what was built, never data: workspaces and accounts stay
	@scripts/clean
