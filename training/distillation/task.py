# SPDX-License-Identifier: Apache-2.0
"""A step of a student: the detection loss, and what its teachers add to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..engine.task import DetectionTask
from ..losses.detection import DetectionLoss
from ..models.yolov5 import YOLOv5
from .adapters import Adapters
from .binary import box_loss, score_loss
from .channel_wise import channel_wise_loss
from .grid import cells_of
from .imitation import imitation_loss, imitation_mask
from .masks import mask_loss
from .pearson import pearson_loss
from .schedule import strength
from .settings import ANSWERS, Distillation
from .soft_targets import soft_target_loss
from .teacher import Teacher, channels_of, look


class DistillationTask(DetectionTask):
    """Training of a student.

    The total is (detection loss + sum of gain * term) times the batch, as in the detection loss
    itself; a term is the mean of its values for the pictures, weighted over the teachers.
    The adapters are submodules: they are optimized, clipped, saved and resumed with the student.

    Args:
        model: the student.
        loss: of its raw outputs.
        teachers: with its anchors and classes where answers are distilled.
        settings: what is distilled.
        end: the first epoch without a teacher.
        anchors: (K, 2) pixels, for the mask of imitation.
        freeze: see `DetectionTask`.
        seed: of the adapters.
    """

    def __init__(
        self,
        model: YOLOv5,
        loss: DetectionLoss,
        teachers: Sequence[Teacher],
        settings: Distillation,
        end: int,
        anchors: Tensor,
        freeze: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, loss, freeze)
        self.teachers = tuple(teachers)
        self.settings = settings
        self.end = end
        self.gains = settings.gains
        self.shares = settings.shares(len(self.teachers))
        self.register_buffer('imitation_anchors', anchors.float())
        layers: set[int] = set()
        if 'imitation' in self.gains:
            layers.update(settings.imitated)
        if 'cwd' in self.gains or 'pkd' in self.gains:
            layers.update(settings.compared)
        self.layers = tuple(sorted(layers))
        mine = channels_of(model)
        self.adapters = nn.ModuleList()
        for number, teacher in enumerate(self.teachers):
            theirs = channels_of(teacher.model)
            pairs = {layer: (mine[layer], theirs[layer]) for layer in self.layers}
            self.adapters.append(Adapters(pairs, seed + number))

    def forward(self, images: Tensor, targets: Tensor, *masks: Tensor) -> dict[str, Tensor]:
        """Return `loss`, the parts of the detection loss, and `distil_…`, each term without gain.

        Without a teacher, before and after its epochs, the terms are not computed and given as 0.

        Args:
            images: (B, 3, S, S) float, RGB in 0..1.
            targets: as in `DetectionLoss`.
            masks: one tensor where masks are learnt, as in `SegmentationLoss`.
        """
        settings = self.settings
        factor = strength(self.epoch, self.end, settings.distil_warmup, settings.distil_schedule)
        features, outputs = look(self.model, images, self.layers)
        parts = self.loss(outputs, targets, *masks)
        if factor == 0:
            # Several processes wait for gradients of all parameters, those of adapters too.
            idle = sum(p.sum() for p in self.adapters.parameters()) * 0
            off = {f'distil_{name}': outputs[0].new_zeros(()) for name in self.gains}
            return {**parts, **off, 'loss': parts['loss'] + idle}
        answers = [teacher(images, self.layers) for teacher in self.teachers]
        shares = self._shares(answers, len(images), targets, *masks)
        near = self._near(features, targets, images) if 'imitation' in self.gains else {}
        total = parts['loss']
        for number, (their_features, their_outputs) in enumerate(answers):
            terms = self._terms(number, features, outputs, their_features, their_outputs, near)
            if 'masks' in self.gains:
                terms['masks'] = mask_loss(outputs, their_outputs, targets, self.loss)
            for name, values in terms.items():
                term = (shares[number] * values).mean()
                total = total + self.gains[name] * factor * term * len(images)
                key = f'distil_{name}'
                parts[key] = parts.get(key, 0) + term.detach()
        return {**parts, 'loss': total}

    def _terms(
        self,
        number: int,
        features: dict[int, Tensor],
        outputs: tuple[Tensor, ...],
        their_features: dict[int, Tensor],
        their_outputs: tuple[Tensor, ...],
        near: dict[int, Tensor],
    ) -> dict[str, Tensor]:
        """Return the values for the pictures, (B,), of every term but masks beside one teacher."""
        settings, terms = self.settings, {}
        adapted = {layer: self.adapters[number](layer, features[layer]) for layer in self.layers}
        if 'imitation' in self.gains:
            terms['imitation'] = sum(
                imitation_loss(adapted[layer], their_features[layer], near[layer])
                for layer in settings.imitated
            )
        if 'cwd' in self.gains:
            terms['cwd'] = sum(
                channel_wise_loss(adapted[layer], their_features[layer], settings.cwd_tau)
                for layer in settings.compared
            )
        if 'pkd' in self.gains:
            terms['pkd'] = sum(
                pearson_loss(adapted[layer], their_features[layer]) for layer in settings.compared
            )
        if self.gains.keys() & ANSWERS:
            mine = cells_of(self.model.head, outputs)
            theirs = cells_of(self.teachers[number].model.head, their_outputs)
            if 'output' in self.gains:
                terms['output'] = soft_target_loss(mine, theirs, self.loss.gains)
            if 'classes' in self.gains:
                terms['classes'] = score_loss(mine, theirs)
            if 'boxes' in self.gains:
                terms['boxes'] = box_loss(mine, theirs)
        return terms

    def _near(
        self, features: dict[int, Tensor], targets: Tensor, images: Tensor
    ) -> dict[int, Tensor]:
        """Return which cells are imitated, (B, H, W) for every layer."""
        return {
            layer: imitation_mask(
                targets,
                self.imitation_anchors,
                len(images),
                features[layer].shape[2:],
                images.shape[2:],
                self.settings.imitation_psi,
            )
            for layer in self.settings.imitated
        }

    @torch.no_grad()
    def _shares(self, answers: list, batch: int, targets: Tensor, *masks: Tensor) -> Tensor:
        """Return how much each teacher counts in each picture, (teachers, B)."""
        shares = targets.new_tensor(self.shares)[:, None].expand(-1, batch)
        if self.settings.teacher_choice == 'weighted' or len(answers) == 1:
            return shares
        losses = targets.new_zeros(len(answers), batch)
        read = len(self.loss.anchors) + len(masks)  # a teacher may find masks that nobody learns
        for picture in range(batch):
            mine = targets[:, 0] == picture
            own = targets[mine].clone()
            own[:, 0] = 0
            for number, (_, outputs) in enumerate(answers):
                alone = tuple(output[picture : picture + 1] for output in outputs[:read])
                losses[number, picture] = self.loss(alone, own, *(m[mine] for m in masks))['loss']
        return torch.nn.functional.one_hot(losses.argmin(0), len(answers)).T.float()
