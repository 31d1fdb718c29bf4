# `make quickstart` and `make test` each need nothing but Python 3.11 or later and a package index that pip reaches.
#
#   PYTHON=python3.12   which Python makes .venv
#   ARGS="--json"       options of the quickstart
#   PIP_...             pip's own settings (docs/installation.md), such as PIP_EXTRA_INDEX_URL

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
MODELS := smollm2-135m minilm-l6

.PHONY: help quickstart test slow numerics lint docs release-check install model clean
.DELETE_ON_ERROR:

help:
	@echo "make quickstart   install, pull the model, meta-train it and compare it on unseen tasks (ARGS=\"--json\" passes options)"
	@echo "make test         install, pull the models, run the tests"
	@echo "make slow         the tests that take long, and every property on more examples"
	@echo "make numerics     the tests of numbers, computed by the plainest instruction set"
	@echo "make lint         ruff and mypy"
	@echo "make docs         the pages of docs/ as a site in site/, with the reference made from the program"
	@echo "make release-check  build sdist and wheel, install and use them in a clean environment (PYTHONS=\"python3.11 ...\")"
	@echo "make install      only make $(VENV) and install into it"
	@echo "make model        only pull $(MODELS)"
	@echo "make clean        remove $(VENV), builds and tool caches; runs/ and pulled models stay"

# the quickstart pulls the model that it is asked for, if that is one to pull
quickstart: install
	@$(BIN)/metaicl quickstart $(ARGS)

test: install
	@for model in $(MODELS); do $(BIN)/metaicl models pull $$model \
	  || echo "make: $$model cannot be had now; the tests that need it will be skipped" >&2; done
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n logical --dist worksteal -m "not slow"

# properties once more, each on four times as many examples (tests/support/examples.py)
slow: install
	HYPOTHESIS_PROFILE=thorough OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n logical --dist worksteal -m "slow or hypothesis"

# the numbers once more, computed as on a machine without vector instructions
numerics: install
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal -m "numerics and not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/notebook.py
	$(BIN)/zensical build --strict --config-file mkdocs.yml

release-check: install
	$(BIN)/python tools/release_check.py $(PYTHONS)

model: install
	@for model in $(MODELS); do $(BIN)/metaicl models pull $$model || exit 1; done

install: $(VENV)/installed

# both stamps are written last, so a step that failed or was interrupted is done again
$(VENV)/made:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "make: no $(PYTHON) here; install Python 3.11 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version 2>&1) is too old; Python 3.11 or later is needed: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "make: $(PYTHON) made no $(VENV) (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml
	@echo "Installing into $(VENV) (some minutes; done once) ..."
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  echo "No GPU found: where pip is told of no CPU build of PyTorch, it takes the CUDA build of some GB (docs/installation.md)."; fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check "pip>=21.3"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
