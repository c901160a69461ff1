# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: everything that imports rclpy, and nothing that could live without it."""

from __future__ import annotations

NODES = {'detect': 'detector', 'segment': 'segmenter'}  # by task
