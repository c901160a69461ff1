# SPDX-License-Identifier: Apache-2.0
"""Binary-classification distillation, BCKD (Yang et al., ICCV 2023, arXiv:2308.14286).

Sigmoid scores are not softmax scores: each class of each cell is a binary problem of its own,
and counts as much as student and teacher differ there. Boxes follow by their overlap.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..losses.iou import complete_iou
from .grid import Cells

LEAST = 0.05  # of the teacher's objectness, below which its box is not looked at


def score_loss(student: list[Cells], teacher: list[Cells]) -> Tensor:
    """Return each picture's loss of its scores, (B,).

    With p = objectness * class probability, the score that detections have:
    sum over cells and classes of |p_t - p_s| BCE(p_s, p_t) / sum over cells of the largest p_t.
    The weight is no path for gradients; equals give 0. The paper has scores of one part, and
    divides by the number of positives.

    Args:
        student: its levels.
        teacher: the same, with the same anchors and classes.
    """
    total = student[0].objectness.new_zeros(len(student[0].objectness))
    mass = total.clone()
    for mine, theirs in zip(student, teacher, strict=True):
        log_score, log_rest = _log_scores(mine)
        wanted = theirs.objectness.sigmoid()[..., None] * theirs.classes.sigmoid()
        entropy = -(wanted * log_score + (1 - wanted) * log_rest)
        weight = (wanted - log_score.detach().exp()).abs()
        total = total + (weight * entropy).sum((1, 2))
        mass = mass + wanted.amax(2).sum(1)
    return total / mass.clamp(min=1)


def box_loss(student: list[Cells], teacher: list[Cells]) -> Tensor:
    """Return each picture's loss of its boxes, (B,).

    Sum over cells of o (1 - IoU) / sum of o, o being the teacher's objectness (where the paper
    takes the gap of scores, an anchor head says it itself) and IoU the complete one of student's
    and teacher's box. Cells of which the teacher sees nothing are left out.

    Args:
        student: its levels.
        teacher: the same, with the same anchors.
    """
    total = student[0].objectness.new_zeros(len(student[0].objectness))
    mass = total.clone()
    for mine, theirs in zip(student, teacher, strict=True):
        weight = theirs.objectness.sigmoid()
        picture, cell = (weight > LEAST).nonzero(as_tuple=True)
        weight = weight[picture, cell]
        iou = complete_iou(mine.boxes[picture, cell], theirs.boxes[picture, cell])
        total = total.index_add(0, picture, weight * (1 - iou))
        mass = mass.index_add(0, picture, weight)
    return total / mass.clamp(min=1)


def _log_scores(cells: Cells) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the scores and of 1 - score, (B, M, classes).

    With logits o and c: 1 - s(o) s(c) = s(-o) + s(o) s(-c), which stays exact where s is near 1.
    """
    objectness = cells.objectness[..., None]
    log_objectness = functional.logsigmoid(objectness)
    log_score = log_objectness + functional.logsigmoid(cells.classes)
    log_rest = torch.logaddexp(
        functional.logsigmoid(-objectness).expand_as(log_score),
        log_objectness + functional.logsigmoid(-cells.classes),
    )
    return log_score, log_rest
