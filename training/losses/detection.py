# SPDX-License-Identifier: Apache-2.0
"""The YOLOv5 detection loss: boxes by CIoU, objectness and classes by cross-entropy.

Definition: YOLOv5 v6.0 to v7.0 (Jocher et al., doi:10.5281/zenodo.5563715). Soft labels, which
are not part of it, follow the idea of Efficient Teacher (Xu et al., 2023, arXiv 2302.07577): the
cell of an uncertain label is asked for its score, not for certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.detect import Detect
from .assignment import ANCHOR_RATIO, Positives, assign
from .iou import complete_iou

# Objectness of the levels: the finest has most cells and hence the smallest mean.
LEVEL_BALANCE = (4.0, 1.0, 0.4)

# The published gains are for these; others are scaled to them.
REFERENCE_LEVELS = 3
REFERENCE_CLASSES = 80
REFERENCE_SIDE = 640


@dataclass(frozen=True)
class Gains:
    """The parts' weights, for 3 levels, 80 classes and 640 pixels."""

    box: float = 0.05
    objectness: float = 1.0
    classes: float = 0.5


class Matches(NamedTuple):
    """What one level of a head says, and where it answers for objects.

    Attributes:
        grid: (B, A, values, H, W) logits, an anchor's values as in `Detect`.
        found: the cells that answer, M of them.
        rows: (M, values) what they say.
    """

    grid: Tensor
    found: Positives
    rows: Tensor


class DetectionLoss(nn.Module):
    """The loss of a detection head's raw outputs.

    Where several objects claim one cell and anchor, its objectness target is the largest of
    their overlaps; "the last one written", as first published, depends on the order of labels.

    A label of weight w, which is 1 but for soft labels, counts as w labels: of a level with M
    claims the box part is Σ w (1 - CIoU) / Σ w, the class part Σ w BCE / Σ w, and the objectness
    target of a claimed cell is w · CIoU (at least 0).

    Args:
        head: its anchors, strides and number of classes are taken.
        imgsz: side of the square input in pixels; the gain of objectness grows with its area.
        gains: weights of the parts.
        label_smoothing: classes are pushed to 1 - s/2 and s/2 instead of 1 and 0.
        class_weights: (classes,) with mean 1, on the class part only; None for equal ones.
        anchor_ratio: see `assign`.
    """

    def __init__(
        self,
        head: Detect,
        imgsz: int,
        gains: Gains | None = None,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        anchor_ratio: float = ANCHOR_RATIO,
    ) -> None:
        super().__init__()
        gains = gains or Gains()
        levels = REFERENCE_LEVELS / len(head.strides)
        self.classes = head.classes
        self.gains = Gains(
            gains.box * levels,
            gains.objectness * levels * (imgsz / REFERENCE_SIDE) ** 2,
            gains.classes * levels * head.classes / REFERENCE_CLASSES,
        )
        self.positive = 1 - label_smoothing / 2
        self.negative = label_smoothing / 2
        self.anchor_ratio = anchor_ratio
        self.register_buffer('anchors', head.anchors.detach().clone())
        weights = torch.ones(head.classes) if class_weights is None else class_weights
        self.register_buffer('class_weights', weights.float().to(head.anchors.device))

    def forward(self, outputs: tuple[Tensor, ...], targets: Tensor) -> dict[str, Tensor]:
        """Return `loss` (to be minimized: the sum of the parts times the batch) and its parts.

        Args:
            outputs: of the head: (B, A * (5 + classes + …), H, W) logits for each level.
            targets: (N, 6) picture, class, centre x, centre y, width, height, the last four
                relative to the picture; (N, 7) with weights in 0..1, above 0, behind. N may be 0.

        Returns:
            {'loss', 'box', 'objectness', 'classes'}: scalars; the parts are weighted, detached
            and for one picture.
        """
        return self.total(self.match(outputs, targets))

    def match(self, outputs: tuple[Tensor, ...], targets: Tensor) -> list[Matches]:
        """Return what each level says, and which of its cells answer for which objects.

        Args:
            outputs: as in `forward`, also of another head with the same anchors.
            targets: as in `forward`.
        """
        levels = []
        for output, anchors in zip(outputs, self.anchors, strict=True):
            batch, _, height, width = output.shape
            grid = output.float().view(batch, len(anchors), -1, height, width)
            found = assign(targets, anchors, height, width, self.anchor_ratio)
            rows = grid[found.picture, found.anchor, :, found.row, found.column]
            levels.append(Matches(grid, found, rows))
        return levels

    def total(self, levels: list[Matches]) -> dict[str, Tensor]:
        """Return what `forward` does, of what `match` gave."""
        batch = len(levels[0].grid)
        box = levels[0].grid.new_zeros(())
        objectness, classes = box.clone(), box.clone()
        for level, balance in zip(levels, LEVEL_BALANCE, strict=True):
            part = self._level(*level)
            box = box + part[0]
            objectness = objectness + balance * part[1]
            classes = classes + part[2]
        box = self.gains.box * box
        objectness = self.gains.objectness * objectness
        classes = self.gains.classes * classes
        return {
            'loss': (box + objectness + classes) * batch,
            'box': box.detach(),
            'objectness': objectness.detach(),
            'classes': classes.detach(),
        }

    def _level(
        self, grid: Tensor, found: Positives, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, anchors, _, height, width = grid.shape
        wanted = grid.new_zeros(grid[:, :, 4].shape)
        box = classes = grid.new_zeros(())
        if len(found.picture):
            centre = rows[:, :2].sigmoid() * 2 - 0.5
            size = (rows[:, 2:4].sigmoid() * 2) ** 2 * found.anchors
            iou = complete_iou(torch.cat((centre, size), 1), found.boxes)
            # Relative to their mean; the factor is exactly 1 where all weights are.
            shares = found.weights * (len(found.weights) / found.weights.sum())
            box = (shares * (1 - iou)).mean()
            place = (found.picture * anchors + found.anchor) * height + found.row
            asked = found.weights * iou.detach().clamp(min=0)
            wanted.view(-1).scatter_reduce_(0, place * width + found.column, asked, 'amax')
            if self.classes > 1:  # of a single class, objectness says all
                names = slice(5, 5 + self.classes)
                classes = self._classes(rows[:, names], found.class_ids, shares)
        objectness = functional.binary_cross_entropy_with_logits(grid[:, :, 4], wanted)
        return box, objectness, classes

    def _classes(self, logits: Tensor, class_ids: Tensor, shares: Tensor) -> Tensor:
        wanted = torch.full_like(logits, self.negative)
        wanted[torch.arange(len(class_ids), device=logits.device), class_ids] = self.positive
        return functional.binary_cross_entropy_with_logits(
            logits, wanted, weight=(self.class_weights[class_ids] * shares)[:, None]
        )
