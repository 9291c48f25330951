# Each target does all of its own set-up in .venv, Debian packages included when root.
VENV    ?= .venv
PY      := $(VENV)/bin/python
CLUSTER ?= local
FULL    ?=
TIER    := $(if $(filter-out 0 no,$(FULL)),--density-tier=full)
ARGS    ?=

.DEFAULT_GOAL := help
.PHONY: help setup test lint e2e soak reports bench clean distclean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## .venv and what it needs

$(VENV)/.ready: pyproject.toml constraints.txt tools/bootstrap
	tools/bootstrap $(VENV)

test: setup ## unit, property, HTTP and (where QEMU runs) guest tests
	$(PY) -m pytest tests $(ARGS)

lint: setup ## ruff, mypy strict, import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache

e2e: setup ## the main job: scenarios on real guests, one test per claim (CLUSTER=local|kind|kubeconfig; FULL=1: every topic, 40 min)
ifeq ($(CLUSTER),kind)
	@$(PY) -c 'import pytest_kind' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,e2e]'
endif
	$(PY) -m pytest suites --density-cluster=$(CLUSTER) $(TIER) --junitxml=junit-e2e.xml $(ARGS)

soak: setup ## slow or random by nature: every scenario seen to fail, kill -9 at random points
	$(PY) -m pytest tests -m soak $(ARGS)

reports: setup ## the published pages under reports/, from the run data committed there
	$(VENV)/bin/density site

bench: setup ## ratios against baselines measured in the same run
	$(PY) -m benchmarks $(ARGS)

clean: ## undo what a killed harness left on this machine, remove caches of tools
	@if [ -x $(VENV)/bin/density ]; then $(VENV)/bin/density clean; fi
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist junit-*.xml

distclean: clean ## also .venv
	rm -rf $(VENV)
