# SPDX-License-Identifier: Apache-2.0
"""YOLOv5's sizes, strides, levels and tasks: what is known without loading PyTorch."""

from __future__ import annotations

# Size: share of the bottlenecks, share of the channels.
SIZES = {
    'n': (0.33, 0.25),
    's': (0.33, 0.50),
    'm': (0.67, 0.75),
    'l': (1.00, 1.00),
    'x': (1.33, 1.25),
}

STRIDES = (8, 16, 32)  # pixels of a cell for each level of the pyramid

# The layers whose outputs the head reads, at these strides.
HEAD_INPUTS = (17, 20, 23)

# What is learnt, and the numbers that an anchor of a public checkpoint has for its mask.
TASKS = {'detect': 0, 'segment': 32}
