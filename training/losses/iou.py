# SPDX-License-Identifier: Apache-2.0
"""Complete IoU of pairs of boxes (Zheng et al., Distance-IoU Loss, AAAI 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-7


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return CIoU of boxes given as centre and size, pair by pair.

    CIoU = IoU - d² / c² - alpha v: d is the distance of the centres, c the diagonal of the
    smallest box around both, v the difference of the aspect ratios and
    alpha = v / (1 - IoU + v), which is a constant to the gradient, as in the paper.

    Args:
        a: (N, 4) x y w h, of any unit.
        b: (N, 4), of the same.

    Returns:
        (N,) values in -1.5..1.
    """
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.unbind(1), b.unbind(1)
    a_left, a_right, a_top, a_bottom = ax - aw / 2, ax + aw / 2, ay - ah / 2, ay + ah / 2
    b_left, b_right, b_top, b_bottom = bx - bw / 2, bx + bw / 2, by - bh / 2, by + bh / 2
    width = (torch.minimum(a_right, b_right) - torch.maximum(a_left, b_left)).clamp(min=0)
    height = (torch.minimum(a_bottom, b_bottom) - torch.maximum(a_top, b_top)).clamp(min=0)
    overlap = width * height
    iou = overlap / (aw * ah + bw * bh - overlap + EPS)
    hull_width = torch.maximum(a_right, b_right) - torch.minimum(a_left, b_left)
    hull_height = torch.maximum(a_bottom, b_bottom) - torch.minimum(a_top, b_top)
    diagonal2 = hull_width**2 + hull_height**2 + EPS
    distance2 = (ax - bx) ** 2 + (ay - by) ** 2
    angle = torch.atan(bw / (bh + EPS)) - torch.atan(aw / (ah + EPS))
    v = (4 / math.pi**2) * angle**2
    alpha = (v / (1 - iou + v + EPS)).detach()
    return iou - distance2 / diagonal2 - alpha * v
