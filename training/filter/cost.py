# SPDX-License-Identifier: Apache-2.0
"""What a network costs: parameters and operations of one picture, and minutes of training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..engine.run_folder import RESULTS
from ..models.yolov5 import YOLOv5


class Cost(NamedTuple):
    """Of a network with its batch normalizations folded into the convolutions.

    Attributes:
        parameters: how many.
        gflops: 10^9 operations for one picture; a multiplication with its addition counts as 2.
    """

    parameters: int
    gflops: float


def network_cost(size: str, classes: int, imgsz: tuple[int, int], masks: int = 0) -> Cost:
    """Return the cost of a YOLOv5; nothing is computed.

    Args:
        size: n, s, m, l or x.
        classes: number of classes.
        imgsz: (height, width) of its input, pixels.
        masks: coefficients of a mask; 0 for boxes alone.
    """
    with torch.device('meta'):
        model = YOLOv5(size, classes, masks=masks).fuse()
        picture = torch.empty(1, 3, *imgsz)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(picture)
    return Cost(sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 1e9)


def training_minutes(run: Path) -> float | None:
    """Return how long a run took with its evaluations; None where its folder does not tell."""
    try:
        seconds = [float(row['train_s']) + float(row['evaluate_s']) for row in read_results(run)]
    except (ValueError, KeyError, TypeError):
        return None
    return sum(seconds) / 60 if seconds else None


def read_results(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table, one for each epoch; none where it cannot be read."""
    try:
        with open(run / RESULTS, newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []
