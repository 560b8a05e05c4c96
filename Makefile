.DEFAULT_GOAL := help
.PHONY: help run dev test test-fast chaos lint bench docs clean

READY := .venv/.ready
PY := .venv/bin/python

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): uv.lock pyproject.toml setup.py bin/bootstrap
	@sh bin/bootstrap

run: $(READY) ## environment, demo world, the whole graph, a first recommendation
	@.venv/bin/soundlake run

dev: $(READY) ## Dagster page, MLflow and model server together; Ctrl-C stops them
	@.venv/bin/soundlake dev

test: lint ## everything that CI runs
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-fast: $(READY) ## tests without Spark and without whole runs
	@$(PY) -m pytest -n 2 --dist loadfile -m "not spark and not slow and not e2e and not long"

chaos: $(READY) ## kills, outages, disturbed lines, backfills at length; CHAOS_KILLS=51
	@CHAOS_KILLS=$${CHAOS_KILLS:-51} $(PY) -m pytest -m "chaos or long" --timeout=7200 tests

lint: $(READY) ## ruff, import layers, lock file
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports
	@.venv/bin/uv lock --check --quiet

bench: $(READY) ## measure ingest and serving on this machine, side by side
	@$(PY) -m benchmarks

docs: $(READY) ## write the generated documents again
	@.venv/bin/soundlake docs docs

clean: ## remove the environment and the demo lake
	rm -rf .venv data
