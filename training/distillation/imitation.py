# SPDX-License-Identifier: Apache-2.0
"""Fine-grained feature imitation (Wang et al., CVPR 2019, arXiv:1906.03609).

Only cells near objects are imitated: those where some anchor overlaps an object at least psi
times as much as the object's best anchor does.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 64  # objects at a time; bounds the memory of crowded batches


def imitation_mask(
    targets: Tensor,
    anchors: Tensor,
    batch: int,
    cells: tuple[int, int],
    imgsz: tuple[int, int],
    psi: float,
) -> Tensor:
    """Return which cells of a feature map are imitated, (B, H, W) bool.

    Anchors are centred on every cell. For each object: IoU with all of them, the largest is M,
    cells with an IoU of at least psi * M belong to the mask. Of an object that no anchor touches
    (a tiny one between the cells' centres) it is the cell that holds its centre.

    Args:
        targets: (N, 6 or more) picture, class, centre x, centre y, width, height, the last four
            relative to the picture; N may be 0.
        anchors: (K, 2) width and height in pixels.
        batch: pictures.
        cells: rows and columns of the feature map.
        imgsz: height and width of the pictures in pixels.
        psi: 0 to 1.
    """
    rows, columns = cells
    height, width = imgsz
    y = (torch.arange(rows, device=targets.device) + 0.5) * (height / rows)
    x = (torch.arange(columns, device=targets.device) + 0.5) * (width / columns)
    mask = torch.zeros((batch, rows, columns), dtype=torch.bool, device=targets.device)
    scale = targets.new_tensor((width, height, width, height))
    for part in targets.split(CHUNK):
        boxes = part[:, 2:6] * scale
        # Overlaps along each axis alone, (n, K, W) and (n, K, H); their product is the area.
        wide = _overlap(boxes[:, 0], boxes[:, 2], x, anchors[:, 0])
        high = _overlap(boxes[:, 1], boxes[:, 3], y, anchors[:, 1])
        common = high[:, :, :, None] * wide[:, :, None, :]
        areas = boxes[:, 2:].prod(1)[:, None] + anchors.prod(1)[None]
        iou = (common / (areas[:, :, None, None] - common)).amax(1)  # (n, H, W)
        best = iou.amax((1, 2), keepdim=True)
        near = (iou >= psi * best) & (best > 0)
        lost = (best == 0).flatten().nonzero().flatten()
        column, row = (part[lost, 2:4] * part.new_tensor((columns, rows))).long().unbind(1)
        near[lost, row.clamp(0, rows - 1), column.clamp(0, columns - 1)] = True
        # Several objects of a picture: any of them.
        pictures = part[:, 0].long()
        counts = torch.zeros_like(mask, dtype=torch.int32)
        mask |= counts.index_add_(0, pictures, near.int()) > 0
    return mask


def _overlap(centre: Tensor, size: Tensor, cells: Tensor, anchors: Tensor) -> Tensor:
    """Return how long intervals overlap, (n, K, cells), each of n with anchors on all cells."""
    low = torch.maximum((centre - size / 2)[:, None, None], cells - anchors[:, None] / 2)
    high = torch.minimum((centre + size / 2)[:, None, None], cells + anchors[:, None] / 2)
    return (high - low).clamp(min=0)


def imitation_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return each picture's share of the loss, (B,); their mean is that of the batch.

    L = 1 / (2 N) sum over cells of mask, and channels, of (student - teacher)², N being the
    number of cells in the masks of the batch. Without any cell it is 0.

    Args:
        student: (B, C, H, W), adapted.
        teacher: (B, C, H, W).
        mask: (B, H, W).
    """
    squares = (student.float() - teacher.float()).square().sum(1)
    cells = mask.sum().clamp(min=1)
    return (squares * mask).sum((1, 2)) / (2 * cells) * len(mask)
