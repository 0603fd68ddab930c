.PHONY: run cluster setup test slow longest check bench load help
PYTHON ?= python3
PY := .venv/bin/python

run: .venv/ready            ## open the page in the browser
	$(PY) app.py

cluster: .venv/serve        ## the page before two replicas of Ray Serve: docs/hosting.md
	$(PY) app.py --replicas 2

setup: .venv/tools          ## everything to run and to test
	@echo "ready: make run, make test"

test: .venv/tools           ## the tests that take minutes at most
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow and not longest"

slow: .venv/tools           ## the rest: large networks and files, hostile models, a crowd
	$(PY) -m pytest -n 2 --dist worksteal -m "slow and not longest"

longest: .venv/tools        ## what CI leaves out: every network of the list, and what is drawn by lot
	$(PY) -m pytest -n 2 --dist worksteal -m longest

check: .venv/tools          ## style and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench: .venv/tools          ## what an answer costs, as ratios
	$(PY) -m tests.bench

load: .venv/tools           ## many visitors at once, some of them hostile: a report in docs/
	$(PY) -m tests.bench.crowd

help:                       ## this list
	@sed -n 's/^\([a-z]*\):.*## */  make \1	/p' Makefile

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("TensorFlow needs \
	Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d; name another one: \
	make PYTHON=python3.13" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -r requirements.txt
	touch $@

.venv/serve: .venv/ready pyproject.toml
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]\
	["optional-dependencies"]["serve"], sep="\n")' | $(PY) -m pip install --quiet -r /dev/stdin
	touch $@

.venv/tools: .venv/ready pyproject.toml
	$(PY) -m pip install --quiet --group dev
	touch $@
