# The two commands of the README: `make demo` and `make test`. CI calls the same targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv

.PHONY: demo demo-slack test lint types bench docs lock clean setup

demo: $(READY)
	@$(BIN)/python -m flows.demo

demo-slack: $(READY)
	@$(BIN)/python -m flows.demo_slack

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/clampdown validate --schema > docs/playbooks.schema.json
	$(BIN)/python -m flows.gameday.scenario_file > docs/scenario.schema.json

# Every dependency with its version and hashes. It names no download site, so that it serves
# behind a mirror as well.
lock: $(READY)
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --upgrade --output-file requirements.lock

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clampdown needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip install --quiet --require-hashes --requirement requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q runbooks flows
	@touch $(READY)

clean:
	rm -rf $(VENV)
