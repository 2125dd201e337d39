# `make demo` refines masks on real photographs, `make test` runs the tests; both set up .venv when they need to.
# PYTHON=/path/to/python chooses the interpreter for .venv (Python 3.10 to 3.12).

READY := .venv/.ready

.PHONY: demo test venv

demo: $(READY)
	@.venv/bin/python tools/demo.py

test: $(READY)
	@.venv/bin/python -m pytest -q -m 'not slow'

venv: $(READY)

$(READY): $(wildcard requirements/*.txt) setup.py pyproject.toml tools/dev/setup_env.sh
	@PYTHON='$(PYTHON)' bash tools/dev/setup_env.sh
	@touch $@
