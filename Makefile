# `make demo` runs the main job, `make test` the tests. Each makes its own environment in .venv first.
PYTHON ?= python3
OUT ?= demo
SEED ?= 0
SMP ?= 0.6.0
BIN := .venv/bin

.PHONY: demo test test-slow test-official test-serve lint docs docs-release compile lowest bench clean

# Passive waiting: threads that spin would slow each other down where the cores have other work too.
demo: .venv/ready
	OMP_WAIT_POLICY=PASSIVE $(BIN)/multisigma demo --out $(OUT) --seed $(SEED)

# Compiling and the lint take one core each.
test: .venv/ready
	$(MAKE) --jobs 2 lint compile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=90

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# Fetches the official Cityscapes scripts from the package index, into an environment of their own.
test-official: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/metrics/test_official_scripts.py

# The web page in a browser: CHROMIUM, or one that is on the path. It has an environment of its own, as Gradio wants an
# older Pillow.
test-serve: .venv-serve/ready
	OMP_NUM_THREADS=1 .venv-serve/bin/python -m pytest -m slow tests/serving

lint: .venv/ready
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

# The site, in site/. It has an environment of its own.
docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

# Writes the site of a release into the branch gh-pages, beside those of earlier releases: make docs-release VERSION=0.1
# mike starts mkdocs by its name.
docs-release: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/.venv-docs/bin:$$PATH" .venv-docs/bin/mike deploy --update-aliases $(VERSION) latest
	.venv-docs/bin/mike set-default latest

compile: .venv/ready
	$(BIN)/python tests/compile.py

# The lowest versions that pyproject.toml allows of what it names, and today's of the rest, in an environment of their own.
# The extra `export` needs a newer torch than the others, so its tests come last, with the versions that it allows.
lowest: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --group dev --editable '.[scene,gradients,weights]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist worksteal --ignore tests/models/test_export.py
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --group dev --editable '.[scene,weights,export]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest tests/models/test_export.py

# Every benchmark on small inputs, and the ratios to what one would use instead. segmentation_models.pytorch needs no more
# than the environment has, so it comes without dependencies, into a folder of its own.
bench: .venv/ready
	$(BIN)/uv pip install --quiet --no-deps --target build/bench/packages segmentation-models-pytorch==$(SMP)
	PYTHONPATH=build/bench/packages OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py --quick --results build/bench/results

clean:
	rm -rf .venv .venv-docs .venv-lowest .venv-serve site

# uv takes the pinned versions from the package index in a fraction of pip's time, and keeps them in a cache.
.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("multisigma needs Python 3.11 or later; name one with make PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

.venv-serve/ready: pyproject.toml
	test -x .venv-serve/bin/python || $(PYTHON) -m venv .venv-serve
	.venv-serve/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-serve/bin/uv pip install --quiet --python .venv-serve/bin/python --editable '.[scene,serve]' pytest hypothesis playwright
	touch $@

.venv-docs/ready: docs/requirements.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@
