# The two commands that do all the set-up: `make demo` runs the main job, `make test` the test suite.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= scenarios/quickstart.yaml
PYTEST_ARGS ?= -n auto

.PHONY: install demo test lint docs bench claims check check-byzantine matrix clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: install
	$(BIN)/simnet run $(SCENARIO) --plot --report

# Emulations measure real time, so they run when nothing else does.
test: install
	$(BIN)/python -m pytest $(PYTEST_ARGS) --ignore tests/emulation --ignore tests/conformance
	$(BIN)/python -m pytest tests/emulation tests/conformance

lint: install docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: install
	$(BIN)/python bench/run.py
	$(BIN)/python bench/pipeline.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/batch.py
	$(BIN)/python bench/batch.py --predict

claims: install
	$(BIN)/python -m pytest -m claims $(PYTEST_ARGS)

check: install
	$(BIN)/simnet check quickstart fast-and-slow unequal-links label-skew feature-shift changing-links utilisation \
		pipeline/golden faults/stragglers faults/flaky-links faults/churn faults/partition faults/regional-outage \
		faults/checkpointing byzantine/bristle byzantine/equivocation

check-byzantine: install
	$(BIN)/simnet check byzantine/calm byzantine/sign-flip byzantine/skewed-calm byzantine/skewed-sign-flip \
		byzantine/skewed-zero byzantine/gossip

matrix: install
	$(BIN)/simnet batch byzantine/matrix
	$(BIN)/simnet plot attacks results/byzantine-matrix

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find results -mindepth 1 ! -name README.md -delete
