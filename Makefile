# make repro: the pipeline; make tables PROFILE=demo|small|fast|paper: the paper's tables, with BM3D=1 also BM3D (non-commercial
# licence); make overnight [HOURS=8]: the paper's networks in pieces, carried on when called again; make study [HOURS=2]: search
# strategies against random networks; make scores [UNDER=whole]: the networks of models/ scored again, hours under all protocols; make
# test: lint, types, tests; make test-slow: minutes more; make test-paper: steps at the paper's size; make chaos [QUICK=1]: what
# RELIABILITY.md promises, 200 (25) kills, 20 (3) pipelines in a row, 50,000 (2,000) pictures, failing servers, bad input; make audit:
# known vulnerabilities.
# All set everything up first; a second call installs nothing.
# CPU-only machines: make TORCH_INDEX=<the CPU wheel index that pytorch.org gives> avoids several GB of CUDA libraries.

VENV ?= .venv
PYTHON ?= python3
TORCH_INDEX ?=
PROFILE ?= demo
BM3D ?=
PLAN ?= bsd500
WORKERS ?=
HOURS ?=
QUICK ?=
JOBS ?= 2
PAGE := reports/search$(if $(filter bsd500,$(PLAN)),,-$(PLAN)).md
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help setup mend repro tables overnight study scores test test-slow test-paper chaos audit lint ui bench

help:
	@sed -n '1,7p' Makefile

setup: mend $(VENV)/.ready

mend: $(VENV)/.installed
	@$(BIN)/python -m stages mend

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nasir needs Python 3.11 or newer, got " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[pipeline,cluster,export,dev]'
	touch $@

$(VENV)/.ready: $(VENV)/.installed data.dvc | mend
	$(BIN)/dvc pull --quiet data.dvc
	$(BIN)/python -m stages prepare
	touch $@

repro: setup
	NASIR_OWNER=$$PPID $(BIN)/dvc repro && $(BIN)/python -m stages summary

tables: setup
	test -z '$(BM3D)' || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pipeline,cluster,export,dev,bm3d]'
	$(BIN)/python -m stages choose --profile $(PROFILE)
	cd tables && NASIR_SEND=later NASIR_OWNER=$$PPID $(BIN)/dvc repro page; status=$$?; cd .. && mkdir -p runs && { nohup $(BIN)/python -m stages sync > runs/sync.log 2>&1 & exit $$status; }
	@echo 'The page: tables/runs/$(PROFILE)/page/tables.md'

overnight: setup
	NASIR_OWNER=$$PPID $(BIN)/python -m stages overnight $(if $(filter command environment,$(origin PROFILE)),--profile $(PROFILE)) $(if $(HOURS),--hours $(HOURS))

study: setup
	$(BIN)/python -m stages searches --plan study/$(PLAN).yaml --results study/$(PLAN) --page $(PAGE) $(if $(WORKERS),--workers $(WORKERS)) $(if $(HOURS),--hours $(HOURS))

scores: setup
	$(BIN)/python -m stages scores $(foreach protocol,$(UNDER),--under $(protocol))

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

# what RELIABILITY.md promises, with its figures; QUICK=1: less of it; the longest first, so that others run beside it
CHAOS = tests/scale tests/test_crashes.py tests/hostile tests/stages/test_by_hand.py tests/stages/around/test_failing_servers.py

# of the files that have slow tests alone, as collecting all takes half a minute
SLOW = $(filter-out $(CHAOS),$(shell grep -rl 'mark[.]slow' tests --include 'test_*.py' \
  --exclude test_paper_size.py --exclude-dir scale --exclude-dir hostile))

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -rs --timeout 2400 -n $(JOBS) --dist loadfile $(SLOW)

test-paper: setup
	$(BIN)/python -m pytest -q -m slow -s --timeout 0 tests/test_paper_size.py

chaos: setup
	NASIR_KILLS=$(if $(QUICK),25,200) NASIR_ROUNDS=$(if $(QUICK),3,20) NASIR_IMAGES=$(if $(QUICK),2000,50000) \
	  NASIR_MEGAPIXELS=$(if $(QUICK),4,200) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m '' -rsP --timeout 0 -n $(JOBS) --dist worksteal $(CHAOS)

# its packages are needed for nothing else, so that not having them stops nothing, either
audit: setup
	timeout 120 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]' 2>/dev/null || true
	$(BIN)/python -m stages advisories

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: setup
	$(BIN)/python -m stages ui

bench: setup
	$(BIN)/python -m benchmarks
