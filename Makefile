# Each target builds .venv first when it is missing or older than the project's metadata.
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/quickstart
# Test files side by side: most of their time is compiling, which uses one core.
WORKERS ?= 2
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

.PHONY: install quickstart test tests-only test-slow parity slurm-test lint style types bench clean

install: .venv/installed

# Without --no-compile, pip would compile every module of every package, also those never used.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Strata needs Python 3.11 or newer: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable .
	@touch $@

.venv/dev-installed: .venv/installed
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/parity-installed: .venv/installed
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev,parity]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps lpips  # its torchvision would bring another torch
	@touch $@

# Minutes on two cores: three models from data inside scikit-learn, what one does with them, and one page of it.
quickstart: install
	$(BIN)/strata train --config configs/quickstart/digits.py --workdir $(RUN)/digits
	$(BIN)/strata sample --workdir $(RUN)/digits --num 100 --mean --recognize --out $(RUN)/digits/samples.png --json $(RUN)/digits/samples.json
	$(BIN)/strata sample --workdir $(RUN)/digits --num 10 --reconstruct --out $(RUN)/digits/reconstructions.png --json $(RUN)/digits/reconstructions.json
	$(BIN)/strata train --config configs/quickstart/photo.py --workdir $(RUN)/photo
	$(BIN)/strata export --workdir $(RUN)/photo --out $(RUN)/photo/codec --overwrite
	$(BIN)/strata data examples --config configs/quickstart/photo.py --original --num 1 --out $(RUN)/photo/unseen
	$(BIN)/strata reconstruct --codec $(RUN)/photo/codec $(RUN)/photo/unseen --side_by_side --out $(RUN)/photo/reconstructed --json $(RUN)/photo/reconstruct.json
	$(BIN)/strata train --config configs/quickstart/video.py --workdir $(RUN)/video
	$(BIN)/strata export --workdir $(RUN)/video --out $(RUN)/video/codec --overwrite
	$(BIN)/strata data examples --config configs/quickstart/video.py --num 1 --config.data.image_size=256 --config.data.num_frames=33 --out $(RUN)/video/unseen
	$(BIN)/strata reconstruct --codec $(RUN)/video/codec $(RUN)/video/unseen --side_by_side --verify_chunks --chunk 8 --out $(RUN)/video/reconstructed --json $(RUN)/video/reconstruct.json
	$(BIN)/strata report $(RUN)/digits $(RUN)/photo $(RUN)/video --title 'Strata quickstart' --out $(RUN)/report

lint: style types

style: .venv/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev-installed
	$(BIN)/pyright

# Types are checked while the tests start, which leaves cores idle.
test: style
	$(MAKE) --no-print-directory --jobs 2 types tests-only

tests-only: .venv/dev-installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not parity and not slow"

# The thorough variants of those tests: every kind of bucket, every recipe, longer runs. Takes an hour.
test-slow: .venv/dev-installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "slow and not slurm"

# Against the authors' torch mathematics and released weights.
parity: .venv/parity-installed
	$(BIN)/python -m pytest -m "parity and not slow" tests/parity

# A SLURM of two nodes on this machine (needs root: installs Debian's packages, leaves nothing running).
slurm-test: .venv/dev-installed
	@[ "$$(id -u)" = 0 ] || { echo "make slurm-test installs and starts slurmctld, slurmd and munge: run it as root"; exit 2; }
	$(BIN)/python -m pytest -m slurm tests/launch

bench: install
	$(BIN)/strata bench train --config configs/vdvae/cifar10.py --config.batch_size=4 --steps 5 --json -
	$(BIN)/strata bench data --json -
	$(BIN)/strata bench checkpoint --json -

clean:
	rm -rf .venv .jax_cache build *.egg-info
