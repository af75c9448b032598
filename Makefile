PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: demo test test-all lint table-3 tiny clean
.PRECIOUS: runs/tiny/%/model

demo: $(VENV)/.run
	$(BIN)/actalker demo --out outputs --overwrite

test: $(VENV)/.test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-all: $(VENV)/.test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu"

# ACTalker's Table 3 on performances: five variants of the control layer in the same steps, with three seeds (about 15
# minutes of one core each; make -j2 trains two at a time)
VARIANTS = full cross-attention no-regions no-mask-drop no-identity
RUNS = $(foreach variant,$(VARIANTS),$(foreach seed,1 2 3,$(variant)-$(seed)))
cross-attention = --model.model.denoiser_args.branch.form attention
no-regions = $(cross-attention) --model.model.sampling.regions false
no-mask-drop = --model.strategy.mask_drop [0.0] --model.model.sampling.mask_drop 0
no-identity = --model.model.denoiser_args.branch '{expand: 0.75, state_size: 8, scan_scope: frame, condition_layout: rows, \
	gated: true, identity: false}'

table-3: $(RUNS:%=runs/ablation/%/model)
	$(BIN)/actalker ablate --preset targets --model runs/ablation/full-1/model \
	  --beside $(filter-out runs/ablation/full-1/model,$(RUNS:%=runs/ablation/%/model)) --workers 2 --out runs/ablation/report

runs/ablation/%/model: $(VENV)/.test
	$(BIN)/python train.py fit --config configs/tiny.yaml --config configs/ablation/table-3.yaml \
	  $($(patsubst %-1,%,$(patsubst %-2,%,$(patsubst %-3,%,$*)))) \
	  --seed_everything $(lastword $(subst -, ,$*)) --model.seed $(lastword $(subst -, ,$*)) \
	  --run runs/ablation/$* --ckpt_path last-if-any
	$(BIN)/actalker export runs/ablation/$*/checkpoints/last.ckpt $@

# The model that ships, from nothing: a cache of synthetic speech, then three stages of training; each is skipped
# where its result is there, and goes on where it was stopped
tiny: runs/tiny/3-speech/model
	$(BIN)/actalker export runs/tiny/3-speech/checkpoints/last.ckpt actalker/models/tiny --dtype bfloat16

runs/speech/cache.json: $(VENV)/.speech
	$(BIN)/actalker speech --out runs/speech

runs/tiny/1-frames/model: runs/speech/cache.json
runs/tiny/2-windows/model: runs/tiny/1-frames/model
runs/tiny/3-speech/model: runs/tiny/2-windows/model

runs/tiny/%/model:
	$(BIN)/python train.py fit --config configs/tiny.yaml --config configs/tiny/$*.yaml --ckpt_path last-if-any
	$(BIN)/actalker export runs/tiny/$*/checkpoints/last.ckpt $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is not Python 3.10 to 3.13; say which is: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.speech: $(VENV)/.test
	$(PIP) --editable '.[test,speech]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.run $(VENV)/.test

clean:
	rm -rf $(VENV) outputs build *.egg-info
