# make repro   a fresh clone to a registered model       make test   the tests
# make lint    style and types                           make lock   requirements.lock, uv.lock, deploy's locks
# make coverage   the tests, nearly twice as slow, and the lines they leave out

# The newest Python of these that can make environments; PYTHON=… names another.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)

.PHONY: repro test coverage lint lock

repro: .venv/installed
	dvc repro

test: .venv/installed-dev
	pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

coverage: .venv/installed-dev
	pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

lint: .venv/installed-dev
	ruff format --check .
	ruff check .
	mypy
	PYTHONPATH=src lint-imports --no-cache

lock: .venv/installed
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" requirements.txt --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--constraint requirements.lock --custom-compile-command "make lock" \
		requirements-dev.txt --output-file requirements-dev.lock
	for image in mlflow service; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--constraint requirements.lock --custom-compile-command "make lock" \
			deploy/$$image/requirements.txt --output-file deploy/$$image/requirements.lock || exit 1; \
	done
	uv lock --quiet

.venv/installed .venv/installed-dev: .venv/installed%: requirements%.lock | .venv/bin/uv
	.venv/bin/uv pip install --quiet --system-certs --python .venv/bin/python --compile-bytecode \
		--require-hashes -r $<
	touch $@

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 to 3.14 with venv was found" >&2; echo \
		"  -> install one (uv python install 3.13, or apt install python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >.venv/uv.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
