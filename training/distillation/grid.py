# SPDX-License-Identifier: Apache-2.0
"""The outputs of all levels of a head, taken apart; teacher and student answer cell by cell."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..models.detect import Detect

LEAST_SIZE = 0.01  # cells; overlap and logarithm of boxes without a size are no numbers


class Cells(NamedTuple):
    """Every cell and anchor of one level, M for each picture.

    Attributes:
        boxes: (B, M, 4) centre in cells relative to the cell, and size in cells.
        objectness: (B, M) logits.
        classes: (B, M, classes) logits.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor


def cells_of(head: Detect, outputs: tuple[Tensor, ...]) -> list[Cells]:
    """Return the levels of a head's raw outputs (B, A * (5 + classes + masks), H, W) in float32.

    Coefficients and prototypes of masks, which say nothing by themselves, are left out.
    """
    levels, classes = [], slice(5, 5 + head.classes)
    for output, anchors in zip(outputs[: len(head.anchors)], head.anchors, strict=True):
        grid = output.float().view(len(output), len(anchors), -1, *output.shape[2:])
        rows = grid.flatten(3).transpose(2, 3)
        values = rows[..., :4].sigmoid() * 2
        size = values[..., 2:4].square() * anchors[None, :, None]
        size = size.clamp(min=LEAST_SIZE)
        boxes = torch.cat((values[..., :2] - 0.5, size), -1)
        levels.append(
            Cells(boxes.flatten(1, 2), rows[..., 4].flatten(1), rows[..., classes].flatten(1, 2))
        )
    return levels
