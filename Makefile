# Every target sets up what it needs: a virtual environment in .venv, and the package in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo space test upstream-tests lint install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Train a small model on rendered signing, score it, and let it read a video.
demo: $(INSTALLED)
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		train.py --config configs/quickstart.yaml --overwrite_output_dir
	@echo; echo 'One test video, as signed and as read:'
	@grep 'testset_00000' data/synthetic/metadata.csv
	@$(BIN)/adaptsign predict runs/quickstart/model data/synthetic/videos/testset_00000.mp4

# The page of the Space, here, with the model that `make demo` left; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where.
space: $(INSTALLED)
	@test -n "$$ADAPTSIGN_MODELS" || test -f runs/quickstart/model/config.json || \
		{ echo 'There is no model in runs/quickstart/model: run "make demo" first, or set ADAPTSIGN_MODELS=name=path.'; exit 1; }
	GRADIO_ANALYTICS_ENABLED=False $(BIN)/python spaces/adaptsign/app.py

test: $(INSTALLED)
	$(BIN)/python -m pytest

# The tests that transformers and PEFT run on their own models and methods, fetched once, run on ours.
upstream-tests: $(INSTALLED)
	$(BIN)/python upstream_tests/fetch.py
	$(BIN)/python -m pytest upstream_tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info runs data/synthetic
