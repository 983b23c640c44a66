# Every target works in a fresh clone: it makes .venv itself and needs nothing but python3 and make.
.PHONY: demo test test-all check bench train-mini clean

PYTHON ?= python3
MINUTES ?= 3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLES := src/ossicle/assets/examples

export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

# torch comes first and at one version, so that nothing else resolves it; one that .venv can already import is kept.
$(VENV)/.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install "$$(grep '^torch==' constraints.txt)"
	grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/python -c "import importlib.metadata as m; print('torch==' + m.version('torch'))" >> $(VENV)/constraints.txt
	$(BIN)/python -m pip install -c $(VENV)/constraints.txt -e ".[all,dev]"
	touch $@

# Beside each example file stands a text file of the same name: one question a line.
demo: $(VENV)/.done
	@set -e; for file in $(EXAMPLES)/*.flac; do \
		while IFS= read -r question; do $(BIN)/ossicle ask "$$file" "$$question" < /dev/null; done < "$${file%.flac}.txt"; \
	done
	$(BIN)/ossicle translate examples/en.wav --to fr
	tail -c +45 examples/en.wav | $(BIN)/ossicle translate --live --to de

test: $(VENV)/.done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/.done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(VENV)/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/test_imports.py tests/test_public.py tests/test_docs.py

bench: $(VENV)/.done
	@set -e; for file in benchmarks/*.py; do \
		[ -f "$$file" ] || { echo "there are no benchmarks yet"; continue; }; \
		echo "== $$file"; $(BIN)/python "$$file"; \
	done

train-mini: $(VENV)/.done
	$(BIN)/ossicle train recipes/mini.yaml --minutes $(MINUTES) --out runs/mini

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
