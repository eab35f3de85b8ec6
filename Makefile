# casdav has two commands: `make serve` runs a drive, `make test` runs the tests.

# The interpreter that makes .venv; any Python from 3.11 on: make PYTHON=python3.12 serve
PYTHON ?= python3
# Where `make serve` keeps its repository, and what else it passes on: make serve ARGS="--port 9000"
STORE ?= casdav-data
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
DEBIAN_HINT := On Debian or Ubuntu: sudo apt-get install make $(notdir $(PYTHON))-venv

.PHONY: help serve test lint format types unit soak bench clean

help:
	@echo 'make serve    set up, create a repository in ./$(STORE) if there is none, serve it'
	@echo 'make test     set up, then lint, types, import rules and all fast tests (ARGS= for pytest)'
	@echo 'make format   let ruff format and mend the code'
	@echo 'make soak     the tests of hours and gigabytes (ARGS="--seeds 0:100")'
	@echo 'make bench    measure, with peers in the same run (ARGS="--scale full"; bench/README.md)'
	@echo 'make clean    remove the virtual environment and caches; never a repository'

# --- what people run ------------------------------------------------------------------------------

serve: $(VENV)/.serve-ready
	@CASDAV_STORE='$(STORE)' exec $(BIN)/casdav serve --quickstart $(ARGS)

test: lint types unit

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.test-ready
	$(BIN)/mypy

unit: $(VENV)/.test-ready
	$(BIN)/pytest -n auto --dist worksteal $(ARGS)

format: $(VENV)/.test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(VENV)/.test-ready
	$(BIN)/pytest -m soak -v -o faulthandler_timeout=0 $(ARGS)

bench: $(VENV)/.test-ready
	$(BIN)/pytest bench -q --benchmark-enable --benchmark-only --benchmark-quiet \
		-o faulthandler_timeout=0 $(ARGS)

clean:
	rm -rf $(VENV) dist .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find cas dav syncd tools bench tests -name __pycache__ -prune -exec rm -rf {} +

# --- the virtual environment ----------------------------------------------------------------------

# Empty, or one line that says why $(PYTHON) will not do.
PYTHON_PROBLEM = $(shell \
	if ! '$(PYTHON)' -c '' 2>/dev/null; then \
		echo "casdav needs Python 3.11 or newer, and '$(PYTHON)' does not run. $(DEBIAN_HINT)"; \
	elif ! '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "casdav needs Python 3.11 or newer, and '$(PYTHON)' is $$('$(PYTHON)' -V 2>&1)." \
			"Name a newer one: make PYTHON=python3.12 ..."; \
	elif ! '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "'$(PYTHON)' has no venv module. $(DEBIAN_HINT)"; \
	fi)

# A virtual environment holds absolute paths and links to its interpreter: after a move of the
# checkout, or when the interpreter is gone, it is made anew.
ifneq ($(shell test "$$(cat $(VENV)/.location 2>/dev/null)" = "$$(pwd -P)" \
	&& $(BIN)/python -c '' 2>/dev/null && echo sound),sound)
.PHONY: $(VENV)/.location
endif

$(VENV)/.location:
	$(if $(PYTHON_PROBLEM),$(error $(PYTHON_PROBLEM)))
	@echo 'Setting up $(VENV); the first time this fetches packages and takes about a minute.'
	@rm -rf $(VENV)
	@'$(PYTHON)' -m venv $(VENV)
	@pwd -P > $@

$(VENV)/.serve-ready: $(VENV)/.location pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.location pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.serve-ready $@
