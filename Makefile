PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= 2

.PHONY: demo test fuzz lint benchmark clean

# The whole chain on the demonstration corpus; the report is runs/demo/report/index.html
demo: $(VENV)/.installed
	$(BIN)/zerochain run demo --out runs/demo --cores $(CORES)

# Style, types and the whole test suite
test: $(VENV)/.installed lint
	$(BIN)/pytest -n $(CORES) --dist worksteal

# 10,000 damaged files for every reader, which takes an hour; `make test` reads 200
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz -n 10000

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.installed
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit; done

# torch comes first: with it in place the other packages take it as it is, CPU build or CUDA build
$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info
