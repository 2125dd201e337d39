# `make demo` refines masks on real images; `make test`, `make test-slow`, `make lint` and `make docs` check the package.
# All of them set up .venv when they need to.
# PYTHON=/path/to/python chooses the interpreter for .venv (Python 3.10 to 3.12).

READY := .venv/.ready

.PHONY: demo docs lint test test-slow venv

demo: $(READY)
	@.venv/bin/python tools/demo.py

test: $(READY)
	@.venv/bin/python -m pytest -q -m 'not slow'

test-slow: $(READY)
	@.venv/bin/python -m pytest -q -m slow

lint: $(READY)
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

docs: $(READY)
	@.venv/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

venv: $(READY)

$(READY): $(wildcard requirements/*.txt) setup.py pyproject.toml tools/dev/setup_env.sh
	@PYTHON='$(PYTHON)' bash tools/dev/setup_env.sh
	@touch $@
