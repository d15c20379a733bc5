PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= 2
NEWEST := .venv-newest
# The newest Python from 3.12 on that is here; what isn't on PATH may be pyenv's
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
PYTHON_NEWEST ?= $(shell for python in python3.14 python3.13 python3.12 \
	$(PYENV)/3.14.*/bin/python3 $(PYENV)/3.13.*/bin/python3 $(PYENV)/3.12.*/bin/python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null \
	&& command -v "$$python" && break; done)

# Compiled modules are kept, also where the environment says otherwise, as that of many containers
# does: each step of a pipeline and each process of the tests would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage test-newest fuzz lint benchmark docs clean

# The whole chain on the demonstration corpus; the report is runs/demo/report/index.html
demo: $(VENV)/.installed
	$(BIN)/zerochain run demo --out runs/demo --cores $(CORES)

# Style, types and the whole test suite
test: $(VENV)/.installed lint
	$(BIN)/pytest -n $(CORES) --dist worksteal

# The suite with branch coverage; fails below fail_under of [tool.coverage.report]
coverage: $(VENV)/.installed
	$(BIN)/pytest -n $(CORES) --dist worksteal --cov

# The suite on the newest Python with the newest of everything, constraints.txt aside;
# COVERAGE=--cov measures the coverage there
test-newest:
	@if [ -z "$(PYTHON_NEWEST)" ]; then echo "No Python 3.12 or newer here: tests with the newest versions are skipped."; \
	else $(MAKE) newest; fi

.PHONY: newest
newest: $(NEWEST)/.installed
	$(NEWEST)/bin/python -m pip list --format freeze | grep -iE '^(click|librosa|numba|numpy|pyarrow|pytest|scikit-learn|scipy|snakemake|torch)='
	$(NEWEST)/bin/python -m pytest -n $(CORES) --dist worksteal $(COVERAGE)

$(NEWEST)/.installed: pyproject.toml setup.py
	rm -rf $(NEWEST)
	"$(PYTHON_NEWEST)" -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet torch
	$(NEWEST)/bin/python -m pip install --quiet --editable '.[all,dev,peers]'
	touch $@

# 10,000 damaged files for every reader, which takes some 20 minutes; `make test` reads 200
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz -n 10000

# Style, spelling, words that are not used here (tests/words.py), types
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python tests/words.py
	$(BIN)/mypy

# Runs and records benchmarks: all, or ONLY=kmeans OPTIONS="--points 20000"; see benchmarks/README.md
benchmark: $(VENV)/.installed
	$(BIN)/python benchmarks/record.py $(ONLY) $(OPTIONS)

# The documentation site, build/docs/index.html; warnings are errors
docs: $(VENV)/.installed
	$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees docs build/docs

# torch comes first: with it in place the other packages take it as it is, CPU build or CUDA build
$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(NEWEST) runs build dist *.egg-info
