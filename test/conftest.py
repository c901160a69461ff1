# SPDX-License-Identifier: Apache-2.0
"""What every test shares: the real data, and a ROS graph of its own for each test process."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def _isolate_ros() -> None:
    """Keep this process and its children apart from every other ROS graph.

    Runs at import, because rclpy reads the environment once. A pytest-xdist worker imports
    this file in its own process and so gets its own domain. 0-101 are the domains whose ports
    lie outside Linux' ephemeral range (docs.ros.org, "The ROS_DOMAIN_ID").
    """
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)  # where the ROS wheels have their index
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 101)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    logs = tempfile.mkdtemp(prefix='kd_yolo_ros_log_')
    atexit.register(shutil.rmtree, logs, ignore_errors=True)
    os.environ['ROS_LOG_DIR'] = logs


_isolate_ros()


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The folder with real weights, drives and data sets; skips the test where there is none."""
    named = os.environ.get('KD_YOLO_DATA')
    folder = Path(named) if named else REPOSITORY.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no real data: {folder} does not exist (set KD_YOLO_DATA)')
    return folder.resolve()
