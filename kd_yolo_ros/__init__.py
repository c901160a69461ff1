# SPDX-License-Identifier: Apache-2.0
"""Quantized YOLOv5 detection on ROS 2 camera topics; the parts outside nodes/ need no ROS."""

from __future__ import annotations

import os
import sys

# From 1.29 on, ONNX Runtime reports its use over the network unless it is told not to before it
# is imported. A vehicle's computer should not, unless its owner says so.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
# The same for NNCF, whose switch is the variable for its own tests, and for OpenVINO's converter,
# which has none: both do without the package that reports, if it cannot be imported. Import
# openvino_telemetry before this package to have them report.
os.environ.setdefault('NNCF_CI', '1')
sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
