# Everything starts here, on a machine that has only make and Python >= 3.11. `make` alone lists what there is.
# Written for GNU make 3.81, the one that macOS ships.

# The first of these that is new enough makes .venv: `make PYTHON=python3.12 test` chooses another.
PYTHON ?= python3 python3.13 python3.12 python3.11

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.8
# The environment of uv.lock without, and with, the development tools. Each stamp is as old as its last sync.
RUNTIME := $(VENV)/runtime.stamp
DEV := $(VENV)/dev.stamp
# And with the engine of the fuzzers, which nothing else needs.
FUZZ := $(VENV)/fuzz.stamp

# uv works in this .venv with the Python that made it, and never brings another.
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON := $(BIN)/python
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV
unexport PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench long sim mutants fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME) ## the main job: two workers share a stream, one is killed, shards split, every answer is compared
	@$(BIN)/shardlake demo

test: lint ## linters, types, import contracts and all tests (about 15 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(DEV) ## linters, format, types and import contracts, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV) ## one benchmark with its bar, at most 60 s: make bench NAME=speed
	@$(BIN)/python -m benchmarks $(NAME)

long: $(DEV) ## one benchmark that takes longer: make long NAME=y
	@$(BIN)/python -m benchmarks.long $(NAME)

sim: $(DEV) ## one simulated schedule, told call by call: make sim SEED=7, or MODE=duckdb for the one with SQL
	@$(BIN)/python -m shardlake.testing.simulation --seed $(or $(SEED),0) --mode $(or $(MODE),multiset) --trace

mutants: $(DEV) ## put each committed defect into a copy and see that its tests catch it
	@$(BIN)/python tests/mutants/run.py

fuzz: $(FUZZ) ## look for inputs that break a decoder or parser: make fuzz TARGET=json SECONDS=60 (Linux on x86_64)
	@$(BIN)/python -m tests.fuzz.run $(TARGET) --seconds $(or $(SECONDS),60)

clean: ## remove .venv, caches and what was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@found=; \
	for python in $(PYTHON); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo 'Shardlake needs Python 3.11 or newer. Tried: $(PYTHON).' >&2; \
		echo "Here, python3 is: $$(python3 --version 2>&1 | head -n 1)." >&2; \
		echo 'Install a newer one, or name it: make PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'

# --inexact: a demo after a test keeps the development tools, which the other stamp promises.
$(RUNTIME): $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --no-dev --inexact
	@touch $@

$(DEV): $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen
	@touch $(RUNTIME) $@

$(FUZZ): $(DEV)
	$(UV) sync --frozen --inexact --group fuzz
	@touch $@
