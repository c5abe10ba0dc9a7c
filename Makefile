# Needs Python 3.11+ (PYTHON=python3.12 picks another), git and make. Only `make install` uses the network.
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8866
BIN := .venv/bin
GPU ?= h200_sxm
CUSTOMER ?= Example A

.DEFAULT_GOAL := help
.PHONY: help install chromium app read test lint unit chapters outputs bench report pyz lock clean

help:  ## these lines
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: .venv/installed  ## the environment in .venv, from the hashed lock

chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    (apt-get update -q && apt-get install -y -q --no-install-recommends chromium) >/dev/null; \
	  else echo "The browser tests need Debian's chromium: apt-get install chromium" >&2; exit 1; fi; }

app: install  ## the calculator and the chapters, on http://127.0.0.1:8866 (PORT= changes it)
	$(BIN)/glmcalc app --port $(PORT)

read: install  ## the chapters in JupyterLab
	$(BIN)/glmcalc read

test: install chromium lint unit chapters  ## everything: lint, types, unit, golden, browser, chapters, report

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup

chapters: install
	$(BIN)/python -m pytest --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg -n 2 --dist loadfile chapters

outputs: install  ## run the chapters again and keep what they show, without clock times; widgets as still pictures
	$(BIN)/jupyter nbconvert --log-level=WARN --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.store_widget_state=False --NotebookExporter.preprocessors=glmcalc.present.stored.StillOutputs chapters/*.ipynb

bench: install  ## ratios: command, page, wheel; run by hand
	$(BIN)/python tests/bench.py

report: install  ## one report: CUSTOMER="Example A" GPU=h200_sxm
	@mkdir -p out
	$(BIN)/papermill chapters/report.ipynb out/report.ipynb -p customer "$(CUSTOMER)" -p gpu $(GPU) -p gpus 8 -p max_model_len 131000
	$(BIN)/glmcalc html out/report.ipynb

pyz: install  ## dist/glmcalc.pyz: the core as one file for a bare Python 3.10+
	$(BIN)/python tests/build_pyz.py dist/glmcalc.pyz

lock:  ## make requirements.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --extra notebook --extra test pyproject.toml --output-file requirements.lock

clean:  ## remove what was built
	rm -rf .venv dist build out .pytest_cache .mypy_cache .ruff_cache .hypothesis
