# Every target sets up what it needs in .venv, from a machine with only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
XDIST ?= 2

.PHONY: demo examples test page browser heavy ceph flashbax peers engines lint types bench docs format clean

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --upgrade pip

# One stamp an extra: `make demo` installs what the demo needs and no more.
.venv/.%: .venv/bin/python pyproject.toml
	$(BIN)/pip install -qq --editable ".[$*]"
	@touch $@

demo: .venv/.demo
	$(BIN)/strongbax demo --directory demo

# All that train: twelve minutes on two cores. What they leave lies in runs/.
examples: .venv/.examples
	$(BIN)/python examples/cartpole.py
	$(BIN)/python examples/hindsight.py
	$(BIN)/python examples/resume.py runs/cartpole.vault | tail -1
	$(BIN)/python examples/publish.py
	$(BIN)/python examples/iql.py
	$(BIN)/python examples/decision_transformer.py

test: .venv/.test
	$(BIN)/python -m pytest -n $(XDIST) -m "not heavy"

# The page of a vault, built of datasets/page/src; needs node and npm. What it makes is committed.
page:
	mkdir -p .venv/page
	rm -rf .venv/page/src && cp -R datasets/page/. .venv/page
	cd .venv/page && npm ci --ignore-scripts --no-audit --no-fund && npm run check && npm run build
	cp .venv/page/index.html datasets/page/index.html

# The page in a real browser.
browser: .venv/.browser page
	command -v chromium >/dev/null || (apt-get update && apt-get install -y --no-install-recommends chromium)
	command -v nginx >/dev/null || test -x /usr/sbin/nginx || apt-get install -y --no-install-recommends nginx-light
	$(BIN)/python -m pytest -n $(XDIST) tests/page

heavy: .venv/.test .venv/.bench .venv/.ray
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -m heavy --ignore=tests/flashbax

# Vaults on a real object store; needs Debian's radosgw, ceph-mon, ceph-osd and ceph-common.
ceph: .venv/.test
	$(BIN)/python -m pytest -m heavy tests/vault/test_ceph.py tests/datasets/test_publish_ceph.py

# Flashbax's own tests in full, unchanged, on our modules (an hour on one core), and its faults, which are not ours.
flashbax: .venv/.test
	XDIST=$(XDIST) $(BIN)/python -m pytest -m heavy tests/flashbax

# Other projects' readers and writers on the same data, and where they err (docs/peers.md). They pin one another's
# versions apart, so there are four environments, and what would pin too much is installed without what it asks for.
PEERS ?= .venv/peers
GROUPS := offline torch tfds lerobot
offline := minari==0.5.4 ogbench==1.2.2 gym==0.26.2 tqdm matplotlib
offline_bare := d4rl==1.1 dsrl==0.1.0
torch := torch==2.13.0 torchvision==0.28.0 torchrl==0.14.1 minari==0.5.4 gym==0.26.2 scikit-learn structlog \
  colorama dataclasses-json click psutil termcolor tensorboardX imageio tqdm egl_probe
torch_bare := d3rlpy==2.8.1 robomimic==0.3.0 d4rl==1.1
tfds := tensorflow-cpu==2.21.0 tensorflow-datasets==4.9.10
lerobot := torch==2.13.0 "numpy<2.4" "datasets>=4.0,<4.2" "av>=15,<16" "huggingface-hub<1" draccus==0.10.0 \
  jsonlines deepdiff packaging einops termcolor imageio gymnasium pandas psutil safetensors
lerobot_bare := lerobot==0.4.4 torchvision==0.28.0 torchcodec==0.13.0 accelerate
COMPARED := $(wildcard tests/converters/test_where_*_errs.py tests/converters/test_*_oracle.py \
  tests/converters/test_*_peer.py)

$(PEERS)/%/.done: pyproject.toml
	$(PYTHON) -m venv $(PEERS)/$*
	$(PEERS)/$*/bin/pip install -qq --upgrade pip
	$(PEERS)/$*/bin/pip install -qq --editable ".[arrow,images]" pytest hypothesis flashbax==0.1.3 $($*)
	$(if $($*_bare),$(PEERS)/$*/bin/pip install -qq --no-deps $($*_bare))
	@touch $@

peers: $(GROUPS:%=$(PEERS)/%/.done)
	set -e; for group in $(GROUPS); do $(PEERS)/$$group/bin/python -m pytest -m heavy $(COMPARED); done

# Conversions on Apache Beam and on Ray, in an environment of their own: Beam pins other versions than the tests do.
ENGINES ?= .venv/engines

$(ENGINES)/.done: pyproject.toml
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/pip install -qq --upgrade pip
	$(ENGINES)/bin/pip install -qq --editable ".[beam,ray]" pytest hypothesis
	@touch $@

engines: $(ENGINES)/.done
	$(ENGINES)/bin/python -m pytest -m heavy tests/converters/test_engines.py $(if $(ONLY),-k $(ONLY))

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/.test .venv/.lint
	$(BIN)/pyright

bench: .venv/.bench
	$(BIN)/python -m benchmarks

docs: .venv/.docs
	$(BIN)/python docs/cli_page.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/.lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist site *.egg-info
