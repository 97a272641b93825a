# Needs make and Python 3.11+; each target installs what it needs into $(VENV).
VENV ?= .venv
PYTHON ?= python3
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.maskgrid-installed
CORES ?= 2
SUPPLY := $(abspath $(VENV))/supply

.PHONY: install demo test test-wheel dist test-loaders test-slurm test-versions test-compiled bench bench-full bench-gpu bench-explorer bench-exports gpu-kit gpu-check test-gpu-check soak lint format schema lock sbom audit train-demo docs-figures clean

install: $(INSTALLED)

# Every file is checked against the hashes of the lock. sam2 builds against the installed torch, so all others come first
# and build isolation is off. If a CPU build of torch is already installed, it is kept and the CUDA packages are skipped.
# The tests of pages take axe-core alone from a package that wants a browser beside it: no dependencies.
$(INSTALLED): requirements.lock requirements-tests.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else 0'
	$(BIN)/python scripts/lockfile.py first > $(VENV)/requirements-first.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps -r $(VENV)/requirements-first.txt
	$(BIN)/python scripts/lockfile.py all > $(VENV)/requirements.txt
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --require-hashes --no-build-isolation -r $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements-tests.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Train the demo model from scratch, hours on two cores (docs/demo-model.md). If stopped, it continues from its state in
# training/state.
train-demo: $(INSTALLED)
	$(BIN)/python -m training image --folder training/state
	$(BIN)/python -m training video --folder training/state
	$(BIN)/python -m training calibrate --folder training/state
	$(BIN)/python -m training export --folder training/state --output src/maskgrid/network/demo/maskgrid_demo.pt
	$(BIN)/python -m training evaluate

# Run the main job on the built-in pictures, in demo/; it ends with a table of settings and the paths of the results.
demo: $(INSTALLED)
	mkdir -p demo
	cd demo && $(BIN)/maskgrid run --config ../config/demo.yaml --cores $(CORES)
	@printf "\nThe demo's results are in %s; open %s\n" $(CURDIR)/demo/results $(CURDIR)/demo/results/report/index.html

test: $(INSTALLED) lint
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

# The wheel is built from the sdist, so that both are known to hold everything.
dist: $(INSTALLED)
	rm -rf dist build
	$(BIN)/python -c 'from setuptools.build_meta import build_sdist; build_sdist("dist")'
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/maskgrid-*.tar.gz

# Install the wheel into a new environment, as the README says, and run the demo in an empty folder: up to 6 GB, minutes.
test-wheel: dist
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder/env" && \
	  "$$folder/env/bin/pip" install --quiet torch torchvision "setuptools>=77" wheel && \
	  SAM2_BUILD_CUDA=0 "$$folder/env/bin/pip" install --quiet --no-build-isolation dist/maskgrid-*.whl && \
	  mkdir "$$folder/empty" && cd "$$folder/empty" && export PATH="$$folder/env/bin:$$PATH" && \
	  maskgrid init && maskgrid run generator.points_per_side=8 && maskgrid verify generator.points_per_side=8 && maskgrid open

# Test docs/loading.md's snippets for libraries that need other versions than maskgrid's, in temporary environments: one
# from the lock, and one for each line of requirements-loaders-each.txt, which find torch in $(VENV). 3 GB, minutes.
test-loaders: $(INSTALLED)
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder/0" && \
	  "$$folder/0/bin/pip" install --quiet --require-hashes -r requirements-loaders.lock && pythons="$$folder/0/bin/python" && n=0 && \
	  packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  while read -r line; do n=$$((n + 1)) && $(BIN)/python -m venv "$$folder/$$n" && \
	    echo "$$packages" > "$$("$$folder/$$n/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/maskgrid.pth" && \
	    "$$folder/$$n/bin/pip" install --quiet $$line && pythons="$$pythons:$$folder/$$n/bin/python" || exit 1; \
	  done < requirements-loaders-each.txt && \
	  MASKGRID_LOADERS_PYTHON="$$pythons" $(BIN)/python -m pytest tests/system/test_loading.py

# Run the demo through a real SLURM on this machine, with every fault that a cluster has (docs/cluster.md). Installs
# Debian's slurm-wlm and munge if missing (as root), and stops what it started.
test-slurm: $(INSTALLED)
	MASKGRID_SLURM=1 $(BIN)/python -m pytest -s tests/workflow/slurm

# The tests of exactness and of the workflow with each Python from 3.11 to 3.14 that is here and each torch from 2.10 on, in
# temporary environments (docs/reliability.md); up to 6 GB, minutes each. VERSIONS="--python python3.13 --torch 2.12.1" is one.
test-versions: $(INSTALLED)
	$(BIN)/python scripts/versions.py $(VERSIONS)

# Track with the network that torch compiles for vos_optimized, its code generated for the CPU (docs/gpu.md); minutes. `make
# test` traces it only.
test-compiled: $(INSTALLED)
	MASKGRID_COMPILE=1 $(BIN)/python -m pytest tests/tracked/propagation/test_compiled.py

# All that the README promises, tried at random, hours on one core; goes on where it stopped (docs/reliability.md). For
# instance SOAK="--minutes 60" or SOAK="--kind configs --trials 1000".
soak: $(INSTALLED)
	$(BIN)/python tests/soak $(SOAK)

# Compare maskgrid with sam2 on the same photographs: seconds, ratios, memory, differences (docs/benchmarks.md). About
# ten minutes on two idle cores. PHOTOS="a.jpg b.jpg" replaces two of the demo's photographs; bench-full has more turns.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/floor.py
	$(BIN)/python benchmarks/memory.py $(firstword $(PHOTOS))
	$(BIN)/python benchmarks/replay.py $(firstword $(PHOTOS))
	$(BIN)/python benchmarks/merge.py --masks 100000 --shards 10 100
	$(BIN)/python benchmarks/sweep.py $(PHOTOS) --photos 2
	$(BIN)/python benchmarks/single.py $(PHOTOS) --photos 2
	$(BIN)/python benchmarks/single.py $(firstword $(PHOTOS)) --photos 1 --architecture tiny --minutes 5

bench-full: $(INSTALLED)
	$(BIN)/python benchmarks/floor.py
	$(BIN)/python benchmarks/memory.py $(firstword $(PHOTOS))
	$(BIN)/python benchmarks/replay.py $(PHOTOS) --repeat 3
	$(BIN)/python benchmarks/merge.py --repeat 3
	$(BIN)/python benchmarks/sweep.py $(PHOTOS) --repeat 3
	$(BIN)/python benchmarks/single.py $(PHOTOS)
	$(BIN)/python benchmarks/single.py $(PHOTOS) --photos 2 --architecture tiny

# On a CUDA device: the large architecture in float32 and bfloat16, then sweeps, even if masks differ (docs/gpu.md).
# Agreement is measured with the demo's model.
bench-gpu: $(INSTALLED)
	-$(BIN)/python benchmarks/single.py $(PHOTOS) --architecture large --device cuda --dtype bfloat16
	$(BIN)/python benchmarks/sweep.py $(PHOTOS) --architecture large --device cuda --repeat 3

# Collect the wheels for a check of bits, speed and memory on a machine that has a GPU but no network (docs/gpu.md): 5 MB
# in .gpu-kit. PHOTOS="a.jpg" takes a photograph along, best of 1200 x 1800 pixels.
gpu-kit: $(INSTALLED)
	PYTHON=$(BIN)/python bash benchmarks/gpu/make_kit.sh .gpu-kit $(firstword $(PHOTOS))

# The check, with that kit: eight minutes; results in gpu-check. OPTIONS="--seconds 440 --parts exact_demo" are its options.
gpu-check:
	bash .gpu-kit/gpu_check.sh $(OPTIONS)

# Run each part of the check on the CPU, with the demo's model: four minutes.
test-gpu-check: $(INSTALLED)
	MASKGRID_GPU_CHECK=1 $(BIN)/python -m pytest tests/system/test_gpu_check.py

# Measure how fast the explorer's sliders answer with 1,500 candidates (docs/benchmarks.md); needs Chromium.
bench-explorer: $(INSTALLED)
	$(BIN)/python benchmarks/sliders.py

# Measure each export of 1,000 and 100,000 masks: seconds and peak memory (docs/benchmarks.md). Half an hour on two cores.
bench-exports: $(INSTALLED)
	$(BIN)/python benchmarks/exports.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --snakefile workflow/Snakefile --lint

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Generate the JSON schema and the tables of config/README.md from the config's models.
schema: $(INSTALLED)
	$(BIN)/python scripts/config_docs.py .

# The tools of the next three targets, in an environment of their own.
$(SUPPLY)/.installed: requirements-supply.lock
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/pip install --quiet --require-hashes -r requirements-supply.lock
	touch $@

# Fetch from the package index the hashes of all files of each pinned version, for all platforms; versions stay as they are
# written there. Needs a network.
LOCK := $(SUPPLY)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: $(SUPPLY)/.installed
	for lock in requirements.lock requirements-loaders.lock requirements-tests.lock; do \
	  sed -E 's/ *--hash=[^ ]+//g; s/ *\\$$//' $$lock | $(LOCK) --no-deps - --output-file $$lock.new && mv $$lock.new $$lock || exit 1; \
	done
	$(LOCK) --group supply --output-file requirements-supply.lock
	$(PYTHON) scripts/lockfile.py conda

# Write maskgrid.cdx.json: what is pinned, with versions, hashes, and the licences that installed packages declare.
sbom: $(INSTALLED) $(SUPPLY)/.installed
	$(SUPPLY)/bin/python scripts/sbom.py $(VENV) maskgrid.cdx.json

# Look up the known faults of what is pinned; says so if no network answers.
audit: $(SUPPLY)/.installed
	$(SUPPLY)/bin/python scripts/audit.py

# Make the figures of docs/parameters.md, microscopy.md, maps.md and prompted.md with the demo checkpoint; the last needs SAM 2's
# photographs in PHOTOS. Then make the run of docs/first-dataset.md and take screenshots of its pages, if Chromium is
# installed.
docs-figures: PHOTOS ?= ../shared/photos
docs-figures: $(INSTALLED)
	$(BIN)/python scripts/docs_figures.py docs/images
	$(BIN)/python scripts/deep_figures.py docs/images
	$(BIN)/python scripts/prompted_figure.py docs/images $(PHOTOS)
	$(BIN)/python scripts/screenshots.py docs/images

clean:
	rm -rf $(VENV) demo .snakemake maskgrid.cdx.json
