# Two commands do all the set-up: `make demo` and `make test`. PYTHON must be 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile # two processes of one thread each
RUN := $(BIN)/sbldm

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench-fd bench-evaluate bench-model bench-growth bench-studies coverage sensitivity controls soak-study clean

help: ## Show these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(VENV)/installed: pyproject.toml
	@echo "Installing sbldm and its libraries into $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Adding the test tools"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

demo: $(VENV)/installed ## Train, evaluate and tabulate the gamma study on embedded data (about 15 minutes)
	$(RUN) search --study gamma --preset quick > /dev/null
	$(RUN) table gamma

test: $(VENV)/installed-test ## Run the default test suite
	$(PYTEST)

test-all: $(VENV)/installed-test ## Run every test, the slow ones too
	$(PYTEST) -m "slow or not slow"

check: $(VENV)/installed-test ## Format, lint, types, import contracts, tests: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

format: $(VENV)/installed-test ## Format and mend what can be mended automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-fd: $(VENV)/installed-test ## Time the Frechet interval against torch-fidelity and scipy
	$(BIN)/python benchmarks/frechet.py

bench-evaluate: $(VENV)/installed-test ## Time feature extraction and all metrics after it
	$(BIN)/python benchmarks/evaluate.py

bench-model: $(VENV)/installed-test ## Time training and sampling against MONAI and diffusers
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python benchmarks/model.py

bench-growth: $(VENV)/installed-test ## Time and memory against side and batch, beside the forecast (about ten minutes)
	$(BIN)/python benchmarks/growth.py

bench-studies: $(VENV)/installed-test ## Time four studies with one cache against their trials from nothing (about 1.5 hours)
	$(BIN)/python benchmarks/studies.py

sensitivity: $(VENV)/installed-test ## Ask each metric what damage it notices, on phantoms
	$(BIN)/python benchmarks/sensitivity.py

controls: $(VENV)/installed-test ## Ask the segmentation benchmark what is known already: real patients help, noise does not
	$(BIN)/python benchmarks/segmentation_controls.py

soak-study: $(VENV)/installed-test ## Kill a study's workers at random and count its trials, on SQLite and PostgreSQL (about 10 minutes)
	$(BIN)/python benchmarks/soak_study.py --storage sqlite
	$(BIN)/python benchmarks/soak_study.py --storage postgres

coverage: $(VENV)/installed-test ## Simulate how often each interval covers (about half an hour)
	$(BIN)/python benchmarks/coverage.py

clean: ## Remove caches and builds, never mlruns/
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
