# The newest Python, up to 3.14, that can make a virtual environment, because 3.14 needs 28 % less
# processor time for a request than 3.11. Debian has the module ensurepip in a package of its own.
PYTHON ?= $(shell for each in python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import ensurepip, venv' 2>/dev/null && echo $$each && exit; done; echo python3)
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header
IN_PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start hundreds of processes. Each begins sooner if its modules are compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-faults check lint-openapi bench mutants lock

help: ## Print this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/run ## Serve on http://127.0.0.1:3000, with the pets in the file pets.db
	@exec $(if $(wildcard .env),$(BIN)/dotenv --file .env run --no-override -- )$(BIN)/pets serve

test: .venv/dev ## Run the tests that need nothing but Python, in 4 minutes
	$(BIN)/pytest $(IN_PARALLEL) -m "not thorough"

test-all: .venv/dev ## Run all tests, also with Docker, browsers and more versions, and measure coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(IN_PARALLEL)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	@missing=$$(.ci/missing); [ -z "$$missing" ] || { \
		echo "Tests were skipped (see SKIPPED above). This installs the programs that they need:"; \
		echo sudo apt-get install --no-install-recommends $$missing; }

test-faults: .venv/dev ## Let databases, networks and processes fail under load, in 10 minutes; TABLE=file: write what was found
	$(BIN)/pytest tests/faults $(if $(TABLE),--table=$(TABLE))

check: .venv/bench ## Check format, lint, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

lint-openapi: .venv/dev ## Lint the OpenAPI document by the rules of Spectral and OWASP, with Node's npm
	npm ci --silent --ignore-scripts --prefix .ci/spectral
	$(BIN)/pets openapi > .ci/spectral/open.json
	printf 'none read %064d\n' 0 > .ci/spectral/keys
	PETS_API_KEYS_FILE=.ci/spectral/keys $(BIN)/pets openapi > .ci/spectral/keys.json
	.ci/spectral/node_modules/.bin/spectral lint --fail-severity warn \
		--ruleset .ci/spectral/.spectral.yaml .ci/spectral/open.json .ci/spectral/keys.json

bench: .venv/bench ## Measure beside other servers, in 18 minutes; QUICK=1: in 4; SOAK=1: memory over 5 minutes
	@QUICK=$(QUICK) SOAK=$(SOAK) $(BIN)/python -m bench.run

mutants: .venv/mutants ## Change the code in a thousand ways, in half an hour, and list the changes that no test notices
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

lock: .venv/dev ## Renew requirements.txt and the other requirements-*.txt
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra otel --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(COMPILE) pyproject.toml --extra otel --constraint requirements-dev.txt --output-file requirements-otel.txt
	$(COMPILE) pyproject.toml --extra otel --group bench --constraint requirements-dev.txt --output-file requirements-bench.txt
	$(COMPILE) --group mutants --constraint requirements-dev.txt --output-file requirements-mutants.txt

.venv/run: requirements.txt pyproject.toml src/pets/__init__.py
.venv/dev: requirements-dev.txt pyproject.toml src/pets/__init__.py
.venv/bench: requirements-bench.txt pyproject.toml src/pets/__init__.py
.venv/mutants: requirements-mutants.txt .venv/dev
.venv/run .venv/dev .venv/bench .venv/mutants:
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --requirement $<
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

# A virtual environment holds its own path. It is replaced if its folder was moved or copied.
ifneq ($(shell grep -s '^command = ' .venv/pyvenv.cfg | grep -vF -- ' $(CURDIR)/.venv'),)
.venv/run .venv/dev .venv/bench .venv/mutants: moved
.PHONY: moved
moved:
	rm -rf .venv
endif
