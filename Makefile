# The only commands to know. Each one first sees to it that .venv is there and current.
#   make test                               unit and integration tests
#   make test ARGS="--docker --crash"       more kinds, or any other arguments of pytest
#   make demo PYTHON=python3.12             another interpreter for .venv

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
CHECKS := check-format check-lint check-types check-imports check-spelling

.PHONY: venv demo test test-docker test-server test-pyz crash pyz check $(CHECKS) format bench lock clean

venv:
	@$(PYTHON) bootstrap.py

demo: venv
	@$(BIN)/python -m nanoclaw demo $(ARGS)

test: venv
	$(BIN)/python -m pytest $(ARGS)

test-docker: venv
	$(BIN)/python -m pytest --docker tests/docker $(ARGS)

test-server: venv
	$(BIN)/python -m pytest --server tests/server $(ARGS)

test-pyz: venv
	$(BIN)/python -m pytest --pyz tests/pyz $(ARGS)

crash: venv
	$(BIN)/python -m pytest --crash tests/crash $(ARGS)

pyz: venv
	$(BIN)/python build_pyz.py

# All findings at once: one failing tool does not hide the others.
check: venv
	@$(MAKE) --no-print-directory --keep-going $(CHECKS)

check-format:
	$(BIN)/ruff format --check --quiet .

check-lint:
	$(BIN)/ruff check --quiet .

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports --no-cache

check-spelling:
	$(BIN)/codespell

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: venv
	@PYTHONPATH=.:tests PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

# After a change of dependencies in pyproject.toml; the only target that needs uv (CONTRIBUTING.md).
lock:
	tools/lock

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache nanoclaw.pyz
