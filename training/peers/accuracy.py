# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning with our trainer and with ultralytics' from one trunk, judged by one evaluator.

Both get the same pictures, size, epochs and batch, and otherwise run with their own defaults;
of both the averaged weights of the last epoch are measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.metrics.report import write_json
from kd_yolo_ros.predictor import Predictor

from ..data.dataset import DataSet
from ..data.read import read_dataset
from ..engine.predict import checkpoint_predictor
from ..engine.validation import validate
from ..models.open import open_checkpoint
from . import OURS, THEIRS
from .ours import train_ours
from .ultralytics import train_peer, trunk_of

MEASURED = 'measured.json'

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Task:
    """What both trainers are given.

    Attributes:
        data: a prepared data set; its fit split is trained on.
        reported: labelled pictures that nothing was chosen on.
        weights: the checkpoint whose trunk both start from.
        epochs: over the fit split.
        batch: pictures of a step.
        imgsz: side of the square input, pixels.
        threads: of the network; both the same.
        ours: more options of `kd-yolo train`, by name.
        theirs: more options of ultralytics, by its names.
    """

    data: Path
    reported: DataSet
    weights: Path
    epochs: int
    batch: int
    imgsz: int
    threads: int
    ours: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)


def compare(
    task: Task, seeds: Sequence[int], folder: Path, on_step: Step = lambda *_: None
) -> list[dict[str, Any]]:
    """Train and measure both for every seed; what is finished in `folder` is not repeated.

    Args:
        task: what both are given.
        seeds: a run of each trainer for each.
        folder: of all runs.
        on_step: called with (trainer and seed, steps or epochs done, of how many).

    Returns:
        A row for each trainer and seed: AP (`validate`'s keys), `train_s` without evaluation
        and `images_per_s`.

    Raises:
        UserError: data or weights do not fit, or a trainer failed.
    """
    fit = read_dataset(task.data, 'fit')
    if fit.names != task.reported.names:
        raise UserError(
            f'{task.reported.description} has other classes than {fit.description}; '
            'both need the same names in the same order.'
        )
    rows = []
    for number, seed in enumerate(seeds):
        for trainer in (OURS, THEIRS) if number % 2 == 0 else (THEIRS, OURS):
            arm = _ours if trainer == OURS else _theirs
            row = arm(task, fit, seed, folder / f'{trainer}-{seed}', on_step)
            rows.append({'trainer': trainer, 'seed': seed, **row})
    return sorted(rows, key=lambda row: (row['seed'], row['trainer']))


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each trainer with the means over its seeds."""
    result = []
    for trainer in dict.fromkeys(row['trainer'] for row in rows):
        own = [row for row in rows if row['trainer'] == trainer]
        row: dict[str, Any] = {
            key: float(np.mean([row[key] for row in own]))
            for key in ('map50_95', 'map50', 'images_per_s', 'train_s')
        }
        per_class = {
            name: {'map50_95': float(np.mean([row['per_class'][name]['map50_95'] for row in own]))}
            for name in own[0]['per_class']
        }
        result.append({'trainer': trainer, 'seed': 'mean', **row, 'per_class': per_class})
    return result


def _ours(task: Task, fit: DataSet, seed: int, folder: Path, on_step: Step) -> dict[str, Any]:
    size = open_checkpoint(task.weights).size
    options = {
        'data': str(task.data.resolve()),
        'weights': str(task.weights.resolve()),
        'transfer': 'trunk',
        'model': size,
        'imgsz': task.imgsz,
        'epochs': task.epochs,
        'batch': task.batch,
        'threads': task.threads,
        'seed': seed,
        'keep': True,
        **task.ours,
    }
    name = f'{OURS} seed {seed}'
    run = train_ours(options, folder, lambda done: on_step(name, done, task.epochs))

    def predictor() -> Predictor:
        return checkpoint_predictor(run.weights, thresholds=AP_THRESHOLDS)

    return _measured(folder, predictor, task, fit, run.epoch_s, options)


def _theirs(task: Task, fit: DataSet, seed: int, folder: Path, on_step: Step) -> dict[str, Any]:
    start = open_checkpoint(task.weights)
    name = f'{THEIRS} seed {seed}'
    run = train_peer(
        start.size,
        fit,
        folder,
        imgsz=task.imgsz,
        epochs=task.epochs,
        batch=task.batch,
        trunk=trunk_of(start.state),
        threads=task.threads,
        seed=seed,
        on_step=lambda done, total: on_step(name, done, total),
        **{'cache': True, **task.theirs},
    )

    def predictor() -> Predictor:
        return Predictor(run.model, 'onnxruntime', 'fp32', thresholds=AP_THRESHOLDS)

    row = _measured(folder, predictor, task, fit, run.epoch_s, run.settings)
    return {**row, 'trunk_tensors': run.trunk_tensors, 'parameters': run.parameters}


def _measured(
    folder: Path,
    predictor: Callable[[], Predictor],
    task: Task,
    fit: DataSet,
    epoch_s: Sequence[float],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure what an arm trained, unless that was done."""
    seconds = sum(epoch_s)
    row = {
        'train_s': seconds,
        'images_per_s': len(fit.pictures) * len(epoch_s) / seconds,
        'settings': {k: v for k, v in settings.items() if k not in ('data', 'weights')},
    }
    file = folder / MEASURED
    wanted = {**row, 'reported': task.reported.description}
    try:
        known = json.loads(file.read_text(encoding='utf-8'))
        if known['of'] == json.loads(json.dumps(wanted)):
            return {**row, **known['ap']}
    except (OSError, ValueError, KeyError):
        pass
    result = validate(predictor(), task.reported)
    ap = {key: result[key] for key in ('map50_95', 'map50', 'per_class', 'images')}
    write_json(file, {'of': wanted, 'ap': ap})
    return {**row, **ap}
