# Everything a developer or a newcomer types. `make demo` and `make test` need Python 3.11+, make and git, nothing else.
PYTHON ?= python3
VENV := .venv
# Files of tests that run side by side: most of their time goes by in waiting, for visitors who read and servers that start.
AT_ONCE ?= 4
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check peers soak bench docs lock clean
.DEFAULT_GOAL := test

# Lock files hold names, versions and hashes only; the registry is whatever pip is set up for.
$(VENV)/run: requirements/run.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements/run.lock
	@touch $@

$(VENV)/dev: requirements/dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements/dev.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/run

$(VENV)/all: requirements/all.lock $(VENV)/dev
	$(BIN)/pip install -q --require-hashes -r requirements/all.lock
	@touch $@

demo: $(VENV)/run
	PYTHONPATH=src $(BIN)/python -m plait demo

test: $(VENV)/dev
	$(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile -m "not peers and not soak and not alone"
	$(BIN)/python -m pytest -m "alone and not peers and not soak"

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python sdk/js/check.py

peers: $(VENV)/all
	$(BIN)/python tests/peers/setup.py
	$(BIN)/python -m pytest -m peers

soak: $(VENV)/all
	$(BIN)/python tests/peers/setup.py
	$(BIN)/python -m pytest -m soak --timeout 7200

bench: $(VENV)/all
	$(BIN)/python tests/peers/setup.py
	$(BIN)/python -m bench

docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lock:
	$(PYTHON) requirements/lock.py

clean:
	rm -rf $(VENV) .peers .pytest_cache .mypy_cache .ruff_cache dist site
