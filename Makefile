# Needs nothing but make and a Python of at least 3.11 with its venv module.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
UV     := $(BIN)/uv
BENCH  := .venv-bench
LOCKED  = $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)

# Two processes share the work already; more threads in each would only get in the way.
export OMP_NUM_THREADS      ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS      ?= 1

# Kernels of the tests start under an empty configuration: a user's own could change what cells show.
export IPYTHONDIR           := $(CURDIR)/$(VENV)/ipython
export JUPYTER_CONFIG_DIR   := $(CURDIR)/$(VENV)/jupyter

.DEFAULT_GOAL := help
.PHONY: help setup book pdf test slow versions mutants bench refresh measure lint format lock clean

help: ## Show what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything from the lock into .venv

book: $(STAMP) ## Execute every chapter, then build the book into _build/html
	@$(BIN)/scbtheory book

pdf: $(STAMP) ## Print the whole book, with its stored outputs, into _build/book.pdf
	@$(BIN)/scbtheory pdf

test: $(STAMP) ## Run the tests, and every chapter against its stored outputs
	@$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder \
	  --nbval --nbval-current-env --nbval-cell-timeout 300 book tests

slow: $(STAMP) ## Run the tests that take minutes: every chapter at five other sets of parameters
	@$(BIN)/python -m pytest -n 2 -m slow tests

# The lowest versions that pyproject.toml allows, then the newest of everything, each in an environment that is
# thrown away. Tests of every library that a bound is about, fast ones.
VERSIONS = sweeps sweeps_cluster task model population streaming dynamics noise training softmax plots book_build
versions: $(STAMP) ## Run a fast part of the tests with the lowest and the newest allowed dependencies
	@mkdir -p _build && for which in lowest-direct highest; do \
	  echo "versions: $$which"; place=$$(mktemp -d _build/versions-XXXXXX); \
	  $(UV) venv --quiet --python $(BIN)/python $$place/venv && \
	  $(UV) pip install --quiet --python $$place/venv/bin/python --resolution $$which --upgrade --editable '.[book,test]' && \
	  $(UV) pip list --quiet --python $$place/venv/bin/python --format freeze >$$place/versions.txt && \
	  NUMBA_CACHE_DIR=$$PWD/$$place/numba $$place/venv/bin/python -m pytest -q -n 2 -p no:cacheprovider tests/derivations $(VERSIONS:%=tests/test_%.py); \
	  code=$$?; [ $$code -eq 0 ] || { echo "versions: failed with $$which:"; tr '\n' ' ' <$$place/versions.txt; }; \
	  rm -rf $$place; [ $$code -eq 0 ] || exit $$code; \
	done

# More of them, or others: make mutants SAMPLE=400 SEED=1
SAMPLE ?= 200
SEED   ?= 0
mutants: $(STAMP) ## Mutate the mathematical core and see which tests notice
	@$(BIN)/python tests/mutation.py --sample $(SAMPLE) --seed $(SEED)

bench: $(BENCH)/.complete ## Time a training step beside PyTorch and JAX (half an hour)
	@$(BENCH)/bin/python -m benchmarks

refresh: $(STAMP) ## Re-execute the chapters and store their new outputs
	@$(BIN)/scbtheory refresh

measure: $(STAMP) ## Verify every claim and store what was measured for the pages
	@$(BIN)/scbtheory measure

lint: $(STAMP) ## Check style and types, without changing a file
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP) ## Repair what the style check can repair
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: $(STAMP) ## Resolve pyproject.toml again into requirements.lock
	@$(UV) pip compile pyproject.toml --extra book --extra test --extra dev \
	  --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
	  --no-header --no-annotate --quiet --output-file requirements.lock.new >/dev/null
	@if grep -nE '://|file:|index-url|find-links' requirements.lock.new; then \
	  rm -f requirements.lock.new; \
	  echo 'make lock: the lines above tie the lock to one machine or server; it was not replaced' >&2; \
	  exit 1; \
	fi
	@mv requirements.lock.new requirements.lock
	@echo 'requirements.lock is up to date; the next make installs it'

clean: ## Remove what was built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .coverage .coverage.*

# --clear starts from nothing and the stamp comes last, so that an interrupted installation is done again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "scbtheory needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(LOCKED)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# PyTorch and JAX stay out of .venv and of the lock, for their size. PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS may
# name a build of PyTorch without a GPU's libraries; where they do not, the default build is several GB.
$(BENCH)/.complete: $(STAMP)
	$(PYTHON) -m venv --clear $(BENCH)
	$(UV) pip sync --quiet --python $(BENCH)/bin/python --require-hashes requirements.lock
	$(PYTHON) -m pip --python $(BENCH)/bin/python install --quiet --disable-pip-version-check \
	  --editable '.[bench]'
	@touch $@
