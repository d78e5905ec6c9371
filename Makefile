# Everything lives in .venv. `make run` installs what the service needs, once; `make test` adds the tools.
# Arguments go through ARGS: make run ARGS="--port 9000", make test ARGS="tests/core -x"; those of a load through LOAD.

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PINS := deploy/constraints.txt
INPUTS := pyproject.toml $(PINS) deploy/no-deps.txt
# What has been tested comes first. PYTHON=/path/to/python before or after `make` overrides the search.
CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3 python
ARGS ?=
LOAD ?=
# Half of the tests' time is waiting for telephones, so three of them share two cores.
TOGETHER := -n 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install run test test-all bench bench-peer bench-turns bench-hearing lint format clean

help:  ## Show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

install: .venv/.dev  ## Make .venv with the service and the development tools

run: .venv/.base  ## Start the service on 127.0.0.1:8080; VOICEBOT_* and .env are obeyed
	@exec .venv/bin/voicebot serve $(ARGS)

test: .venv/.dev  ## Run the tests, without the slow ones
	@$(PY) -m pytest $(TOGETHER) -m "not slow" $(ARGS)

test-all: .venv/.dev  ## Run every test
	@$(PY) -m pytest $(TOGETHER) $(ARGS)

bench: .venv/.base  ## Measure load, cost and speed on this machine
	@.venv/bin/voicebot measure bench $(ARGS)
	@.venv/bin/voicebot measure load $(LOAD)

bench-peer: .venv/.base .venv-peer/.made  ## Measure the same load on pipecat, which .venv-peer gets for it
	@.venv/bin/voicebot measure load --peer pipecat,pipecat-smart-turn $(LOAD)

bench-turns: .venv/.base  ## Measure interruptions, coughs and noise over the bot's voice
	@.venv/bin/voicebot measure turns $(ARGS)

bench-hearing: .venv/.base  ## Measure what the telephone costs the recogniser: ARGS="FOLDER"
	@.venv/bin/voicebot measure hearing $(ARGS)

lint: .venv/.dev  ## Check style and types
	@$(PY) -m ruff check voicebot tests
	@$(PY) -m ruff format --check voicebot tests
	@$(PY) -m mypy --strict voicebot

format: .venv/.dev  ## Put style right
	@$(PY) -m ruff check --fix voicebot tests
	@$(PY) -m ruff format voicebot tests

clean:  ## Remove .venv, caches and build output; never data/
	rm -rf .venv .venv-peer .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist ./*.egg-info
	find voicebot tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -------------------------------------------------------------------------------------
# A stamp is newer than what it was made from, so the second `make run` starts at once. A recipe runs in one
# shell; pip is quiet unless somebody watches.

.venv/.made:
	@for python in $(CANDIDATES); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || { without_venv="$$python"; continue; }; \
	  echo "Making .venv with $$("$$python" --version)"; \
	  "$$python" -m venv .venv && touch $@; exit; \
	done; \
	if [ -n "$$without_venv" ]; then \
	  echo "$$without_venv cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv." >&2; \
	else \
	  echo "voicebot needs Python 3.11 or newer, and none was found. Install one, or name it: make PYTHON=/path/to/python run." >&2; \
	fi; \
	exit 1

.venv/.base: $(INPUTS) | .venv/.made
	@echo "Installing voicebot into .venv (once; a minute or so)"
	@[ -t 1 ] || quiet=-q; $(PIP) install $$quiet -c $(PINS) -e .
	@[ -t 1 ] || quiet=-q; $(PIP) install $$quiet --no-deps -r deploy/no-deps.txt \
	  || echo "Silero's voice activity model could not be installed; webrtcvad stands in for it." >&2
	@touch $@

.venv/.dev: .venv/.base
	@echo "Installing the development tools into .venv"
	@[ -t 1 ] || quiet=-q; $(PIP) install $$quiet -c $(PINS) -e '.[dev]'
	@touch $@

.venv-peer/.made: deploy/peer.txt | .venv/.made
	@echo "Installing pipecat into .venv-peer (once; a minute or so)"
	@[ -x .venv-peer/bin/python ] || $(PY) -m venv .venv-peer
	@[ -t 1 ] || quiet=-q; .venv-peer/bin/python -m pip --disable-pip-version-check install $$quiet -r $<
	@touch $@
