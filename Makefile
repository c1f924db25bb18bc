# Everything lives in .venv; nothing is installed outside it.

# Set with =, so that only `make demo SECONDS=20` counts and not what the environment happens to hold.
SECONDS = 60
INPUT =
FORMAT =
PYTHON =
EVENTS = 1000000
ROUNDS = 3
RATE = 10000
ONLY =
KEEP =
# Of make bench.
PARTS =
PEERS =
LIVE = 60
DATA = ../shared/data
ALL =

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults check format bench performance evaluation lock clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## install everything into .venv, with the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@python=; for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python=$$candidate; break; fi; \
	done; \
	test -n "$$python" || { echo "Python 3.11 or newer is needed: install it, or say where it is: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "setup: .venv with $$($$python --version)"; \
	$$python -m venv .venv || { echo "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "setup: installing what constraints.txt names (a minute or two the first time)"
	@$(PIP) install --constraint constraints.txt --editable '.[embedded,evaluate,dev]'
	@touch $@
	@echo "setup: done"

demo: setup ## see it work: SECONDS=60, INPUT=a recorded log, FORMAT=its format (rees46, …)
	@$(BIN)/stream demo --seconds $(SECONDS) $(if $(INPUT),--input '$(INPUT)') $(if $(FORMAT),--format '$(FORMAT)')

test: setup ## run the tests
	@# Files side by side, each process with a Kafka and a Redis of its own; much of a test is waiting.
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

faults: setup ## kill, freeze, fill and cut what can be, under load: RATE=10000, ONLY=part of a name, KEEP=1: write docs/faults.json
	@PYTHONPATH=tests $(BIN)/python -m faults --rate $(RATE) --only '$(ONLY)' $(if $(KEEP),--keep)

check: setup ## format, lint, types, layers, links: what CI checks beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy stream tests
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tests/check_links.py
	bash -n .ci/run

format: setup ## let ruff format and mend what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

performance: setup ## measure all that docs/performance.md tells, and write its figures and pictures anew
	@$(BIN)/python bench/run.py --results docs/performance.json
	@$(BIN)/python bench/flame.py docs/images/flame.svg
	@$(BIN)/python bench/report.py

bench: setup ## ours beside other engines, latency, resources: EVENTS=1000000, ROUNDS=3, PARTS=…, PEERS=…
	@$(BIN)/python bench/run.py --events $(EVENTS) --rounds $(ROUNDS) --seconds $(LIVE) $(if $(PARTS),--parts $(PARTS)) $(if $(PEERS),--peers $(PEERS))

evaluation: setup ## the figures of docs/evaluation.md from DATA=../shared/data; ALL=1: the rarer ones, too
	@PATH="$(BIN):$$PATH" $(BIN)/python tests/evaluations.py '$(DATA)' $(if $(ALL),--all)

lock: setup ## move constraints.txt to the newest versions that pyproject.toml allows
	@echo "lock: looking for newer versions"
	@$(PIP) install --upgrade --upgrade-strategy eager --editable '.[embedded,evaluate,dev]'
	@$(BIN)/python -m pip --disable-pip-version-check freeze --exclude-editable > .venv/frozen.txt
	@# A line with an address is true on this machine only.
	@if grep -v '^[A-Za-z0-9._-]*==[^ ]*$$' .venv/frozen.txt; then echo "lock: these have no version that others could install; constraints.txt is as it was" >&2; exit 1; fi
	@mv .venv/frozen.txt constraints.txt
	@touch $(READY)
	@echo "lock: constraints.txt renewed; now make check test"

clean: ## remove .venv, caches and build results
	@rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist ./*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
