# SPDX-License-Identifier: Apache-2.0
"""Starts the segmenter, and with `source:=…` a camera in front of it."""

from pathlib import Path

from kd_yolo_ros.nodes.launching import describe

CONFIG = Path(__file__).resolve().parent.parent / 'config'  # installed as in the repository


def generate_launch_description():
    """Return the segmenter, and the camera where a source is given."""
    masks = [
        ('instance_mask', 'instance_mask', 'Topic of the objects by number (sensor_msgs/Image)'),
        ('semantic_mask', 'semantic_mask', 'Topic of the classes by number (sensor_msgs/Image)'),
    ]
    return describe(CONFIG, 'segmenter', masks)
