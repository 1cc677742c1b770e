# Everything runs in .venv, which the first command creates from the locked requirements.

WANTED := python$(shell cat .python-version)
PYTHON ?= $(shell for python in $(WANTED) python3 python3.14 python3.13 python3.12 \
	$(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test coverage check bench faults hosts containers rabbitmq lock clean

# Runs are cancelled before the processes stop.
run: export SYNCLOG_GRACE_SECONDS ?= 10
run: .venv/runtime
	@$(BIN)/python manage.py run_demo

# ONLY=tests/console runs a part of the suite.
test: .venv/development
	@$(BIN)/python -m tests $(ONLY)

# Line and branch coverage of apps/, without the processes that tests start.
coverage: .venv/development
	@$(BIN)/python -m tests --cov --cov-report= $(ONLY)
	@test ! -e .coverage-sqlite || $(BIN)/coverage combine --quiet --append .coverage-sqlite
	@$(BIN)/coverage report --skip-covered --sort=cover

# The settings create folders and a key, also for the type checker.
check: export SYNCLOG_DATA_DIR = .venv/check
check: .venv/development
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py check --fail-level WARNING
	@$(BIN)/python manage.py makemigrations --check --dry-run

bench: .venv/development
	@$(BIN)/python -m tests.benchmarks $(ONLY)

# Breaks everything that can break, for a quarter of an hour; SEED=17 repeats an order.
faults: .venv/development
	@$(BIN)/python -m tests.faults $(SEED)

# Runs compose.yaml in Docker; OPTIONS=--stand-ins where no image can be pulled, OPTIONS="--from REVISION" upgrades from it.
containers: .venv/development
	@$(BIN)/python -m tests.containers $(OPTIONS)

# Cuts, slows, removes and upgrades hosts for ten minutes; needs root and iproute2.
hosts: .venv/development
	@$(BIN)/python -m tests.hosts $(SEED)

# The end-to-end test and the faults with RabbitMQ as the broker; needs Debian's package rabbitmq-server.
rabbitmq: export BROKER = rabbitmq
rabbitmq: .venv/development
	@$(BIN)/python -m pytest tests/test_story.py tests/faults
	@$(BIN)/python -m tests.faults $(SEED)

# Compiles the locked requirements, with the hash of every file and without addresses.
lock: .venv/development
	uv pip compile pyproject.toml --universal --python-version 3.12 --generate-hashes --upgrade \
		--no-header --quiet --output-file requirements.txt
	uv pip compile pyproject.toml --universal --python-version 3.12 --generate-hashes --extra dev \
		--no-header --quiet --constraint requirements.txt --output-file requirements-dev.txt

clean:
	rm -rf .venv var

.venv/made:
	@test -n "$(PYTHON)" || { echo "Synclog needs Python 3.12 or newer, and .python-version asks for $(WANTED); \
	none was found. Install it, or name it: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear .venv || { echo "$(PYTHON) cannot create a virtual environment; \
	on Debian: apt install python3-venv" >&2; exit 1; }
	@touch $@

.venv/runtime: .venv/made requirements.txt
	@echo "Installing the locked requirements into .venv …"
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/development: .venv/made requirements-dev.txt
	@echo "Installing the locked requirements into .venv …"
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/runtime
