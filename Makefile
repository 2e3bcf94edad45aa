# On a bare machine with Python 3.11 or newer, `make demo` and `make test` do all their own set-up.
#
# Where things are installed: in the active virtual environment (VIRTUAL_ENV), else where ACCLIMATE_PYTHON points,
# else in .venv here. A CPU-only torch: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

.DEFAULT_GOAL := help
SHELL := /bin/bash

ifdef ACCLIMATE_PYTHON
  PYTHON := $(ACCLIMATE_PYTHON)
  HOME_OF_STAMPS := $(shell $(ACCLIMATE_PYTHON) -c 'import sys; print(sys.prefix)')
else ifdef VIRTUAL_ENV
  PYTHON := $(VIRTUAL_ENV)/bin/python
  HOME_OF_STAMPS := $(VIRTUAL_ENV)
else
  PYTHON := .venv/bin/python
  HOME_OF_STAMPS := .venv
endif

# A stamp says "this clone, with these pins, is installed there"; it names the clone, as an environment can serve two.
CLONE := $(shell printf '%s' "$(CURDIR)" | cksum | cut -d' ' -f1)
RUNTIME := $(HOME_OF_STAMPS)/.acclimate-$(CLONE)-runtime
TESTS := $(HOME_OF_STAMPS)/.acclimate-$(CLONE)-test
BENCHES := $(HOME_OF_STAMPS)/.acclimate-$(CLONE)-bench
CHECKS := $(HOME_OF_STAMPS)/.acclimate-$(CLONE)-dev
PIP := $(PYTHON) -m pip install --disable-pip-version-check --quiet -c constraints.txt

# One worker per core, one thread per worker: more threads only slow small networks down.
export OMP_NUM_THREADS ?= 1
# A machine may tell numpy to multiply as on an older CPU, which halves its speed.
UNBOUND := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE
PYTEST := $(PYTHON) -m pytest -n auto --maxprocesses 8
OUT ?= runs/demo
ifneq ($(wildcard zoo/ppo),)
  export ACCLIMATE_ZOO ?= $(CURDIR)/zoo
endif

.PHONY: help demo test test-all check types format docs bench bench-methods benchmarks zoo clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(RUNTIME)  ## set up, then adapt a pretrained agent to a changed world and write its report
	$(PYTHON) -m acclimate demo --out $(OUT)

test: $(TESTS)  ## set up, then run the tests
	$(PYTEST)

test-all: $(TESTS)  ## the tests and every nightly case
	$(PYTEST) -m "nightly or not nightly"

check: $(CHECKS)  ## format and lint
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types: $(CHECKS)  ## types, by pyright where it can be installed
	@if $(PYTHON) -m pyright --version >/dev/null 2>&1; then $(PYTHON) -m pyright --pythonpath $(PYTHON); \
	else echo "pyright is not installed here: types were not checked"; fi

format: $(CHECKS)  ## write the format and the lint fixes
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

docs: $(RUNTIME)  ## write docs/methods.md from what `acclimate methods` prints
	$(PYTHON) -m docs.methods

bench: $(BENCHES)  ## measure the engine beside SB3, SBX and CleanRL-style loops: tables and chart in docs/ (half an hour)
	$(UNBOUND) $(PYTHON) -m benchmarks.engine --no-kernel
	$(UNBOUND) $(PYTHON) -m benchmarks.engine --no-kernel --threads 1
	$(UNBOUND) $(PYTHON) -m benchmarks.predict
	$(UNBOUND) $(PYTHON) -m benchmarks.memory
	$(UNBOUND) $(PYTHON) -m benchmarks.demo

bench-methods: $(TESTS)  ## measure what each method costs an update, for docs/benchmarks.md
	$(PYTHON) -m benchmarks.overhead

benchmarks: $(RUNTIME)  ## measure the tables of docs/benchmarks.md anew (hours)
	$(PYTHON) -m benchmarks.studies families
	$(PYTHON) -m benchmarks.studies choose
	$(PYTHON) -m benchmarks.studies methods
	$(PYTHON) -m benchmarks.studies methods_sac

zoo: zoo/ppo  ## fetch the public pretrained agents that tests and benchmarks read (network)
	@echo "they lie in zoo/; the other targets find them there"

zoo/ppo:
	git clone --depth 1 https://github.com/DLR-RM/rl-trained-agents zoo

clean:  ## remove .venv and caches, never runs/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist

.venv/bin/python:
	@for python in python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    "$$python" -m venv .venv && exit 0; \
	    rm -rf .venv; echo "make: $$python has no venv: install python3-venv (.ci/run does, as root)"; exit 1; \
	  fi; \
	done; echo "make: no Python 3.11 or newer on PATH: install one, or set ACCLIMATE_PYTHON"; exit 1

# torch comes first and by itself: what is installed later finds it there and asks for no other build of it.
$(RUNTIME): pyproject.toml constraints.txt | $(filter .venv/%,$(PYTHON))
	$(PIP) torch==2.13.0
	$(PIP) -e .
	@touch $@

$(TESTS): $(RUNTIME)
	$(PIP) -e '.[test]'
	@touch $@

$(BENCHES): $(RUNTIME)
	$(PIP) -e '.[atari]'
	@touch $@

$(CHECKS): $(TESTS)
	$(PIP) ruff
	-$(PIP) 'pyright[nodejs]'
	@touch $@
