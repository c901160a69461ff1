# SPDX-License-Identifier: Apache-2.0
"""Quantized YOLOv5 detection on ROS 2 camera topics; the parts outside nodes/ need no ROS."""
