# Each target builds .venv first when it is missing or older than the project's metadata.
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart
# Test files side by side: most of their time is compiling, which uses one core.
WORKERS ?= 2
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

.PHONY: install quickstart test test-slow parity slurm-test lint bench clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Strata needs Python 3.11 or newer: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/parity-installed: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,parity]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps lpips  # its torchvision would bring another torch
	@touch $@

# Minutes on two cores: trains on scikit-learn's photographs, then does everything one does with a trained codec.
quickstart: install
	$(BIN)/strata train --config configs/quickstart/digits.py --workdir $(RUN)
	$(BIN)/strata eval --workdir $(RUN) --json $(RUN)/eval.json
	$(BIN)/strata sample --workdir $(RUN) --out $(RUN)/grid.png
	$(BIN)/strata export --workdir $(RUN) --out $(RUN)/codec --overwrite
	$(BIN)/strata data examples --config configs/quickstart/digits.py --split eval --num 1 --out $(RUN)/heldout
	$(BIN)/strata reconstruct --codec $(RUN)/codec $(RUN)/heldout --out $(RUN)/reconstructed --json $(RUN)/reconstruct.json
	@echo
	@echo "Trained run      $(RUN)   (metrics.jsonl, tb/, samples/, checkpoints/)"
	@echo "Evaluation       $(RUN)/eval.json"
	@echo "Samples          $(RUN)/grid.png"
	@echo "Codec            $(RUN)/codec   (Codec.from_pretrained)"
	@echo "Held-out crop    $(RUN)/heldout"
	@echo "Reconstruction   $(RUN)/reconstructed"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not parity and not slow"

# The thorough variants of those tests: every kind of bucket, every recipe, longer runs. Takes an hour.
test-slow: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "slow and not slurm"

# Against the authors' torch mathematics and released weights.
parity: .venv/parity-installed
	$(BIN)/python -m pytest -m parity tests/parity

# A SLURM of two nodes on this machine (needs root: installs Debian's packages, leaves nothing running).
slurm-test: install
	@[ "$$(id -u)" = 0 ] || { echo "make slurm-test installs and starts slurmctld, slurmd and munge: run it as root"; exit 2; }
	$(BIN)/python -m pytest -m slurm tests/launch

bench: install
	$(BIN)/strata bench train --config configs/vdvae/cifar10.py --config.batch_size=4 --steps 5 --json -
	$(BIN)/strata bench data --json -
	$(BIN)/strata bench checkpoint --json -

clean:
	rm -rf .venv .jax_cache build *.egg-info
