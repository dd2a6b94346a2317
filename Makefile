# make repro   a fresh clone to a registered model       make test   the tests
# make lint    style and types                           make lock   requirements.lock, uv.lock, deploy's locks
# make coverage   the tests, nearly twice as slow, and the lines they leave out

PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test coverage lint lock

repro: .venv/installed
	dvc repro

test: .venv/installed
	pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

coverage: .venv/installed
	pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

lint: .venv/installed
	ruff format --check .
	ruff check .
	mypy

lock: .venv/installed
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" requirements.txt --output-file requirements.lock
	for image in mlflow service; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--constraint requirements.lock --custom-compile-command "make lock" \
			deploy/$$image/requirements.txt --output-file deploy/$$image/requirements.lock || exit 1; \
	done
	uv lock --quiet

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv/uv.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	.venv/bin/uv pip install --quiet --system-certs --python .venv/bin/python --compile-bytecode \
		--require-hashes -r requirements.lock
	touch $@
