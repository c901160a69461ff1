# SPDX-License-Identifier: Apache-2.0
"""A trained network that a student learns from: frozen, in eval mode, without gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kd_yolo_ros.errors import UserError

from ..models.checkpoint import Checkpoint
from ..models.layout import HEAD_INPUTS
from ..models.yolov5 import YOLOv5

PROBE = 64  # pixels of the picture that tells how many channels a layer has


class Teacher:
    """A teacher. It is no `nn.Module`: nothing that trains, averages or saves may reach it.

    Args:
        model: with trained weights, on the device of the student.
    """

    def __init__(self, model: YOLOv5) -> None:
        self.model = model.fuse().requires_grad_(False)

    @torch.no_grad()
    def __call__(
        self, images: Tensor, layers: Sequence[int]
    ) -> tuple[dict[int, Tensor], tuple[Tensor, ...]]:
        """Return what `look` returns, for the student's own pictures."""
        return look(self.model, images, layers)


def look(
    model: YOLOv5, images: Tensor, layers: Sequence[int]
) -> tuple[dict[int, Tensor], tuple[Tensor, ...]]:
    """Return a network's maps of some layers, by layer, and the head's raw outputs.

    Args:
        model: the network.
        images: (B, 3, H, W) float, RGB in 0..1.
        layers: whose maps are wanted; the others' memory is free again.
    """
    features = model.features(images)
    outputs = model.head([features[index] for index in HEAD_INPUTS])
    return {layer: features[layer] for layer in layers}, outputs


@torch.no_grad()
def channels_of(model: YOLOv5) -> list[int]:
    """Return the channels of every layer before the head."""
    training = model.training
    images = torch.zeros(1, 3, PROBE, PROBE, device=model.head.anchors.device)
    channels = [features.shape[1] for features in model.eval().features(images)]
    model.train(training)
    return channels


def check_answers(
    teachers: Sequence[Checkpoint], names: Sequence[str], anchors: Tensor, masks: bool = False
) -> None:
    """Refuse teachers whose answers a student cannot be compared with.

    Args:
        teachers: one or more.
        names: the student's classes.
        anchors: the student's, (levels, A, 2) pixels.
        masks: whether masks are among the answers.

    Raises:
        UserError: other classes or other anchors than the student's, or no masks.
    """
    for teacher in teachers:
        if masks and not teacher.masks:
            raise UserError(
                'a teacher finds boxes alone, of which no mask can be learnt; give one that was '
                'trained with --task segment, or leave out --distil-masks.'
            )
        if tuple(teacher.names or ()) != tuple(names):
            raise UserError(
                'the teacher has other classes than the data; train it on the same classes in '
                'the same order, or distil features only (imitation, cwd, pkd).'
            )
        if not torch.allclose(teacher.anchors, anchors, rtol=1e-3):
            raise UserError(
                'student and teachers have different anchors; train them with --anchors of one '
                'of them, or distil features only (imitation, cwd, pkd).'
            )
