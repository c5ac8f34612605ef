# What each target does stands behind its ##; `make` alone prints it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Deferred imports and tools find the environment's programs first: kctl, kubelab, pytest.
export PATH := $(CURDIR)/$(BIN):$(PATH)
TESTS ?= tests
# A file is one worker's: a chapter goes on where its last test ended, and starts one cluster. Files are taken in the
# order of their names: clusters first, whose tests take longest, and the small unit tests fill the end.
PYTEST ?= pytest -n 4 --dist loadfile --no-loadscope-reorder --ignore tests/compose

.DEFAULT_GOAL := help
.PHONY: help setup system protos up down hello test coverage test-clients test-compose storm fuzz lint fix permissions api bench bench-failover bench-scale fresh-check clean

help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

system: ## install the system packages that are missing (etcd, crun, nftables, iproute2, python3-venv)
	@deploy/system-packages $(PYTHON)

# A new environment, or a changed pyproject.toml, is installed; a changed contract is generated anew.
$(VENV)/.installed: pyproject.toml hatch_build.py | system
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing kubelab and its Python packages into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/.generated: $(shell find protos -name '*.proto') $(VENV)/.installed
	@test build/protos/.stamp -nt $(VENV)/.installed 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

setup: system $(VENV)/.generated ## make everything that the other targets need

protos: ## generate the Python of the contract again, from protos/
	@rm -rf build/protos $(VENV)/.generated
	@$(MAKE) --no-print-directory setup

up: setup ## start the local cluster
	@kubelab up

down: setup ## stop the local cluster, keeping its objects
	@kubelab down

hello: setup ## start a cluster, run the hello pod behind a service, call it, show how it came to be
	@examples/hello.sh

# kubectl and helm as they were released, for the tests that compare with them.
CLIENTS := build/clients/v32/kubectl build/clients/v35/kubectl build/clients/v37/kubectl

build/clients/%/kubectl:
	@echo "Fetching kubectl and helm $* …"
	@$(BIN)/python -m tests.clients.programs $*

# The client library for Node.js, where npm is there; without it the test says why it is skipped.
NODE_CLIENT := build/clients/node/.installed

$(NODE_CLIENT): tests/clients/node/package.json
	@mkdir -p $(@D)
	@cp $< $(@D)/package.json
	@if command -v npm >/dev/null; then echo "Installing @kubernetes/client-node …" \
	  && npm install --silent --no-fund --no-audit --prefix $(@D) && touch $@; fi

test: setup $(CLIENTS) $(NODE_CLIENT) ## run every test, but those that need Docker
	@$(PYTEST) $(TESTS)

coverage: setup ## measure what unit and integration tests run; build/coverage/index.html shows the lines
	@COVERAGE_FILE=build/.coverage $(PYTEST) --cov --cov-report=term --cov-report=html tests/unit tests/integration

test-clients: setup $(CLIENTS) $(NODE_CLIENT) ## run the programs of other people, in every version that is fetched
	@KUBELAB_CLIENT_VERSIONS="v32 v35 v37" pytest tests/clients

test-compose: setup ## run the tests on docker compose; installs and starts Docker where there is none
	@pytest tests/compose

storm: setup ## faults from a seed on a cluster at work: make storm SECONDS=600 SEED=1
	@$(BIN)/python -m tests.storm --seconds $(or $(SECONDS),120) --seed $(or $(SEED),1)

fuzz: setup ## hostile requests from a seed to every server: make fuzz SECONDS=600 SEED=1
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(if $(ONLY),--only $(ONLY))

lint: setup ## check format, style, types and the direction of imports
	@ruff format --check .
	@ruff check .
	@pyright
	@lint-imports

fix: setup ## mend what ruff can mend
	@ruff format .
	@ruff check --fix .

permissions: setup ## write the table of who may do what into docs/security.md
	@$(BIN)/python -m kubelab.apiserver.authz.permissions --write docs/security.md

api: setup ## write every kind and what becomes of its fields into docs/api.md
	@$(BIN)/python -m kubelab.apimachinery.apidocs --write docs/api.md

bench: setup ## measure against the budgets; writes build/bench.json
	@$(BIN)/python -m benchmarks

bench-failover: setup ## measure what is waited when a part of a control plane of three dies
	@$(BIN)/python -m benchmarks.failover

bench-scale: setup ## measure with a thousand watchers, nodes and services, and 18,000 pods
	@$(BIN)/python -m benchmarks.scale

fresh-check: ## the current commit on a bare Debian 12: make hello and make test, as typed
	@deploy/fresh-check

clean: ## remove what was built here (.venv, build); clusters are `kubelab down --delete`
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
