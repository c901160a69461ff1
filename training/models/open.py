# SPDX-License-Identifier: Apache-2.0
"""Opens any checkpoint: a public .pt, weights written by our training, or a training run.

Ours are safetensors; a JSON object in their header, or else in the .json beside, describes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd_yolo_ros.errors import UserError

from .checkpoint import Checkpoint, anchors_px, checked_state, read_checkpoint
from .layout import STRIDES
from .tensor_file import read_tensors

DEFAULT_SIZE = (640, 640)  # of public checkpoints, which do not tell theirs
FORMAT = 1
BEST = Path('weights', 'best.safetensors')

# What else the description holds about the training is passed on as it is.
OWN_KEYS = ('format', 'architecture', 'task', 'masks', 'names', 'anchors_px', 'imgsz', 'epoch')


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read a .pt, a .safetensors, or the best weights of a training run's folder.

    Raises:
        UserError: the file is missing, damaged, hostile, or another kind of model.
    """
    file = checkpoint_file(path)
    return read_safetensors(file) if file.suffix == '.safetensors' else read_checkpoint(file)


def checkpoint_file(path: str | Path) -> Path:
    """Return the file with the weights: the path itself, or that of a training run's folder."""
    path = Path(path).expanduser()
    if not path.is_dir():
        return path
    if not (path / BEST).is_file():
        raise UserError(f'{path} is no training run: it has no {BEST}.')
    return path / BEST


def model_name(path: Path) -> str:
    """Return a short name: the file's without its suffix, or the training run's."""
    return path.resolve().name if path.is_dir() else path.stem


def names_of(
    checkpoint: Checkpoint, path: Path, given: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Return the class names: those given, the checkpoint's, or class_0, class_1, ….

    Raises:
        UserError: there are more or fewer than classes; `path` names the checkpoint.
    """
    names = given or checkpoint.names or tuple(f'class_{i}' for i in range(checkpoint.classes))
    if len(names) != checkpoint.classes:
        raise UserError(
            f'{path} has {checkpoint.classes} classes, but {len(names)} names were given.'
        )
    return names


def read_safetensors(path: Path) -> Checkpoint:
    """Read weights that our training wrote.

    Raises:
        UserError: the file is missing or damaged, or its description is missing or does not fit.
    """
    tensors, info = _read(path)
    if info.get('format') != FORMAT:
        raise UserError(
            f'{path} has format {info.get("format")!r} (this version reads {FORMAT}); '
            f'update kd_yolo_ros or train again.'
        )
    size, state = checked_state(tensors, path)
    if info.get('architecture') != f'yolov5{size}':
        raise UserError(
            f'{path} holds a yolov5{size}, but says that it is a {info.get("architecture")!r}.'
        )
    anchors = anchors_px(state)
    if not _same_anchors(info.get('anchors_px'), anchors):
        raise UserError(f'{path} says that it has other anchors than its weights hold.')
    epoch = info.get('epoch')
    checkpoint = Checkpoint(
        state=state,
        names=_names(info.get('names'), path),
        anchors=anchors,
        strides=STRIDES,
        size=size,
        epoch=epoch if type(epoch) is int and epoch >= 0 else None,
        ema=True,
        imgsz=_imgsz(info.get('imgsz'), path),
        training={key: value for key, value in info.items() if key not in OWN_KEYS},
    )
    task = info.get('task', checkpoint.task)  # what was written before there were two lacks it
    if task != checkpoint.task or info.get('masks', checkpoint.masks) != checkpoint.masks:
        raise UserError(
            f'{path} holds weights to {checkpoint.task} with {checkpoint.masks} coefficients of '
            f'masks, but says {task!r} with {info.get("masks")!r}; take another checkpoint.'
        )
    if len(checkpoint.names) != checkpoint.classes:
        raise UserError(
            f'{path} has {len(checkpoint.names)} class names for {checkpoint.classes} classes.'
        )
    return checkpoint


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the description."""
    tensors, info = read_tensors(path)
    if info is not None:
        return tensors, info
    beside = path.with_suffix('.json')
    try:
        info = json.loads(beside.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise UserError(
            f'{path} does not say what its weights are, and there is no {beside.name} beside it; '
            f'copy both from the training run.'
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'The description of {path} is not readable JSON ({reason}).') from None
    if not isinstance(info, dict):
        raise UserError(f'The description of {path} is not a JSON object; train again.')
    return tensors, info


def _names(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f'{path}: its class names are not a list of texts.')
    return tuple(names)


def _imgsz(imgsz: Any, path: Path) -> tuple[int, int]:
    sides = imgsz if isinstance(imgsz, list) else []
    if len(sides) != 2 or not all(
        type(s) is int and s > 0 and s % STRIDES[-1] == 0 for s in sides
    ):
        raise UserError(f'{path}: its imgsz is {imgsz!r}, not [height, width] in steps of 32.')
    return sides[0], sides[1]


def _same_anchors(told: Any, held: Tensor) -> bool:
    try:
        told = torch.tensor(told, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        return False
    return told.shape == held.shape and torch.allclose(told, held, rtol=1e-3)
