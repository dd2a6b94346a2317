# make repro             from a fresh clone to a registered model
# make test              the tests that need no other programs
# make coverage          make test, with the lines that no test covers
# make test-system       the tests with DVC, servers and kills
# make test-all          all tests, with every example and every kill
# make lint              style, types, layers and words
# make docs              the documentation site, in site/; make docs-serve shows it at port 8000 while you edit
# make audit             known vulnerabilities of the pinned packages
# make benchmarks        all benchmarks on an idle machine, and their page; DATA=CSV is the California housing table,
#                        TABLES=FOLDER has tables to compare libraries on
# make benchmarks-smoke  every benchmark once, with small inputs
# make lock              update requirements.lock, uv.lock and the locks of deploy/

# True for a Python of a supported version that can create virtual environments.
FITS := -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'
# The newest such Python in PATH; set PYTHON=… to use another.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python $(FITS) 2>/dev/null && echo $$python && break; done)
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test test-system test-all coverage lint docs docs-serve audit benchmarks benchmarks-smoke lock

TESTS := pytest --numprocesses logical --dist loadgroup

repro: .venv/installed
	dvc repro

test: .venv/installed-dev
	$(TESTS) $(COVERAGE) tests/unit tests/store

coverage: COVERAGE := --cov --cov-report=term:skip-covered
coverage: test

test-system: .venv/installed-dev
	$(TESTS) tests/system

test-all: .venv/installed-dev
	THOROUGH=1 $(TESTS)

lint: .venv/installed-dev
	ruff format --check .
	ruff check .
	mypy
	PYTHONPATH=src lint-imports --no-cache
	codespell
	python .ci/check_words.py
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: .venv/installed-dev
	mkdocs build --strict

docs-serve: .venv/installed-dev
	mkdocs serve

audit: .venv/installed-dev
	pip-audit --disable-pip --require-hashes --progress-spinner off --requirement requirements-dev.lock

benchmarks: .venv/installed-dev
	python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	python benchmarks/run_all.py $(addprefix --data ,$(DATA)) $(addprefix --tables ,$(TABLES))

benchmarks-smoke: .venv/installed-dev
	benchmarks/smoke.sh

# The same versions on every supported Python, as far as the packages allow.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-annotate --custom-compile-command "make lock"

lock: .venv/installed
	$(COMPILE) requirements.txt --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock requirements-dev.txt --output-file requirements-dev.lock
	for image in mlflow service; do \
		$(COMPILE) --constraint requirements.lock deploy/$$image/requirements.txt \
			--output-file deploy/$$image/requirements.lock || exit 1; \
	done
	uv lock --quiet

.venv/installed .venv/installed-dev: .venv/installed%: requirements%.lock | .venv/bin/uv
	@echo "installing the packages of $< into .venv (one to two minutes the first time)"
	@.venv/bin/uv pip install --quiet --system-certs --python .venv/bin/python --compile-bytecode \
		--require-hashes -r $<
	@touch $@

.venv/bin/uv:
	@$(or $(PYTHON),false) $(FITS) 2>/dev/null || { echo "error: $(or $(PYTHON),python3 in PATH) is not Python 3.11" \
		"to 3.14 with venv" >&2; echo "  -> install one (uv python install 3.13, or apt install python3-venv), or" \
		"set its path: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv/uv.txt
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
