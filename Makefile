# One word does one thing, the same on a desk and in continuous integration. `make help` lists the words.
# `.venv` is built once from constraints.txt. The name of the file that marks it as built holds a checksum of what it was
# built from, so that it is used again, also offline, until that changes.

PYTHON ?= python3
PY := .venv/bin/python
BUILT := .venv/.built-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
PEERS := .venv-bench/.built-$(shell cat pyproject.toml constraints.txt benchmarks/peers.txt | cksum | tr ' ' '-')
TORCH := .venv-torch/.built-$(shell cat pyproject.toml constraints.txt tests/pytorch/torch.txt | cksum | tr ' ' '-')
MLFLOW := .venv-mlflow/.built-$(shell cat tests/mlflow.txt | cksum | tr ' ' '-')
SAVVI := .venv-savvi/.built-$(shell cat tests/savvi.txt | cksum | tr ' ' '-')
DATASETS := .venv-datasets/.built-$(shell cat tests/datasets.txt | cksum | tr ' ' '-')
SOURCES := src tests benchmarks docs
KNOWN := echo 'In this terminal, ". .venv/bin/activate" makes the command overnight known.'

# What only .venv-torch can run, so that `make coverage` does not count it and `make test-torch` does.
TORCH_ONLY := src/overnight/training/models/torch_*

# Two workers leave two cores idle for nearly half of the time, while tests wait; an idle one takes tests from the others.
PYTEST := $(PY) -m pytest -n 3 --dist worksteal

.PHONY: help setup demo demo-learn demo-video test coverage test-torch check chaos figures soak interop interop-mlflow interop-savvi interop-datasets interop-open-bandit mutants bench docs fmt

help: ## list these words
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(BUILT) ## build .venv from constraints.txt (only when needed)
	@$(KNOWN)

$(BUILT):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Overnight needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
	    "name another one: make PYTHON=python3.12" >&2; exit 1; }
	@grep -qsF -- '$(CURDIR)/.venv' .venv/pyvenv.cfg || rm -rf .venv
	@$(PYTHON) -m venv .venv || { \
	  echo "'$(PYTHON)' has no venv module; install it (Debian: python3-venv)." >&2; exit 1; }
	@echo "Installing into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
	  --no-build-isolation --editable '.[data,ml,llm,hpo,studio,demo,postgres,notify,otel,gpu,dev]'
	@# On all cores; pip would take one.
	@$(PY) -m compileall -qq -j 0 .venv/lib
	@rm -f .venv/.built-* && touch $@

demo: $(BUILT) ## train a fleet on real films and tunes in ./demo; a second time its agents meet their champions
	@test -d demo || .venv/bin/overnight init --example music_video demo
	cd demo && ../.venv/bin/overnight train
	@$(KNOWN)

demo-learn: $(BUILT) ## have three strategies train models in ./demo-learn, and the best one proven
	@test -d demo-learn || .venv/bin/overnight init demo-learn
	cd demo-learn && OVERNIGHT_LEARNING__DEFAULT=aggressive ../.venv/bin/overnight learn run --complexity medium --iterations 2

demo-video: $(BUILT) ## have the agents of a channel make one reviewed video in ./demo-video, without a network
	@test -d demo-video || .venv/bin/overnight init --example channel demo-video
	cd demo-video && ../.venv/bin/overnight tasks run scriptwriter --with-dependants --wait
	cd demo-video && ../.venv/bin/python show.py

test: $(BUILT) ## run all tests
	$(PYTEST)

# A word of its own: lines that are counted run several times slower, and a desk asks for the count far less often.
coverage: $(BUILT) ## run all tests with branch coverage: 90 % of everything, all of the pure modules
	@rm -f .coverage .coverage.* .pytest_cache/v/cache/lastfailed
	$(PYTEST) --cov --cov-report= || $(PY) tests/again.py
	$(PY) -m coverage report --fail-under=90 --omit='$(TORCH_ONLY)'
	$(PY) -m coverage report --fail-under=100 --include="$$($(PY) tests/architecture.py pure-files)"

test-torch: $(TORCH) ## run the tests of models in PyTorch in .venv-torch: 90 % of their code
	@rm -f .coverage-torch .coverage-torch.*
	COVERAGE_FILE=.coverage-torch .venv-torch/bin/python -m pytest -n 2 --dist worksteal tests/pytorch --cov --cov-report=
	COVERAGE_FILE=.coverage-torch .venv-torch/bin/python -m coverage report --fail-under=90 --include='$(TORCH_ONLY)'

$(TORCH): | $(BUILT)
	@$(PY) -m venv .venv-torch
	@echo "Installing into .venv-torch; PyTorch alone takes some minutes"
	@.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	@.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
	  --constraint tests/pytorch/torch.txt --no-build-isolation --editable '.[torch,ml,data,dev]'
	@rm -f .venv-torch/.built-* && touch $@

check: $(BUILT) ## lint, format, types and the import contracts
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy
	.venv/bin/lint-imports

chaos: $(BUILT) ## the long form of the tests that kill processes, on both databases
	$(PY) -m pytest tests/chaos tests/integration/test_simulation.py tests/integration/test_bad_runs.py \
	  tests/integration/test_month.py tests/integration/test_retention.py \
	  tests/contract/test_machine_stateful.py tests/contract/test_schedules_stateful.py \
	  tests/contract/test_experiences_stateful.py tests/integration/test_assistant_loop.py \
	  tests/integration/test_channel_day.py --long --timeout 3600

figures: $(BUILT) ## what the built-in trainers reach on the real data that OVERNIGHT_TEST_DATA names
	@test -n "$$OVERNIGHT_TEST_DATA" || { echo "Set OVERNIGHT_TEST_DATA to the folder of the test data" >&2; exit 1; }
	$(PY) -m pytest tests/integration/test_models_*.py -k "real or digits or speakers or pairs" --long -s --timeout 900

soak: $(BUILT) ## 15 minutes of steady work: memory, open files and delays must not grow
	$(PY) benchmarks/soak.py --plot soak.svg

interop: $(BUILT) ## the database tests on the PostgreSQL server that OVERNIGHT_TEST_POSTGRES names
	@test -n "$$OVERNIGHT_TEST_POSTGRES" || { \
	  echo "Set OVERNIGHT_TEST_POSTGRES to the URL of a server, such as postgresql://user:password@localhost/postgres" >&2; exit 1; }
	$(PYTEST) -k postgres

interop-mlflow: $(MLFLOW) ## the mirror of versions on a real MLflow server in .venv-mlflow
	OVERNIGHT_TEST_MLFLOW=$(CURDIR)/.venv-mlflow/bin/mlflow $(PY) -m pytest tests/integration/test_mlflow.py

interop-savvi: $(SAVVI) ## the sample-ratio test beside the library of those who published it, in .venv-savvi
	OVERNIGHT_TEST_SAVVI=$(CURDIR)/.venv-savvi/bin/python $(PY) -m pytest tests/unit/test_proof_savvi.py

# What an environment needs stands in the file of its name.
$(MLFLOW) $(SAVVI): | $(BUILT)
	@$(PY) -m venv $(@D)
	@echo "Installing into $(@D)"
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/$(@D:.venv-%=%).txt
	@rm -f $(@D)/.built-* && touch $@

interop-datasets: $(DATASETS) ## data sets as the libraries datasets and trl read them, in .venv-datasets
	OVERNIGHT_TEST_DATASETS=$(CURDIR)/.venv-datasets/bin/python $(PY) -m pytest tests/unit/test_datasets.py

# Without what trl says that it needs: accelerate, and with it PyTorch, which nothing asked here imports.
$(DATASETS): | $(BUILT)
	@$(PY) -m venv .venv-datasets
	@echo "Installing into .venv-datasets"
	@.venv-datasets/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/datasets.txt
	@.venv-datasets/bin/python -m pip install --quiet --disable-pip-version-check --no-deps trl==1.16.0
	@rm -f .venv-datasets/.built-* && touch $@

interop-open-bandit: $(BUILT) ## off-policy estimates on real logged choices, which are downloaded and not installed
	@mkdir -p .interop && $(PY) -m pip download --quiet --disable-pip-version-check --no-deps --dest .interop obp==0.4.1
	OVERNIGHT_TEST_OPEN_BANDIT=$(CURDIR)/.interop/obp-0.4.1-py3-none-any.whl $(PY) -m pytest -q tests/unit/test_open_bandit.py

docs: $(BUILT) ## write the parts of the documentation that follow from the code and from a real training
	$(PY) docs/build.py

mutants: $(BUILT) ## break the pure modules on purpose: the tests must notice at least 85 % of the faults
	$(PY) -m mutmut run
	$(PY) -m mutmut export-cicd-stats
	@$(PY) -c 'import json, sys; s = json.load(open("mutants/mutmut-cicd-stats.json")); \
	  share = (s["killed"] + s["timeout"]) / s["total"]; \
	  print("{:.1%} of {} mutants noticed".format(share, s["total"])); sys.exit(share < 0.85)'

bench: $(PEERS) ## measure the figures that we claim, beside the raw limits and the peers
	@failed=0; for script in start gate engine data campaigns generators generators_sql ingest negotiation streams router exercises selection services; do \
	  echo "== benchmarks/$$script.py"; .venv-bench/bin/python "benchmarks/$$script.py" || failed=1; \
	done; exit $$failed

$(PEERS): | $(BUILT)
	@$(PY) -m venv .venv-bench
	@echo "Installing into .venv-bench"
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --no-build-isolation --editable '.[data,ml,demo,postgres,notify,otel,dev]' --requirement benchmarks/peers.txt
	@rm -f .venv-bench/.built-* && touch $@

fmt: $(BUILT) ## put the code into its format, and fix what can be fixed safely
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)
