# `make up` and `make test` are all that a user needs. The other targets are for those who change Duetime.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

DISTRIBUTIONS := proto core server worker clients/python stack
EDITABLE := $(addprefix -e ./,$(DISTRIBUTIONS))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help up check test coverage chaos chaos-ci bench bench-ci lint format generate wheels lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/compiled ## Start everything on this machine. Flags: make up ARGS="--port 9090".
	@exec $(BIN)/duetime up $(ARGS)

check: lint ## Run lint and the unit tests: under a minute.
	@$(BIN)/python -m pytest -q -n auto tests/unit

test: $(VENV)/ready ## Run all tests but chaos. Some of them: make test ARGS=tests/integration.
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

coverage: $(VENV)/ready ## Run the unit tests, and print how much of the code they cover.
	@$(BIN)/python -m pytest -q -n 2 tests/unit --cov

chaos-ci: $(VENV)/ready ## Inject each fault once and check what is promised. With figures: ARGS="-n 0".
	@$(BIN)/python -m pytest tests/chaos -n 2 --dist worksteal $(ARGS)

chaos: $(VENV)/ready ## Inject random faults for an hour. Others: make chaos ARGS="--minutes 5 --seed 7".
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

bench: $(VENV)/ready ## Run the benchmarks and their references. One of them: make bench ARGS="drain".
	@$(BIN)/python -m bench $(ARGS)

bench-ci: $(VENV)/ready ## Run each benchmark at a tiny size, to show that it works.
	@$(BIN)/python -m bench --tiny $(ARGS)

lint: $(VENV)/ready ## Check style, types, the contract and Envoy's configuration.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy clients/python/generate.py
	$(BIN)/mypy envoy/generate.py
	$(BIN)/envoy --mode validate --log-level warning -c envoy/envoy.yaml
	$(BIN)/python proto/lint.py

format: $(VENV)/ready ## Format the code and fix what ruff can fix.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/ready ## Generate code and texts: from the contract, the client, Envoy's tables, the hot SQL, the rules.
	$(BIN)/python proto/generate.py
	$(BIN)/python clients/python/generate.py
	$(BIN)/python envoy/generate.py
	$(BIN)/python tools/statements.py
	$(BIN)/python tools/authorization.py

wheels: $(VENV)/ready ## Build the wheels of all distributions into dist/.
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist $(addprefix ./,$(DISTRIBUTIONS))

# The locked packages, each checked against its hash, and then the project's own, editable.
$(VENV)/ready: requirements.lock VERSION tools/metadata.py $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	@echo "Installing into $(VENV); the first time this takes a minute …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --require-hashes -r requirements.lock
	@$(BIN)/pip install -qq --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

# Started by root, `duetime up` becomes a user that cannot write here. Without the compiled files it only starts slower.
$(VENV)/compiled: $(VENV)/ready $(shell find $(DISTRIBUTIONS) -name '*.py')
	@{ $(BIN)/python -m compileall -qq $(DISTRIBUTIONS) && touch $@; } 2>/dev/null || true

lock: ## Resolve requirements.lock again and check the binaries in it against tools/binaries.toml.
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate requirements.in --group dev \
		$(foreach name,proto core server worker client stack,--no-emit-package duetime-$(name)) \
		--output-file requirements.lock
	$(BIN)/python -m tools.binaries

clean: ## Remove the environment, and the data of `make up` and of the benchmarks.
	rm -rf $(VENV) .duetime .bench .coverage dist
