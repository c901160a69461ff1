# SPDX-License-Identifier: Apache-2.0
"""The networks that are compared: found, described and checked before any of them runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.bundled import find_model
from kd_yolo_ros.checkpoints import RUN_WEIGHTS, is_checkpoint
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.selection import select

from ..data.dataset import DataSet
from ..engine.run_folder import BEST, LAST
from ..models.open import DEFAULT_SIZE, names_of, open_checkpoint
from .cost import training_minutes

WEIGHTS = {'best': BEST, 'last': LAST}


@dataclass(frozen=True)
class Model:
    """One trained network.

    Attributes:
        path: what `kd_yolo_ros.checkpoints.open_predictor` takes.
        name: of the training run, the file or the artifact.
        sha256: of the weights; of an artifact, of what would run on this machine, and how.
        class_names: by class id.
        task: 'detect' or 'segment'.
        imgsz: (height, width) of the input, pixels.
        runtime: 'torch', or the one that an artifact runs on here.
        precision: 'fp32', or that of the artifact.
        size: n, s, m, l or x; None for an artifact.
        masks: coefficients of a mask where there is a size; 0 for boxes alone.
        seed: of the training, where the weights tell.
        epoch: after which the weights were taken, where they tell.
        train_minutes: of the whole training run, where its folder is there.
        run: what training recorded of itself: settings, hashes of data, teachers and start; None
            where the weights do not tell.
        anchors: of its head in pixels, as nested lists; None for an artifact.
        soft_labels: how many of the labels that it was fitted to a teacher made; None where the
            weights do not tell.
    """

    path: Path
    name: str
    sha256: str
    class_names: tuple[str, ...]
    task: str
    imgsz: tuple[int, int]
    runtime: str = 'torch'
    precision: str = 'fp32'
    size: str | None = None
    masks: int = 0
    seed: int | None = None
    epoch: int | None = None
    train_minutes: float | None = None
    run: Mapping[str, Any] | None = None
    anchors: list | None = None
    soft_labels: int | None = None


def describe_model(path: Path, weights: str | None = None, precision: str = 'auto') -> Model:
    """Describe a training run, a checkpoint, an artifact or a plain export.

    Args:
        path: of it, or the name of a bundled model.
        weights: of a training run, 'best' or 'last'; None for the best where there are any.
        precision: of an artifact or export, see `kd_yolo_ros.selection.select`.

    Raises:
        UserError: nothing readable is there, or nothing in that precision.
    """
    path = find_model(path)
    if not path.exists():
        raise UserError(f'{path} does not exist; give a training run or another model.')
    if is_checkpoint(path):
        return _checkpoint(path, weights)
    return _artifact(path, precision)


def check_alike(
    arms: Mapping[str, Sequence[Model]], data: DataSet, across_arms: bool = False
) -> None:
    """Refuse networks that cannot be compared.

    Args:
        arms: the networks by name of their arm; those of an arm differ in their seed alone.
        data: what they are to be compared on.
        across_arms: ask for one size of network and input in all arms, not only within each.

    Raises:
        UserError: other classes than the data, other tasks or sizes, masks to be judged by data
            without, or the same weights twice.
    """
    every = [(arm, model) for arm, models in arms.items() for model in models]
    _check_task(every, data)
    known: dict[tuple[str, str], Model] = {}  # by arm and weights
    for arm, model in every:
        if model.class_names != data.names:
            raise UserError(
                f'{model.path} has other classes than {data.description}; all that is compared '
                'needs the same names in the same order.'
            )
        other_arm, other = every[0] if across_arms else (arm, arms[arm][0])
        if (model.size, model.imgsz) != (other.size, other.imgsz):
            raise UserError(
                f'{arm} {model.name} is {_kind(model)}, but {other_arm} {other.name} is '
                f'{_kind(other)}; what is compared like this has to be of one size.'
            )
        twin = known.get((arm, model.sha256))
        if twin:
            raise UserError(
                f'{twin.path} and {model.path} of {arm} hold the same weights; '
                'give runs with different seeds.'
            )
        known[arm, model.sha256] = model


def _check_task(every: Sequence[tuple[str, Model]], data: DataSet) -> None:
    first_arm, first = every[0]
    for arm, model in every:
        if model.task != first.task:
            raise UserError(
                f'{arm} {model.name} is a {model.task} network, but {first_arm} {first.name} is '
                f'a {first.task} one; only networks of one task can be compared.'
            )
    if first.task == 'segment' and not any(p.outlined.any() for p in data.pictures):
        raise UserError(
            f'{data.description} has no outlines, by which networks that segment are judged; '
            'give data with masks.'
        )


def _checkpoint(path: Path, weights: str | None) -> Model:
    if path.is_dir():
        run: Path | None = path
        chosen = weights or next((n for n in WEIGHTS if (path / WEIGHTS[n]).is_file()), 'best')
        file = path / WEIGHTS[chosen]
        if not file.is_file():
            raise UserError(f'{path} has no {WEIGHTS[chosen]}; has it finished an epoch?')
    else:
        file = path
        run = path.parent.parent if path.parent.name == RUN_WEIGHTS else None
    checkpoint = open_checkpoint(file)
    recorded = _recorded(checkpoint.training)
    return Model(
        path=file,
        name=run.resolve().name if run else path.stem,
        sha256=sha256_of(file),
        class_names=names_of(checkpoint, path),
        task=checkpoint.task,
        imgsz=checkpoint.imgsz or DEFAULT_SIZE,
        size=checkpoint.size,
        masks=checkpoint.masks,
        seed=recorded.get('seed') if recorded else None,
        epoch=checkpoint.epoch,
        train_minutes=training_minutes(run) if run else None,
        run=recorded,
        anchors=checkpoint.anchors.tolist(),
        soft_labels=_soft_labels(checkpoint.training),
    )


def _artifact(path: Path, precision: str) -> Model:
    artifact = open_model(path)
    chosen = select(artifact.manifest, precision=precision)
    content = f'{chosen.runtime} {chosen.precision} {sorted(chosen.file.sha256.items())}'
    return Model(
        path=path,
        name=artifact.manifest.name,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        class_names=tuple(artifact.manifest.class_names),
        task=artifact.manifest.task,
        imgsz=(chosen.file.input.height, chosen.file.input.width),
        runtime=chosen.runtime,
        precision=chosen.precision,
        run=_recorded(artifact.manifest.provenance.get('training')),
        soft_labels=_soft_labels(artifact.manifest.provenance.get('training')),
    )


def _recorded(training: Any) -> Mapping[str, Any] | None:
    run = training.get('run') if isinstance(training, Mapping) else None
    return run if isinstance(run, Mapping) and run else None


def _soft_labels(training: Any) -> int | None:
    provenance = training.get('provenance') if isinstance(training, Mapping) else None
    fit = provenance.get('fit') if isinstance(provenance, Mapping) else None
    return fit.get('soft_labels') if isinstance(fit, Mapping) else None


def _kind(model: Model) -> str:
    what = f'a yolov5{model.size}' if model.size else 'an artifact'
    return f'{what} for {model.imgsz[0]}x{model.imgsz[1]} pixels'
