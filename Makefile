# `make demo` and `make shop` show it, `make test` checks it. The plain commands behind both stand in README.md.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NODE_PARTS := backend docs/diagrams frontend integrations/nextjs
PACKAGES := $(if $(shell command -v npm),$(patsubst %,%/node_modules/.package-lock.json,$(NODE_PARTS)))
PAGE := frontend/dist/.built
PAGE_SOURCES := $(shell find frontend/src frontend/public -type f) $(addprefix frontend/,index.html vite.config.js package.json)

LOCKER := uv==0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo shop test lint bench lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1 @/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-12s %s\n", $$1, $$2 }'

demo: $(INSTALLED) ## make a demo shop in data/, train on it, publish, and answer a request
	@$(BIN)/python scripts/demo.py

shop: backend/node_modules/.package-lock.json $(PAGE) $(INSTALLED) ## serve the demo shop with its page at PORT (6969); make what is missing
	@exec $(BIN)/python scripts/shop.py

test: $(INSTALLED) $(PACKAGES) ## run the whole test suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
	@if command -v npm > /dev/null; then for part in $(NODE_PARTS); do npm test --silent --prefix $$part || exit 1; done; \
	elif [ -n "$(CI)" ]; then echo "npm is missing: the backend's tests cannot run" >&2; exit 1; \
	else echo "skipped: the backend's tests need Node 20"; fi

lint: $(INSTALLED) $(PACKAGES) ## check style, layout, types, spelling and words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/codespell
	@$(BIN)/python benchmarks/readability.py
	@if command -v npm > /dev/null; then for part in $(NODE_PARTS); do npm run --silent lint --prefix $$part || exit 1; done; \
	elif [ -n "$(CI)" ]; then echo "npm is missing: the backend's style cannot be checked" >&2; exit 1; \
	else echo "skipped: the backend's style needs Node 20"; fi

bench: $(INSTALLED) ## measure what serving costs, on synthetic shops: a quarter of an hour
	@$(BIN)/python benchmarks/serving.py --json benchmarks/results/serving.json

lock: ## pin what pyproject.toml asks for, with every file's hash; UPGRADE=1 takes newer releases
	@set -e; aside=$$(mktemp -d); trap 'rm -rf "$$aside"' EXIT; \
	$(PYTHON) -m venv "$$aside"; \
	"$$aside/bin/python" -m pip install -qq --disable-pip-version-check --no-input $(LOCKER); \
	compile() { "$$aside/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --annotation-style line --custom-compile-command 'make lock' "$$@"; }; \
	compile --all-extras $(if $(UPGRADE),--upgrade) --output-file requirements.txt; \
	compile --extra postgresql --constraint requirements.txt --output-file requirements/serve.txt; \
	compile --extra postgresql --extra ann --constraint requirements.txt --output-file requirements/ann.txt; \
	compile --extra service --constraint requirements.txt --output-file requirements/service.txt; \
	compile --extra jobs --extra django --extra ratings --constraint requirements.txt --output-file requirements/jobs.txt

clean: ## remove caches; .venv, .env, data/ and models/ stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.13")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing requirements.txt into .venv: 2 GB on disk, a minute or more …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -r requirements.txt
	@touch $@

$(PAGE): frontend/node_modules/.package-lock.json $(PAGE_SOURCES)
	@echo "Building the page …"
	@npm run build --silent --prefix frontend -- --logLevel warn
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@command -v npm > /dev/null || { echo "Node 20.19 or newer should be installed. Received: no npm on PATH." >&2; exit 1; }
	@echo "Installing the packages of $* …"
	@cd $* && npm ci --silent --no-audit --no-fund
	@touch $@
