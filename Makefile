# Everything a developer types. `make run` and `make test` work in a fresh clone; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# auto: the CUDA build where an NVIDIA driver is present, else the CPU build. Or say cpu, or cuda.
TORCH ?= auto
# Where torch's vendor keeps its CPU builds; asked only if pip's own configuration offers none.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# The interpreter that makes the environment: PYTHON if given, else the first of these that is new enough.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
# Passed on: make bench DATA=/path/to/data, make test ARGS="-k search", make run ARGS="--port 9000".
DATA ?=
ARGS ?=

# One more than there are cores, up to four: a test often waits for the processes that it has started.
WORKERS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores + 1 : 4)))
IN_PARALLEL := --numprocesses $(WORKERS) --dist worksteal
# Some machines say so to keep folders clean; the tests start hundreds of services, which would compile each anew.
export PYTHONDONTWRITEBYTECODE :=
# Most of 20,000 modules are never imported; those that are get compiled then, which is half of an install saved.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.PHONY: help setup run test thorough fuzz coverage types check bench peers figures screenshots stubs lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

setup: $(INSTALLED)  ## create .venv with the pinned dependencies

run: setup  ## start the service, ask the project's own docs a question, keep serving
	$(BIN)/embedd demo $(ARGS)

test: setup  ## the whole test suite (or a part: ARGS="tests/index -k filter")
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(IN_PARALLEL))

thorough: setup  ## the tests that take too long for every run
	$(BIN)/python -m pytest -m thorough $(ARGS)

fuzz: setup  ## half an hour of requests that /openapi.json allows or nearly does (shorter: ARGS="--minutes 5")
	$(BIN)/python tests/support/contract_fuzzing.py $(ARGS)

coverage: setup  ## the whole test suite, and which lines it does not reach: takes twice as long
	$(BIN)/python -m pytest --cov --cov-report=term $(IN_PARALLEL)

types: setup  ## check the types
	$(BIN)/mypy

check: setup  ## format and lint, then types and tests beside each other
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory --jobs 2 types test

bench: setup  ## every benchmark, quick, into bench/out/
	@for file in bench/*.py; do \
		echo "== $$file"; \
		$(BIN)/python $$file --quick $(if $(DATA),--data "$(DATA)") --out bench/out/$$(basename $$file .py).json; \
	done

peers: setup  ## install what the benchmarks compare with, into bench/out/peers (some: ARGS="chroma milvus")
	cd bench && ../$(BIN)/python -m harness.peers --cpu-index $(TORCH_CPU_INDEX) $(ARGS)

figures: setup  ## write bench/README.md's figures and plots from bench/results
	cd bench && ../$(BIN)/python -m harness.readme && ../$(BIN)/python -m harness.load_figures

screenshots: setup  ## take the pictures of the web page in docs/screenshots anew (needs Chromium)
	cd bench && ../$(BIN)/python -m harness.screenshots

stubs: setup  ## write api/grpc/v1 anew from the protos, after linting them
	$(BIN)/buf lint api/grpc/protos
	$(BIN)/buf format --exit-code --diff api/grpc/protos
	$(BIN)/python deploy/stubs.py

lock:  ## resolve constraints.txt anew (newest versions; then: make setup)
	$(BIN)/python deploy/lock.py

clean:  ## remove .venv and what was built, never the data
	rm -rf $(VENV) build dist *.egg-info bench/out htmlcov .coverage .coverage.* \
		embedd/worker/*.so index/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp comes last: an install that was interrupted is taken up again by the next make.
# PYTHONWARNINGS: setuptools warns of every editable install, in a box of asterisks.
$(INSTALLED): pyproject.toml constraints.txt deploy/install_torch.py deploy/hnswlib_headers.py embedd/worker/kernels.cpp $(wildcard index/*.cpp index/*.h)
	@command -v c++ >/dev/null || { echo "make setup needs a C++ compiler (c++): embedd/worker/kernels.cpp and index/*.cpp are built from source." >&2; exit 1; }
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "make setup needs Python 3.11 or newer, tried: $(PYTHONS). Name one: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if [ ! -x $(BIN)/python ]; then echo "$$($$found --version), in $(VENV)"; $$found -m venv $(VENV); fi
	@$(PIP_INSTALL) pip
	@$(BIN)/python deploy/install_torch.py --variant $(TORCH) --constraints constraints.txt --cpu-index $(TORCH_CPU_INDEX)
	@$(BIN)/python deploy/hnswlib_headers.py --constraints constraints.txt
	@echo "installing the other pinned dependencies; what is written in C++ is compiled, which takes a minute"
	@PYTHONWARNINGS=ignore $(PIP_INSTALL) --build-constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -c 'import api.app, sentence_transformers' # now, and not while the first service starts
	@touch $@
