# SPDX-License-Identifier: Apache-2.0
"""Starts the detector, and with `source:=…` a camera in front of it."""

from pathlib import Path

from kd_yolo_ros.nodes.launching import describe

CONFIG = Path(__file__).resolve().parent.parent / 'config'  # installed as in the repository


def generate_launch_description():
    """Return the detector, and the camera where a source is given."""
    return describe(CONFIG, 'detector')
