# `make` lists the targets. `make demo` and `make test` need nothing done before them.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist loadgroup
ROUNDS ?= 5
DAY_SECONDS ?= 600
SECONDS ?= 60
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.runtime ## one AE title in, three writers out: starts everything, proves every byte
	@$(BIN)/python -m router.cli.main demo

test: $(VENV)/.dev peers ## set up and run all tests, against real peers
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.dev ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev ## put the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## build the documentation; warnings are errors
	@$(BIN)/sphinx-build -q -n -W -b html docs docs/_build/html

schema: $(VENV)/.runtime ## regenerate config/schema.json
	@$(BIN)/python -m router.settings.schema config/schema.json

conformance: $(VENV)/.runtime ## regenerate the tables of docs/conformance-statement.md
	@$(BIN)/python -m router.conformance docs/conformance-statement.md

reference: $(VENV)/.runtime ## regenerate docs/cli.md, docs/http.md and docs/yaml.md
	@$(BIN)/python -m router.reference docs

peers: ## install the real peers that the tests talk to (Debian packages)
	@sh scripts/peers.sh

lock: $(VENV)/.dev ## resolve the dependencies anew, with hashes
	@sh scripts/lock.sh $(BIN)/uv

interop: $(VENV)/.dev peers ## measure every peer in every encoding, print the matrix: INTEROP_ARGS=--write
	@$(BIN)/python -m tests.interop.matrix $(INTEROP_ARGS)

compose-test: $(VENV)/.dev ## build and start what compose/ has, and send: needs Docker (or podman) and compose
	@$(BIN)/python -m pytest tests/containers/stack.py

faults: $(VENV)/.dev peers ## kill router and writers under load: KILLS=200 SEED=1
	@$(BIN)/python -m pytest tests/faults/test_kills.py

hostile: $(VENV)/.dev peers ## hostile objects against router, storescp, Orthanc, pynetdicom, kept in the docs
	@$(BIN)/python -m tests.hostile.compare --write $(HOSTILE_ARGS)

wire: $(VENV)/.dev peers ## the wire cases against the same four: WIRE_ARGS=--detail
	@$(BIN)/python -m tests.wire.compare $(WIRE_ARGS)

fuzz: $(VENV)/.dev ## fuzz every target from the kept corpus on: SECONDS=60
	@mkdir -p build/fuzz && for target in $$(ls tests/fuzz/corpus); do mkdir -p build/fuzz/$$target && \
	  echo "$$target" && PYTHONPATH=. $(BIN)/python -m tests.fuzz $$target -verbosity=0 \
	  -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/ build/fuzz/$$target || exit 1; done

bench: $(VENV)/.dev peers ## measure the router beside its peers into docs/benchmarks.md: ROUNDS=5 DAY_SECONDS=600
	@$(BIN)/python -m bench --rounds $(ROUNDS) --day $(DAY_SECONDS) --write docs/benchmarks.md

bench-smoke: $(VENV)/.dev peers ## one small round of the same, in less than a minute; writes nothing
	@$(BIN)/python -m bench --smoke

clean: ## remove what the targets have made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache docs/_build

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(VENV) requirements/runtime.txt requirements/build.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/build.txt pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(VENV) requirements/dev.txt requirements/build.txt
	@touch $(VENV)/.runtime $@

.PHONY: help demo test check format docs schema conformance reference peers lock interop \
	wire hostile compose-test faults fuzz bench bench-smoke clean
