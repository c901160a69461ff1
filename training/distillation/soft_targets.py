# SPDX-License-Identifier: Apache-2.0
"""Objectness-scaled soft targets (Mehta and Ozturk, 2018, arXiv:1805.06361), for YOLOv5's head.

Most cells of a teacher say nothing; its objectness says which of its boxes and classes count.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..losses.detection import LEVEL_BALANCE, Gains
from .grid import Cells


def soft_target_loss(student: list[Cells], teacher: list[Cells], gains: Gains) -> Tensor:
    """Return each picture's loss, (B,).

    The parts and their gains are those of the detection loss, with the teacher's answers in the
    place of labels, o its objectness:
    objectness: mean over cells of D(o, student);
    classes: sum of o D(class, student) / sum of o, mean over classes;
    boxes: sum of o |box - student|² / sum of o, box being the centre in cells and the logarithm
    of the size in cells.
    The division by the sum of o and the logarithm are ours: pictures count alike, and so do
    small and large boxes. D is the binary cross-entropy less the teacher's own entropy, so that
    equals give 0.

    Args:
        student: its levels.
        teacher: the same, with the same anchors and classes.
        gains: of the detection loss.
    """
    total = student[0].objectness.new_zeros(len(student[0].objectness))
    for mine, theirs, balance in zip(student, teacher, LEVEL_BALANCE, strict=True):
        weight = theirs.objectness.sigmoid()
        mass = weight.sum(1).clamp(min=1)
        objectness = binary_divergence(mine.objectness, theirs.objectness).mean(1)
        total = total + gains.objectness * balance * objectness
        if mine.classes.shape[2] > 1:  # of a single class, objectness says all
            classes = binary_divergence(mine.classes, theirs.classes).mean(2)
            total = total + gains.classes * (weight * classes).sum(1) / mass
        difference = box_difference(mine.boxes, theirs.boxes)
        total = total + gains.box * (weight * difference).sum(1) / mass
    return total


def binary_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL of two Bernoulli distributions given as logits, element by element."""
    wanted = teacher.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(student, wanted, reduction='none')
    own = functional.binary_cross_entropy_with_logits(teacher, wanted, reduction='none')
    return cross - own


def box_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared difference of centres in cells and of the logarithms of sizes, (B, M)."""
    centre = (student[..., :2] - teacher[..., :2]).square().sum(-1)
    size = (student[..., 2:] / teacher[..., 2:]).log().square().sum(-1)
    return centre + size
