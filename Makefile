# Everything a newcomer needs: `make serve` to talk, `make test` to be sure. Both set up what they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PORT ?= 8000
# The pinned torch goes in first and by name: resolved through another package, pip takes the newest build with its GPU libraries.
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-8s %s\n", $$1, $$2}'

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@echo "Installing into $(VENV) (a minute or two the first time) ..." >&2
	@$(PIP) install --constraint constraints.txt $(TORCH)
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: setup
setup: $(VENV)/installed ## Make .venv with the command in it; does nothing when it is up to date
	@$(BIN)/guardrail doctor --quiet

# LiteLLM pins other versions of filelock, huggingface-hub, openai, rich and websockets than we do, so it cannot share our environment.
.PHONY: others
others: $(VENV)/others/litellm/bin/litellm ## Install LiteLLM in an environment of its own (740 MB); the tests then run it against this server

$(VENV)/others/litellm/bin/litellm:
	@$(PYTHON) -m venv $(VENV)/others/litellm
	@$(VENV)/others/litellm/bin/python -m pip --disable-pip-version-check --quiet install 'litellm[proxy]==1.106.2'

.PHONY: serve
serve: setup ## Start the server and the web chat on http://127.0.0.1:8000 (PORT=9000 for another port)
	@$(BIN)/guardrail serve --port $(PORT)

.PHONY: test
test: setup ## Run the tests
	@$(BIN)/python -m pytest

.PHONY: check
check: setup ## Format, lint, types, import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: bench
bench: setup ## Measure the server beside a bare proxy, and retrieval and verification
	@$(BIN)/python -m benchmarks
