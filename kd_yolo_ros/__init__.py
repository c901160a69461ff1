# SPDX-License-Identifier: Apache-2.0
"""Quantized YOLOv5 detection on ROS 2 camera topics; the parts outside nodes/ need no ROS."""

from __future__ import annotations

import os

# From 1.29 on, ONNX Runtime reports its use over the network unless it is told not to before it
# is imported. A vehicle's computer should not, unless its owner says so.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
