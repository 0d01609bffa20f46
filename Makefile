# Two commands matter: `make up` and `make test`. All the others are for those who change Duetime.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

DISTRIBUTIONS := proto core server worker clients/python stack
EDITABLE := $(addprefix -e ./,$(DISTRIBUTIONS))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: up test chaos chaos-ci bench bench-ci lint format generate lock clean

up: $(VENV)/compiled ## Start everything on this machine. Flags: make up ARGS="--port 9090".
	@exec $(BIN)/duetime up $(ARGS)

test: $(VENV)/ready ## Run every test. A part of them: make test ARGS=tests/unit.
	@$(BIN)/python -m pytest $(ARGS)

chaos-ci: $(VENV)/ready ## Play every fault once, and hold what happened to the rules. With figures: ARGS="-n 0".
	@$(BIN)/python -m pytest tests/chaos -n 2 --dist worksteal $(ARGS)

chaos: $(VENV)/ready ## Play random faults for an hour. Others: make chaos ARGS="--minutes 5 --seed 7".
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

bench: $(VENV)/ready ## Measure everything, beside its references. One of them: make bench ARGS="drain".
	@$(BIN)/python -m bench $(ARGS)

bench-ci: $(VENV)/ready ## Run every benchmark at a tiny size, to show that it works.
	@$(BIN)/python -m bench --tiny $(ARGS)

lint: $(VENV)/ready ## Check style, types, the contract and Envoy's configuration.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy clients/python/generate.py
	$(BIN)/mypy envoy/generate.py
	$(BIN)/envoy --mode validate --log-level warning -c envoy/envoy.yaml
	$(BIN)/python proto/lint.py

format: $(VENV)/ready ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/ready ## Generate the code that is generated: from the contract, the synchronous client, and what the edge knows of the contract.
	$(BIN)/python proto/generate.py
	$(BIN)/python clients/python/generate.py
	$(BIN)/python envoy/generate.py

# The locked packages, each checked against its hash, and then the project's own, editable.
$(VENV)/ready: requirements.lock $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	@echo "Installing into $(VENV); the first time this takes a minute …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --require-hashes -r requirements.lock
	@$(BIN)/pip install -qq --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

# The user that runs the parts may not write here. Without it, as where that user runs make, all starts just slower.
$(VENV)/compiled: $(VENV)/ready $(shell find $(DISTRIBUTIONS) -name '*.py')
	@{ $(BIN)/python -m compileall -qq $(DISTRIBUTIONS) && touch $@; } 2>/dev/null || true

lock: ## Resolve requirements.lock anew, and hold the binaries in it to tools/binaries.toml.
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate requirements.in --group dev \
		$(foreach name,proto core server worker client stack,--no-emit-package duetime-$(name)) \
		--output-file requirements.lock
	$(BIN)/python -m tools.binaries

clean: ## Remove the environment and the data of `make up` and of the benchmarks.
	rm -rf $(VENV) .duetime .bench
