# Every target does its own set-up: a virtual environment in .venv with locked dependencies.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := expci tests
BROWSER := tests/support/browser/node_modules/.package-lock.json
EMULATE := tests/support/emulate/node_modules/.package-lock.json
SPARK := $(VENV)/.spark

# Else every worker of the tests, and every process that they start, compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast seeds faults coverage browser emulate spark check format lint types imports workflows docs image pictures golden schema calibrate bench mutants lock clean

help:
	@echo "make demo    the whole story, in a temporary repository"
	@echo "make test    all tests"
	@echo "make test-fast  core, store and report without what takes seconds: the edit loop"
	@echo "make seeds   the property tests on fresh inputs, and all of what the gate samples"
	@echo "make faults  kill, fail and lose the answer at every call of git of two stories (an hour)"
	@echo "make coverage  branch coverage of core and store by their own tests"
	@echo "make check   the gate: format, lint, types, architecture, workflows, docs, tests"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make image   templates/Containerfile built without a daemon, and run (needs buildah)"
	@echo "make pictures  the pictures of the README, in docs/images"
	@echo "make golden  rewrite the expected reports after a deliberate change"
	@echo "make schema  write docs/schema from the code"
	@echo "make calibrate  simulate every method's promises; writes docs/calibration.md (40 minutes)"
	@echo "make bench   what a user waits for, as ratios; writes docs/benchmarks.md"
	@echo "make mutants  break the rules one by one and see a test fail; MUTANTS='expci.core.decision*' for a part"
	@echo "make lock    renew requirements.lock, requirements-sql.lock and requirements-dev.lock (needs uv)"

$(READY): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "expci needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	@$(BIN)/expci demo

# The tests' thousands of small repositories in memory, where there is room for them.
IN_MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 { print "PYTEST_DEBUG_TEMPROOT=/dev/shm" }')

test: $(READY) browser emulate spark
	$(IN_MEMORY) $(BIN)/python -m pytest

# No act, no HTTP, no long simulation: nothing waits, so a worker for each processor is enough.
FAST := tests/core tests/store tests/report tests/test_imports.py tests/test_architecture.py
test-fast: $(READY)
	$(IN_MEMORY) $(BIN)/python -m pytest -n $(shell getconf _NPROCESSORS_ONLN) -m "not slow" $(FAST)

seeds: $(READY)
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -m "hypothesis or wide"

faults: $(READY)
	EXPCI_FAULTS=every $(BIN)/python -m pytest tests/stories/test_faults.py

coverage: $(READY)
	$(IN_MEMORY) $(BIN)/python -m pytest --cov=expci.core --cov=expci.store --cov-branch --cov-report=term-missing:skip-covered \
	  tests/core tests/store tests/runner tests/stories tests/flows

# Another implementation of GitHub's API, for tests/forge/github/test_emulate.py.
emulate: $(EMULATE)

$(EMULATE): tests/support/emulate/package.json tests/support/emulate/package-lock.json
	@if command -v npm >/dev/null; \
	then cd tests/support/emulate && npm ci --silent --ignore-scripts --no-audit --no-fund && touch ../../../$@; \
	else echo "npm not found: tests/forge/github/test_emulate.py will not run (it needs Node.js 18 or newer)"; fi

# 430 MB for one test, so no part of the locked dependencies; its own lock is beside its script.
spark: $(SPARK)

$(SPARK): tests/support/spark.lock | $(READY)
	@if command -v java >/dev/null; \
	then $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r $< && touch $@; \
	else echo "java not found: no source is read with Spark (it needs a Java 17 runtime)"; fi

# GitHub's style sheet and an accessibility checker, for the tests that look at pages in Chromium.
browser: $(BROWSER)

$(BROWSER): tests/support/browser/package.json tests/support/browser/package-lock.json
	@if command -v npm >/dev/null; \
	then cd tests/support/browser && npm ci --silent --ignore-scripts --no-audit --no-fund && touch ../../../$@; \
	else echo "npm not found: no page is looked at in a browser (it needs Node.js 18 or newer)"; fi

check: format lint types imports workflows docs test

format: $(READY)
	$(BIN)/ruff format --check $(SOURCES)

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

# tests/workflows holds what `expci init` writes to the same linters.
workflows: $(READY)
	$(BIN)/python tests/support/linters.py .

# A link or an anchor that leads nowhere fails it.
docs: $(READY)
	$(BIN)/zensical build --strict --config-file mkdocs.yml

# By buildah, as root or with user namespaces; expci in it is the commit here.
image: $(READY)
	$(BIN)/python tests/support/image.py

# The README's, from what expci writes.
pictures: $(READY) browser
	PYTHONPATH=tests $(BIN)/python -m support.pictures

golden: $(READY)
	EXPCI_GOLDEN=1 $(BIN)/python -m pytest tests/report tests/stories/test_examples.py

schema: $(READY)
	$(BIN)/python -c 'from expci.core.spec.json_schema import schema_text; from pathlib import Path; \
	  [Path(f"docs/schema/{n}.schema.json").write_text(schema_text(n)) for n in ("experiment", "expci")]'

# SECTIONS='kinds counts' for a part; QUICK=1 only tries whether all of it runs.
calibrate: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/calibration/calibrate.py $(SECTIONS) \
	  $(if $(QUICK),--quick,--write docs/calibration.md)

# ONLY='trial idle' for a part; what was measured before is kept in .cache/bench.json.
bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench.py $(if $(ONLY),--only $(ONLY)) --write docs/benchmarks.md

# Which parts: lifecycle and decision take half an hour, statistics hours. Results stay in mutants/.
MUTANTS ?= expci.core.lifecycle* expci.core.decision*
mutants: $(READY)
	nice $(BIN)/mutmut run --max-children 1 $(foreach part,$(MUTANTS),"$(part)")
	$(BIN)/mutmut results

lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -o requirements-dev.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -c requirements-dev.lock -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra sql --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -c requirements-dev.lock -o requirements-sql.lock pyproject.toml
	echo "pyspark==4.0.*" | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -o tests/support/spark.lock -

clean:
	rm -rf $(VENV) tests/support/emulate/node_modules tests/support/browser/node_modules dist build site .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache mutants
