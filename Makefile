# The project's commands. Newcomers only need `make demo` and `make test`; both install first.
#
#   make setup   create .venv and install everything for the demo and the tests
#   make demo    sharpen a real brain volume and compare it with cubic interpolation
#   make test    style, types and tests
#   make bench   speed and memory relative to this machine's limits, in about ten minutes; BENCH=--full: large jobs
#   make docs    build the pages of docs/ into site/
#   make format  format every file with ruff
#   make clean   remove the output of the commands, except .venv
#
# Another interpreter: make setup PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.arssr-installed
EXTRAS := train,evaluate,dicom,openvino,bids,cluster,slicer,demo,docs,dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench docs format clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ArSSR needs Python 3.11 or later; $(PYTHON) is not. Name another one: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot create environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV); PyTorch is large, so the first time takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: setup
	$(BIN)/python Testing/demo/run_demo.py

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal

bench: setup
	$(BIN)/python Testing/benchmarks/run.py $(BENCH)

docs: setup
	$(BIN)/python -m mkdocs build --strict

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist site demo_output bench_output .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
