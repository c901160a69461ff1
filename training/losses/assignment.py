# SPDX-License-Identifier: Apache-2.0
"""Which cells and anchors answer for which objects: YOLOv5's matching by shape.

An anchor answers for an object when neither width nor height differ by more than a factor; it
does so in the cell that holds the object's centre and in the two nearest neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ANCHOR_RATIO = 4.0  # YOLOv5's anchor_t
NEIGHBOUR_REACH = 0.5  # cells; a centre nearer than this to a border is shared across it


class Positives(NamedTuple):
    """The cells of one level that answer for an object, M of them.

    Attributes:
        target: (M,) row of the targets.
        picture: (M,) index into the batch.
        anchor: (M,) index into the level's anchors.
        row, column: (M,) cell.
        boxes: (M, 4) the object's centre relative to that cell, and its size, in cells.
        anchors: (M, 2) width and height of the anchor, in cells.
        class_ids: (M,).
        weights: (M,) how certain their labels are, 1 for a person's.
    """

    target: Tensor
    picture: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    boxes: Tensor
    anchors: Tensor
    class_ids: Tensor
    weights: Tensor


def assign(
    targets: Tensor, anchors: Tensor, height: int, width: int, ratio: float = ANCHOR_RATIO
) -> Positives:
    """Match objects to one level of the pyramid.

    Args:
        targets: (N, 6) picture, class, centre x, centre y, width, height; the last four are
            relative to the picture. A seventh column holds the weights of soft labels, in 0..1;
            without it all are 1.
        anchors: (A, 2) width and height, in cells of this level.
        height: cells of this level, from top to bottom.
        width: cells of this level, from left to right.
        ratio: the largest factor between the sides of an object and those of its anchor.
    """
    cells = targets.new_tensor((width, height))
    centre, size = targets[:, 2:4] * cells, targets[:, 4:6] * cells
    factor = size[None] / anchors[:, None]  # (A, N, 2)
    fits = torch.maximum(factor, 1 / factor).amax(2) < ratio
    anchor, target = fits.nonzero(as_tuple=True)
    centre, size = centre[target], size[target]

    # A centre in the left half of its cell also belongs to the cell on the left, and so on; the
    # picture's border has no neighbour. `1 <` and not `0 <`: the neighbour has to exist.
    left_top = (centre % 1 < NEIGHBOUR_REACH) & (centre > 1)
    rest = cells - centre
    right_bottom = (rest % 1 < NEIGHBOUR_REACH) & (rest > 1)
    steps = targets.new_tensor(((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1)))
    shared = torch.stack(
        (
            torch.ones_like(anchor, dtype=torch.bool),
            left_top[:, 0],
            left_top[:, 1],
            right_bottom[:, 0],
            right_bottom[:, 1],
        )
    )
    step, which = shared.nonzero(as_tuple=True)
    anchor, target, centre, size = anchor[which], target[which], centre[which], size[which]

    # The cell across the nearer border is the one that half a cell further in that direction hits.
    cell = (centre + steps[step] * NEIGHBOUR_REACH).long()
    cell = torch.minimum(cell.clamp(min=0), cells.long() - 1)
    column, row = cell.unbind(1)
    return Positives(
        target=target,
        picture=targets[target, 0].long(),
        anchor=anchor,
        row=row,
        column=column,
        boxes=torch.cat((centre - cell, size), 1),
        anchors=anchors[anchor],
        class_ids=targets[target, 1].long(),
        weights=targets[target, 6] if targets.shape[1] > 6 else torch.ones_like(centre[:, 0]),
    )
