# The same verbs that .ci/run calls. Every one works on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := tests/peers/node_modules/.package-lock.json
MCP_PEERS := tests/peers/mcp/node_modules ui/node_modules/.package-lock.json

.PHONY: help run setup test check format bench peers agent-peers phoenix ui openbao lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: setup ## set everything up and start the system
	@$(BIN)/life up

setup: $(STAMP) ## fill .venv from the hashed lock file

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Life needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

test: setup ## the test suite (without the slow, heavy and browser parts)
	@$(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

check: setup ## format, lint, types, import law, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/docs

format: setup ## rewrite the sources in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## every published figure; prints ratios measured in one run
	@$(BIN)/python -m benches $(ARGS)

peers: $(PEERS) $(MCP_PEERS) ## the official JavaScript peers, anvil and solc that the slow tests talk to

$(PEERS): tests/peers/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing; on Debian and Ubuntu: apt install nodejs npm"; exit 1; }
	@cd tests/peers && npm ci --no-audit --no-fund

$(MCP_PEERS): tests/peers/mcp/package-lock.json
	@cd tests/peers/mcp && npm ci --no-audit --no-fund

ui: ## build the workspace page (needs Node 20.19 or newer)
	@cd ui && npm ci --no-audit --no-fund && npm run check && npm run build

phoenix: ## the trace viewer that the telemetry tests talk to, in an environment of its own (about 250 MB)
	@$(PYTHON) -m venv .cache/phoenix && .cache/phoenix/bin/python -m pip install --quiet --disable-pip-version-check arize-phoenix==20.26.1

agent-peers: ## the frameworks that benches/agent_peers.py compares with, in an environment of their own
	@$(PYTHON) -m venv .cache/agent-peers && .cache/agent-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/agent-peers.lock

openbao: ## build a real OpenBao server into .cache for the custody tests (needs Go)
	@scripts/openbao

lock: ## write the lock files anew (needs uv)
	uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal -o requirements/core.lock $(ARGS)
	uv pip compile pyproject.toml --group dev --group peers --extra all --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal -o requirements/dev.lock $(ARGS)
	uv pip compile requirements/agent-peers.in --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal -o requirements/agent-peers.lock $(ARGS)

clean: ## remove what setup, tests and benches made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache tests/peers/node_modules tests/peers/mcp/node_modules
