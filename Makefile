# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help
.ONESHELL:
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv/bin
# Tools look for their helpers on PATH (molecule: ansible-playbook). Only after set-up: it needs the Python outside.
WITH_VENV := PATH="$(CURDIR)/$(VENV):$$PATH"
CHECK := $(VENV)/python scripts/check.py

# Bytecode of the shared checkout is written by several Pythons at once in the checks; none of it is worth keeping.
export PYTHONDONTWRITEBYTECODE := 1
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export MOLECULE_GLOB := molecule/*/molecule.yml

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Debian packages, .venv, dependency collections (1 to 5 min cold, 1 s warm)
	@$(PYTHON) scripts/setup.py

.PHONY: setup-extra
setup-extra: ## The same, and the other Pythons and ansible-core that `make test` covers
	@$(PYTHON) scripts/setup.py --extra

.PHONY: check
check: setup ## The quick checks: lint, types, sanity, unit tests (under 3 min warm)
	@$(CHECK) quick

.PHONY: test
test: setup-extra ## Every test: the checks on every Python, the lab, Molecule, the demo (about 45 min)
	@$(CHECK) all

.PHONY: demo
demo: setup ## The main job on a virtual host: 6 min on two quiet cores, image cached; twice that on busy ones
	@$(WITH_VENV) python -m lab.demo

.PHONY: lab-loaders
lab-loaders: setup ## Kernel arguments on every boot loader of the lab, through reboots (FLAVOUR=debian13-unified)
	@$(WITH_VENV) python -m lab.loaders $(addprefix --flavour ,$(FLAVOUR))

.PHONY: lab-binding
lab-binding: setup ## Early binding on a virtual host, through a hardware change and back (FLAVOUR=debian13)
	@$(WITH_VENV) python -m lab.binding $(addprefix --flavour ,$(FLAVOUR))

.PHONY: lab-encrypted
lab-encrypted: setup ## Early binding on a virtual host with an encrypted root, through a power cut and back (FLAVOUR=debian13-luks)
	@$(WITH_VENV) python -m lab.encrypted $(addprefix --flavour ,$(FLAVOUR))

.PHONY: fuzz-iommu
fuzz-iommu: setup ## Random PCI topologies, booted: IOMMU groups as predicted? (N=20, SEED=random, JOBS=2)
	@$(WITH_VENV) python -m lab.fuzz --count $(or $(N),20) --jobs $(or $(JOBS),2) $(if $(SEED),--seed $(SEED))

.PHONY: fuzz-power
fuzz-power: setup ## Power cuts in the middle of a converge: does the host come up? (N=20, SEED=random, JOBS=1)
	@$(WITH_VENV) python -m lab.power --count $(or $(N),20) --jobs $(or $(JOBS),1) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: benchmark
benchmark: setup ## What iommu_groups_facts costs on 10,240 functions, as ratios (some minutes; ARGS=--runs=1)
	@PYTHONPATH=.build/collections:. $(VENV)/python -m tests.benchmarks.iommu_groups_facts $(ARGS)

.PHONY: lab-rollout
lab-rollout: setup ## Three virtual hosts, the second of which panics in its boot on trial (10 to 15 min; BATCH=2: two at a time)
	@$(WITH_VENV) python -m lab.trials.rollout $(if $(BATCH),--batch $(BATCH))

.PHONY: lab-trials
lab-trials: setup ## Boots on trial that fail and come back, and two that stay (FLAVOUR=debian12 CASE=panic)
	@$(WITH_VENV) python -m lab.trials $(addprefix --flavour ,$(FLAVOUR)) $(addprefix --case ,$(CASE))

.PHONY: lab-image
lab-image: setup ## Build the lab's host images, cached by the hash of its recipe (some minutes)
	@$(WITH_VENV) python -m lab build $(FLAVOUR)

.PHONY: molecule-container
molecule-container: setup ## The container scenario: real GRUB and initramfs tools in podman (KEEP=1 leaves it)
	@$(WITH_VENV) molecule test --scenario-name container $(if $(KEEP),--destroy never)

.PHONY: molecule-vm
molecule-vm: setup ## The VM scenario: a lab host with a real IOMMU (KEEP=1 leaves it)
	@$(WITH_VENV) molecule test --scenario-name vm $(if $(KEEP),--destroy never)

.PHONY: format
format: setup ## Let ruff format the Python files and mend what it can
	@$(VENV)/ruff check --fix
	$(VENV)/ruff format

.PHONY: changelog
changelog: setup ## Take the fragments and new modules into the changelog of the version in galaxy.yml
	@$(WITH_VENV) antsibull-changelog release --update-existing --reload-plugins --refresh-plugins --cummulative-release

.PHONY: lock
lock: ## Resolve requirements/*.in into the lock files (ARGS=--upgrade for the newest)
	@PYTHON=$(PYTHON) scripts/lock $(ARGS)

.PHONY: clean
clean: ## Remove what was made in the checkout (lab images and containers stay)
	@rm -rf .build .venv .venv-* .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/output
