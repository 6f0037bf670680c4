# Everything here works on a fresh machine; `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes side by side; one more than cores, since some tests wait.
WORKERS ?= 3

# A Python 3.13 or newer: on PATH, from pyenv, or from uv.
PYTHON = $(shell tools/find-python)

.PHONY: help install demo test soak e2e check lint types imports bench histories requirements reference clean

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s $$'\t'

install: $(VENV)/.installed ## Make .venv with everything that is needed

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "midwatch needs Python 3.13 or newer: install it (pyenv install 3.13, uv python install 3.13, or your system's package), then run make again" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

demo: install ## Three simulated clusters in one process, and a run that patches them (KEEP=1 leaves them up)
	$(BIN)/midwatch demo $(if $(KEEP),--keep)

test: install ## Run the tests that need nothing but Python
	$(BIN)/python -m pytest tests -m "not e2e" -n $(WORKERS) --dist worksteal

soak: install ## Run random fleets (N=1000 SEED=7)
	$(BIN)/python -m tests.soak --number $(or $(N),100) --seed $(or $(SEED),0)

e2e: install ## Run the tests on a real Kubernetes control plane (needs Go 1.26, unshare, nsenter, setpriv)
	$(BIN)/python -m tests.kit.controlplane.build
	$(BIN)/python -m pytest tests/e2e tests/contract -m e2e -n $(WORKERS)

lint: install ## Lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Static types
	$(BIN)/mypy

imports: install ## Who may import whom
	$(BIN)/lint-imports

check: lint types imports test ## Lint, types, imports, tests

bench: install ## Benchmarks (ONLY=name for one; fleet, import and memory need no control plane; FLEET=2x10 makes fleet smaller)
	$(if $(filter fleet import memory,$(ONLY)),,$(BIN)/python -m tests.kit.controlplane.build)
	$(BIN)/python -m tests.bench $(ONLY)

histories: install ## Record the histories anew that the replay tests replay (after a change that is meant to break them)
	$(BIN)/python -m tests.unit.orchestrators.histories

requirements: install ## Pin the requirements anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --python-version 3.13 --no-annotate --quiet --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra local --extra dev --python-version 3.13 --no-annotate --quiet --output-file requirements-dev.txt

reference: install ## Write docs/policy.md anew from the code, and the workbook from docs/telemetry.md
	PYTHONPATH=. $(BIN)/python tools/policy_reference.py > docs/policy.md
	$(BIN)/python tools/workbook.py > deploy/bicep/workbook.json

clean: ## Remove what make install made
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
