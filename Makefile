# Every target sets up what it needs in .venv, from a machine with only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
XDIST ?= 2

.PHONY: demo test heavy ceph flashbax lint types bench docs format clean

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --upgrade pip

# One stamp an extra: `make demo` installs what the demo needs and no more.
.venv/.%: .venv/bin/python pyproject.toml
	$(BIN)/pip install -qq --editable ".[$*]"
	@touch $@

demo: .venv/.demo
	$(BIN)/strongbax demo --directory demo

test: .venv/.test
	$(BIN)/python -m pytest -n $(XDIST) -m "not heavy"

heavy: .venv/.test .venv/.bench .venv/.ray
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -m heavy --ignore=tests/flashbax

# Vaults on a real object store; needs Debian's radosgw, ceph-mon, ceph-osd and ceph-common.
ceph: .venv/.test
	$(BIN)/python -m pytest -m heavy tests/vault/test_ceph.py

# Flashbax's own tests in full, unchanged, on our modules (an hour on one core), and its faults, which are not ours.
flashbax: .venv/.test
	XDIST=$(XDIST) $(BIN)/python -m pytest -m heavy tests/flashbax

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/.test .venv/.lint
	$(BIN)/pyright

bench: .venv/.bench
	$(BIN)/python -m benchmarks

docs: .venv/.docs
	$(BIN)/python docs/cli_page.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/.lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist site *.egg-info
