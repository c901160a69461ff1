# SPDX-License-Identifier: Apache-2.0
"""What a student takes from its teachers, how much of it, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kd_yolo_ros.errors import UserError

from ..models.layout import HEAD_INPUTS

SCHEDULES = ('constant', 'cosine')
CHOICES = ('weighted', 'best')
LAYERS = 24  # before the head
ANSWERS = {'output', 'classes', 'boxes'}  # the terms that compare every cell of the heads' outputs


def _gain(help_text: str) -> Any:
    return field(default=None, metadata={'help': f'Gain of {help_text}; 0 only measures it.'})


def _setting(default: Any, help_text: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={'help': help_text, 'choices': choices})


@dataclass(frozen=True)
class Distillation:
    """The terms of a distilled run; those without a gain are not computed.

    Raises:
        UserError: a value is impossible.
    """

    distil_imitation: float | None = _gain('fine-grained feature imitation, as published 0.01')
    distil_cwd: float | None = _gain('channel-wise feature distillation (CWD)')
    distil_pkd: float | None = _gain('feature distillation by correlation (PKD)')
    distil_output: float | None = _gain('objectness-scaled soft targets')
    distil_classes: float | None = _gain('binary-classification distillation of scores')
    distil_boxes: float | None = _gain("distillation of boxes by their IoU with the teacher's")
    distil_masks: float | None = _gain('distillation of the masks of cells (--task segment)')

    imitation_layers: str = _setting('16', 'Layers that are imitated, as 16 or 17,20,23.')
    imitation_psi: float = _setting(0.5, 'Share of the best IoU from which a cell is imitated.')
    imitation_anchors: int = _setting(5, 'Anchors from k-means that the mask is made with.')
    feature_layers: str = _setting(
        ','.join(map(str, HEAD_INPUTS)), 'Layers that CWD and PKD compare.'
    )
    cwd_tau: float = _setting(1.0, 'Temperature of CWD.')

    distil_warmup: float = _setting(1.0, 'Epochs over which the gains rise from 0.')
    distil_schedule: str = _setting('constant', 'How they go on.', SCHEDULES)
    distil_close: int | None = _setting(
        None, 'The last epochs, this many, go without a teacher.  [default: as without mosaics]'
    )
    teacher_choice: str = _setting(
        'weighted',
        'Of several teachers: all, or for each picture the one with least loss.',
        CHOICES,
    )
    teacher_weights: str = _setting('', 'Of several teachers, as 2,1.  [default: equal]')

    def __post_init__(self) -> None:
        for name, gain in self.gains.items():
            if not gain >= 0:
                raise UserError(f'distil_{name} is {gain}; it has to be at least 0.')
        for holds, sentence in (
            (0 < self.imitation_psi <= 1, 'imitation_psi has to be above 0 and at most 1.'),
            (self.imitation_anchors >= 1, 'imitation_anchors has to be at least 1.'),
            (self.cwd_tau > 0, 'cwd_tau has to be above 0.'),
            (self.distil_warmup >= 0, 'distil_warmup has to be at least 0.'),
            ((self.distil_close or 0) >= 0, 'distil_close has to be at least 0.'),
        ):
            if not holds:
                raise UserError(sentence)
        for name in ('imitation_layers', 'feature_layers'):
            layers = _numbers(getattr(self, name), name, int)
            if not layers or not all(0 <= layer < LAYERS for layer in layers):
                raise UserError(f'{name} takes layers from 0 to {LAYERS - 1}, as in 17,20,23.')
        if any(weight <= 0 for weight in _numbers(self.teacher_weights, 'teacher_weights', float)):
            raise UserError('teacher_weights have to be above 0.')

    @property
    def gains(self) -> dict[str, float]:
        """The gains of all terms that are computed, by name."""
        every = {
            'imitation': self.distil_imitation,
            'cwd': self.distil_cwd,
            'pkd': self.distil_pkd,
            'output': self.distil_output,
            'classes': self.distil_classes,
            'boxes': self.distil_boxes,
            'masks': self.distil_masks,
        }
        return {name: gain for name, gain in every.items() if gain is not None}

    @property
    def answers(self) -> bool:
        """Whether what teachers answer matters, and not their features alone."""
        return bool(self.gains.keys() & {*ANSWERS, 'masks'}) or self.teacher_choice == 'best'

    @property
    def imitated(self) -> tuple[int, ...]:
        """`imitation_layers` as numbers."""
        return tuple(dict.fromkeys(_numbers(self.imitation_layers, 'imitation_layers', int)))

    @property
    def compared(self) -> tuple[int, ...]:
        """`feature_layers` as numbers."""
        return tuple(dict.fromkeys(_numbers(self.feature_layers, 'feature_layers', int)))

    def shares(self, teachers: int) -> tuple[float, ...]:
        """Return each teacher's share of the gains; they add up to 1.

        Raises:
            UserError: there is another number of weights.
        """
        weights = _numbers(self.teacher_weights, 'teacher_weights', float) or (1.0,) * teachers
        if len(weights) != teachers:
            raise UserError(
                f'there are {len(weights)} teacher_weights for {teachers} teachers; give one each.'
            )
        return tuple(weight / sum(weights) for weight in weights)


def _numbers(text: str, name: str, kind: type) -> tuple:
    try:
        return tuple(kind(part) for part in str(text).split(',') if part.strip())
    except ValueError:
        raise UserError(f'{name} is {text!r}; it takes numbers, separated by commas.') from None
