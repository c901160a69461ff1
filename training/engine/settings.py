# SPDX-License-Identifier: Apache-2.0
"""Everything that decides what a training run computes, checked, in one place.

The command line's options and a recipe's keys are these fields.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from kd_yolo_ros.errors import UserError

from ..data.augmentation import Augmentation
from ..distillation.settings import Distillation
from ..models.layout import SIZES, STRIDES, TASKS

OPTIMIZERS = ('sgd', 'adamw')
SCHEDULES = ('linear', 'cosine')
PRECISIONS = ('fp32', 'bf16', 'fp16')
TRANSFERS = ('all', 'trunk')
GROUPS = {'augmentation': Augmentation, 'distillation': Distillation}
CLOSE_MOSAIC = 10  # epochs, as in YOLOX and the tools after it; of a short run a third


def _setting(default: Any, help_text: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={'help': help_text, 'choices': choices})


@dataclass(frozen=True)
class Settings:
    """A training run's hyper-parameters; the defaults are YOLOv5's for training from scratch."""

    task: str = _setting('detect', 'What is learnt: boxes, or boxes with masks.', tuple(TASKS))
    model: str = _setting('s', 'Size of the network.', tuple(SIZES))
    epochs: int = _setting(100, 'Passes over the data.')
    imgsz: int = _setting(640, 'Side of the square input in pixels, a multiple of 32.')
    batch: int = _setting(16, 'Pictures of a step, over all processes.')
    seed: int = _setting(0, 'Of weights, order and augmentation.')
    transfer: str = _setting(
        'all', 'What is taken from --weights: all that fits, or all but the head.', TRANSFERS
    )
    freeze: int = _setting(0, 'The first layers, this many, stay as they are; 10: the backbone.')

    optimizer: str = _setting('sgd', 'SGD is with Nesterov momentum.', OPTIMIZERS)
    lr: float = _setting(0.01, 'Learning rate after warm-up; AdamW wants about 0.001.')
    final_lr: float = _setting(0.01, 'Share of it that is left at the end.')
    schedule: str = _setting('linear', 'How it falls.', SCHEDULES)
    momentum: float = _setting(0.937, "SGD's momentum, AdamW's first beta.")
    weight_decay: float = _setting(5e-4, 'Of convolution weights, for the nominal batch.')
    warmup_epochs: float = _setting(3.0, 'Epochs, and at least 100 steps, of warm-up.')
    warmup_momentum: float = _setting(0.8, 'Momentum at its beginning.')
    warmup_bias_lr: float = _setting(0.1, 'Learning rate of biases at its beginning (SGD).')
    nominal_batch: int = _setting(64, 'Gradients of smaller batches are added up to this.')
    clip_norm: float = _setting(10.0, "Upper limit of the gradients' norm; 0: none.")
    ema_decay: float = _setting(0.9999, "Of the weights' moving average.")
    ema_warmup: float = _setting(2000.0, 'Steps over which the average grows to that memory.')

    box: float = _setting(0.05, 'Gain of the box loss, and of that of masks.')
    objectness: float = _setting(1.0, 'Gain of the objectness loss.')
    classes: float = _setting(0.5, 'Gain of the class loss.')
    label_smoothing: float = _setting(0.0, 'Classes are pushed to 1 - s/2 and s/2.')
    class_balance: float | None = _setting(
        None, 'Weigh classes by their effective number of samples, beta 0.99 to 0.9999.'
    )
    anchor_ratio: float = _setting(4.0, 'Largest ratio of sides between a box and its anchor.')
    autoanchor: bool = _setting(True, 'Compute new anchors where the given ones fit badly.')

    close_mosaic: int | None = _setting(
        None, 'The last epochs, this many, go without mosaics.  [default: 10, at most a third]'
    )
    eval_every: int = _setting(1, 'Epochs between two evaluations; the last epoch has one.')
    patience: int = _setting(100, 'Epochs without a better AP after which training stops.')
    precision: str = _setting('fp32', 'bf16 and fp16 are mixed precision.', PRECISIONS)
    deterministic: bool = _setting(False, 'Bit-for-bit repeatable on CUDA too, and slower.')
    outlines: bool = _setting(False, 'Take boxes of transformed objects from their polygons.')
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation = field(default_factory=Distillation)

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            known = _choices(name)
            if known and value not in known:
                raise UserError(f'{name} is {value!r}; it has to be one of {", ".join(known)}.')
        for holds, sentence in (
            (self.epochs >= 1, 'epochs has to be at least 1.'),
            (
                self.masks > 0 or self.distillation.distil_masks is None,
                'distil_masks needs masks to learn: give --task segment.',
            ),
            (self.batch >= 1, 'batch has to be at least 1.'),
            (
                self.imgsz >= STRIDES[-1] and self.imgsz % STRIDES[-1] == 0,
                f'imgsz is {self.imgsz}; it has to be a multiple of {STRIDES[-1]}.',
            ),
            (self.seed >= 0, 'seed has to be at least 0.'),
            (self.lr > 0, 'lr has to be above 0.'),
            (0 < self.momentum < 1, 'momentum has to be between 0 and 1.'),
            (0 <= self.warmup_momentum < 1, 'warmup_momentum has to be in 0 to 1.'),
            (self.weight_decay >= 0, 'weight_decay has to be at least 0.'),
            (self.warmup_epochs >= 0, 'warmup_epochs has to be at least 0.'),
            (self.nominal_batch >= 1, 'nominal_batch has to be at least 1.'),
            (self.clip_norm >= 0, 'clip_norm has to be at least 0.'),
            (self.ema_warmup > 0, 'ema_warmup has to be above 0.'),
            (
                min(self.box, self.objectness, self.classes) >= 0,
                'gains (box, objectness, classes) have to be at least 0.',
            ),
            ((self.close_mosaic or 0) >= 0, 'close_mosaic has to be at least 0.'),
            (0 <= self.final_lr <= 1, 'final_lr is a share of lr, 0 to 1.'),
            (0 <= self.freeze <= 24, 'freeze counts layers: 0 to 24, the last being the head.'),
            (0 <= self.label_smoothing < 1, 'label_smoothing has to be in 0 to 1.'),
            (
                self.class_balance is None or 0 <= self.class_balance < 1,
                'class_balance is a beta, at least 0 and below 1.',
            ),
            (self.anchor_ratio > 1, 'anchor_ratio has to be above 1.'),
            (0 < self.ema_decay < 1, 'ema_decay has to be between 0 and 1.'),
            (self.patience >= 1, 'patience has to be at least 1 epoch.'),
            (self.eval_every >= 1, 'eval_every has to be at least 1 epoch.'),
        ):
            if not holds:
                raise UserError(sentence)

    @property
    def masks(self) -> int:
        """Coefficients of a mask; 0 where boxes alone are learnt."""
        return TASKS[self.task]

    @property
    def figures(self) -> tuple[str, ...]:
        """What an evaluation is kept for; epochs are compared by the first."""
        boxes = ('map50_95', 'map50')
        return ('mask_map50_95', 'mask_map50', 'miou', *boxes) if self.masks else boxes

    @property
    def mosaic_epochs(self) -> int:
        """Epochs with mosaics, the first ones; the rest is seen as it is."""
        if self.close_mosaic is None:
            return self.epochs - min(CLOSE_MOSAIC, self.epochs // 3)
        return max(0, self.epochs - self.close_mosaic)

    @property
    def teacher_epochs(self) -> int:
        """Epochs with a teacher, the first ones."""
        close = self.distillation.distil_close
        return self.mosaic_epochs if close is None else max(0, self.epochs - close)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings by name, those of its groups among them, as a recipe has them."""
        own = dataclasses.asdict(self)
        groups = [own.pop(name) for name in GROUPS]
        return {name: value for group in (own, *groups) for name, value in group.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Make settings of `to_dict`'s form; what is not named has its default.

        Raises:
            UserError: an unknown name or an impossible value.
        """
        rest = dict(values)
        groups = {}
        for name, group in GROUPS.items():
            mine = [f.name for f in dataclasses.fields(group) if f.name in rest]
            groups[name] = group(**{key: rest.pop(key) for key in mine})
        unknown = sorted(set(rest) - {f.name for f in setting_fields()})
        if unknown:
            raise UserError(f"there is no setting '{unknown[0]}'.")
        return cls(**rest, **groups)


def setting_fields() -> list[dataclasses.Field]:
    """Return the fields of the settings and then of their groups, in order."""
    own = [f for f in dataclasses.fields(Settings) if f.name not in GROUPS]
    return [*own, *(f for group in GROUPS.values() for f in dataclasses.fields(group))]


def _choices(name: str) -> tuple[str, ...] | None:
    return next((f.metadata.get('choices') for f in setting_fields() if f.name == name), None)
