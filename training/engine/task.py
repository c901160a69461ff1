# SPDX-License-Identifier: Apache-2.0
"""What a step of training computes: pictures and labels in, a loss with named parts out."""

from __future__ import annotations

from torch import Tensor, nn

from ..losses.detection import DetectionLoss
from ..models.yolov5 import YOLOv5


class DetectionTask(nn.Module):
    """Plain training of a detector, or of one that finds masks too.

    Other tasks (a student with a teacher) have the same `model` and the same answer; everything
    of theirs that has parameters with gradients is optimized and saved along.

    Args:
        model: the network that is trained.
        loss: of its raw outputs.
        freeze: the first layers, this many, keep their weights and their statistics.

    Attributes:
        epoch: where the run is, with its fraction; the loop sets it before each step.
    """

    epoch = 0.0

    def __init__(self, model: YOLOv5, loss: DetectionLoss, freeze: int = 0) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self._frozen = list(model.model[:freeze])
        for layer in self._frozen:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> DetectionTask:
        """Switch to training, all but the frozen layers: their statistics stay too."""
        super().train(mode)
        for layer in self._frozen:
            layer.eval()
        return self

    def forward(self, images: Tensor, targets: Tensor, *masks: Tensor) -> dict[str, Tensor]:
        """Return `loss` and its parts.

        Args:
            images: (B, 3, S, S) float, RGB in 0..1.
            targets: as in `DetectionLoss`.
            masks: one tensor where masks are learnt, as in `SegmentationLoss`.
        """
        return self.loss(self.model(images), targets, *masks)
