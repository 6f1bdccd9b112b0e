# make demo [TEXT="..."]   relations of a paragraph, by the trained model in assets/
# make test                lint and tests
# make lint                ruff and mypy alone
# Everything is installed into .venv, once; another folder: make test VENV=/tmp/venv
# For torch without CUDA on Linux: make test TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

VENV ?= .venv
TORCH ?= torch==2.13.0
PACKED := assets/en_docre.zip
PYTHON_BIN := $(VENV)/bin/python
PIP := $(PYTHON_BIN) -m pip --disable-pip-version-check
WANTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
override TEXT := $(value TEXT)
export TEXT

.DELETE_ON_ERROR:
.PHONY: demo test lint clean

demo: $(VENV)/.model
	@if [ -n "$$TEXT" ]; then $(PYTHON_BIN) -m spacy_docre demo --text "$$TEXT"; \
	else $(PYTHON_BIN) -m spacy_docre demo; fi

test: lint
	OMP_NUM_THREADS=1 $(PYTHON_BIN) -m pytest -n auto

lint: $(VENV)/.dev
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy

clean:
	rm -rf $(VENV) build packages

# The first Python that will do; 3.11 is the tested one. PYTHON=... names another.
$(PYTHON_BIN):
	@for python in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.10; do \
	  if $$python -c "$(WANTED)" 2>/dev/null; then \
	    echo "Creating $(VENV) with $$($$python --version)"; $$python -m venv $(VENV); exit $$?; fi; \
	done; echo "No Python from 3.10 to 3.13 found. Name one: make PYTHON=/path/to/python" >&2; exit 1

$(VENV)/.torch: constraints.txt | $(PYTHON_BIN)
	$(PIP) install -q $(TORCH)
	@touch $@

$(VENV)/.installed: setup.py spacy_docre/about.py constraints.txt $(VENV)/.torch
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e ".[dev]"
	@touch $@

$(VENV)/.model: $(PACKED) $(VENV)/.installed
	@mkdir -p packages
	$(PYTHON_BIN) -m spacy_docre unpack $(PACKED) build/en_docre --force
	$(PYTHON_BIN) -W ignore -m spacy package build/en_docre packages --build none --force >/dev/null
	$(PIP) install -q --no-deps --force-reinstall ./packages/en_docre-*/
	@touch $@
