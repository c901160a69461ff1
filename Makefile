# SPDX-License-Identifier: Apache-2.0
# `make test` and `make demo` do all their own set-up; a second run starts in seconds.
#
#   make demo                                                  a generated drive; no PyTorch needed
#   make demo MODEL=my.pt DRIVE=my.mp4 CALIBRATION=pictures/   your own model and drive
#   make test PYTHON=python3.12 TESTS=test/nodes               another Python; some of the tests
#   make test WORKERS=0                                        one after another, in one process
#   TORCH_INDEX_URL=…                                          where the CPU build of torch lies

PYTHON ?= python3
TESTS ?= test
WORKERS ?= logical
VENV := $(CURDIR)/.venv
VENV_PYTHON := $(VENV)/bin/python

# ROS: the wheels are found through the ament index of .venv; nothing leaves this machine.
ifeq ($(ROS_DISTRO),)
export AMENT_PREFIX_PATH := $(VENV)
endif
ifeq ($(ROS_DISTRO),humble)
export ROS_LOCALHOST_ONLY := 1
else
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
endif

ifeq ($(KD_YOLO_DATA),)
ifneq ($(wildcard ../shared/data),)
export KD_YOLO_DATA := $(abspath ../shared/data)
endif
endif

export MODEL DRIVE CALIBRATION

.PHONY: demo format lint runtime setup slow test
.DEFAULT_GOAL := test

setup:
	@"$(PYTHON)" scripts/setup_environment.py

runtime:  # what runs models; `make setup` completes it
	@"$(PYTHON)" scripts/setup_environment.py --only runtime

test: setup
	@"$(VENV_PYTHON)" -m pytest -q -m 'not slow' -n $(WORKERS) --maxprocesses 4 --dist loadfile $(TESTS)

slow: setup  # experiments of a quarter of an hour each
	@"$(VENV_PYTHON)" -m pytest -s -m slow $(TESTS)

ifeq ($(KD_YOLO_DATA)$(MODEL)$(DRIVE)$(CALIBRATION),)
demo: runtime
else
demo: setup
endif
	@"$(VENV_PYTHON)" scripts/demo.py

lint: setup
	@"$(VENV_PYTHON)" -m ruff check
	@"$(VENV_PYTHON)" -m ruff format --check
	@"$(VENV_PYTHON)" -m mypy

format: setup
	@"$(VENV_PYTHON)" -m ruff check --fix
	@"$(VENV_PYTHON)" -m ruff format
