# The commands of the lab and of the tests. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CDC_LAKEHOUSE_CACHE ?= $(HOME)/.cache/cdc-lakehouse
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Each task of a playbook is a process: without compiled modules it compiles Ansible anew, a third of its time.
unexport PYTHONDONTWRITEBYTECODE

PLAY := ANSIBLE_DISPLAY_SKIPPED_HOSTS=false ansible-playbook
TELL := ANSIBLE_STDOUT_CALLBACK=cdc.lakehouse.screen ansible-playbook
# Servers are waited for half of the time: two at a time keep two cores busy, three only wait for each other.
SIDE_BY_SIDE := pytest -n 2 -v --durations=25
QUICK_LINT := ruff check; mypy; yamllint --strict .; python tools/role_readme.py --check
STARTED := $(shell date +%s)
phase = @printf '\n=== %s · %d s\n' '$(1)' $$(( $$(date +%s) - $(STARTED) ))

.PHONY: help
help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: venv  ## bring up the lab: Docker when missing, three nodes, every service, sample traffic
	$(call phase,Machines)
	@$(PLAY) lab/docker.yml lab/up.yml
	$(call phase,Services)
	@$(PLAY) playbooks/site.yml
	$(call phase,Waiting for the first orders in gold)
	@$(TELL) lab/ready.yml playbooks/status.yml
	@$(MAKE) preview || echo 'The dashboards are not complete; everything else runs. Again: make preview' >&2
	$(call phase,Up)

.PHONY: status
status: venv  ## one screen: services, lag, freshness, latency, disk; FORMAT=json
	@$(TELL) playbooks/status.yml -e status_format=$(or $(FORMAT),text)

.PHONY: verify
verify: venv  ## compare source, silver and gold under live traffic
	@$(TELL) playbooks/verify.yml

.PHONY: sql
sql: override export SQL := $(value SQL)
sql:  ## query through the Thrift Server, CSV on stdout: make sql SQL='select …'
	@[ -n "$$SQL" ] || { echo "Say what to ask: make sql SQL='select * from gold.kpis'" >&2; exit 2; }
	@docker exec cdc-lakehouse-node2 lakehouse-sql "$$SQL"

.PHONY: preview
preview: venv  ## the dashboards with their present numbers, one HTML page in build/
	@$(TELL) playbooks/preview.yml

.PHONY: down
down: venv  ## remove the lab and keep its data; PURGE=1 removes the data too
	@$(PLAY) lab/docker.yml lab/down.yml -e purge=$(if $(filter 1 yes true,$(PURGE)),true,false)

.PHONY: test
test: prepared  ## all tests but the long ones: what CI runs
	@$(SIDE_BY_SIDE)

.PHONY: test-all
test-all: prepared  ## all tests
	@CDC_LONG_TESTS=1 $(SIDE_BY_SIDE)

.PHONY: test-fast
test-fast: jars  ## the quick ones of what needs no Docker, with few examples
	@$(QUICK_LINT)
	@CDC_EXAMPLES=0.02 $(SIDE_BY_SIDE) -m 'not slow' tests/unit tests/spark

# Downloads wait, linters compute.
.PHONY: prepared
prepared: venv-dev
	@$(MAKE) -j 4 image jars browser lint

.PHONY: bench
bench: jars  ## what the work costs: a table, and build/bench/results.json
	@PYTHONPATH=.:files/spark_jobs python -m benchmarks

.PHONY: lint
lint: venv-dev  ## ruff, mypy, yamllint, ansible-lint, and ansible-test sanity on the built collection
	@ansible-lint --offline & wait_for=$$!; $(QUICK_LINT); python tools/sanity.py; wait $$wait_for

.PHONY: image
image: venv  ## build the image of a node, which the Molecule scenarios use
	@$(PLAY) lab/docker.yml lab/image.yml

.PHONY: jars
jars: venv-dev
	@$(PLAY) lab/jars.yml

.PHONY: browser
browser: venv
	@$(PLAY) lab/browser.yml

.PHONY: lock
lock: venv-dev  ## resolve the Python environment and the artifacts anew
	@python3 tools/bootstrap.py uv lock --upgrade
	@python tools/lock_artifacts.py

.PHONY: venv
venv: .venv/ready  ## the controller's Python environment, as uv.lock has it

.PHONY: venv-dev
venv-dev: .venv/ready-dev  ## with what the tests need

# The tests' packages are five times as large as those of the playbooks.
.venv/ready .venv/ready-dev: pyproject.toml uv.lock tools/bootstrap.py tools/bootstrap-requirements.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) python
	@python3 tools/bootstrap.py $(if $(findstring dev,$@),--dev)
	@touch $@

.venv/ready-dev: .venv/ready

.PHONY: python
python:
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
	  echo 'Python with its venv module is missing. Install it (Debian, Ubuntu: apt-get install python3-venv), or run make as root.' >&2; exit 1; }
	@apt-get -q update && apt-get -qy install --no-install-recommends ca-certificates python3 python3-venv
