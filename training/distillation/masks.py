# SPDX-License-Identifier: Apache-2.0
"""Distillation of the masks that the cells of a segmentation head compose.

Coefficients and prototypes are not compared: with any invertible matrix on the one side and its
inverse on the other, they give the same masks, so that two networks have no reason to agree on
them. Their product is what both mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses.detection import DetectionLoss
from ..losses.mask_crops import (
    Crops,
    answers_of,
    compare,
    compose,
    gather,
    picture_means,
)
from .soft_targets import binary_divergence


def mask_loss(
    student: tuple[Tensor, ...],
    teacher: tuple[Tensor, ...],
    targets: Tensor,
    loss: DetectionLoss,
) -> Tensor:
    """Return each picture's loss, (B,).

    At every cell that answers for an object: the divergence of the student's mask from the
    teacher's in the same cell, added up over the object's box and divided by the box's area.
    Means and gain are those of masks in the segmentation loss, with the teacher's mask in the
    place of the label's; equals give 0. Objects whose own mask is not known count too.

    Args:
        student: its head's outputs: three levels and the prototypes.
        teacher: the same, with the same anchors; it may have another number of prototypes.
        targets: as in `DetectionLoss`.
        loss: the student's, which says what cells answer.
    """
    *raw, protos = student
    *their_raw, their_protos = teacher
    levels = loss.match(tuple(raw), targets)
    answers = answers_of(levels, protos.shape[1])
    with torch.no_grad():
        their_levels = loss.match(tuple(their_raw), targets)
        theirs = answers_of(their_levels, their_protos.shape[1]).coefficients

    def difference(crops: Crops, logits: Tensor) -> Tensor:
        (part,) = gather(their_protos, [crops])
        return binary_divergence(logits, compose(theirs, crops, part))

    values = compare(targets, answers, protos, difference)
    return loss.gains.box * picture_means(values, answers, len(levels), len(protos))
