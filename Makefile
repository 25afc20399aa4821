# make dashboard | test | lab : each makes .venv, installs what it needs, and runs.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 5006
ADDRESS ?= localhost

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help dashboard lab test site reproduce clean

help:
	@echo "make dashboard [PORT=5006]   serve the dashboard"
	@echo "make lab [PORT=8888] [ARGS=--no-browser]   open the notebooks in JupyterLab"
	@echo "make test                    run every test, the browser tests included"
	@echo "make site                    course, reference and how-to pages, a folder that needs no server: site/index.html"
	@echo "make reproduce               the paper's claims beside ours, half an hour; QUICK=1: two minutes"
	@echo "make clean                   remove the virtual environment and caches"

dashboard: $(VENV)/.dashboard
	$(BIN)/quantlab dashboard --port $(PORT) --address $(ADDRESS)

lab: PORT = 8888
lab: $(VENV)/.lab
	$(BIN)/quantlab lab --port $(PORT) $(ARGS)

test: $(VENV)/.test
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

site: $(VENV)/.docs
	$(BIN)/python website/build.py

reproduce: $(VENV)/.figures
	$(BIN)/quantlab reproduce --output benchmarks/results/reproduce $(if $(QUICK),--quick)

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "quantlab needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "making a virtual environment failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }

# One stamp an extra: $(VENV)/.dashboard, .lab, .docs, .test; made again when the requirements change.
$(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing quantlab[$*] into $(VENV) (a few minutes the first time) ..."
	@$(PIP_INSTALL) -e '.[$*]'
	@touch $@
