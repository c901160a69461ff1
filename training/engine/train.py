# SPDX-License-Identifier: Apache-2.0
"""From settings and data to a trained network: checks, anchors, weights, then the loop."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kd_yolo_ros.errors import UserError

from ..data.anchors import box_sizes, fit_anchors, kmeans_anchors
from ..data.augmentation import Augmenter
from ..data.balance import class_counts, class_weights
from ..data.check import check_pictures
from ..data.dataset import DataSet, Problem
from ..data.loader import TrainingBatches
from ..data.picture_size import picture_size
from ..data.picture_store import PictureStore
from ..distillation.task import DistillationTask
from ..distillation.teacher import Teacher, check_answers
from ..losses.detection import DetectionLoss, Gains
from ..models.checkpoint import Checkpoint
from ..models.detect import COCO_ANCHORS
from ..models.open import FORMAT
from ..models.transfer import transfer
from ..models.yolov5 import YOLOv5
from . import loop
from .distributed import World
from .ema import WeightAverage
from .optimizer import make_optimizer
from .pictures import write_batch, write_predictions
from .predict import module_predictor
from .run_folder import LAST, PROBLEMS, write_table
from .settings import Settings
from .state import TrainingState
from .task import DetectionTask
from .validation import validate

SHOWN_BATCHES = 2


@dataclass(frozen=True)
class Outlets:
    """Where a run shows itself; the defaults are silent.

    Attributes:
        say: takes one sentence.
        progress: wraps an iterable, with a description, its length and the pictures of an item.
        row: takes an epoch's results.
    """

    say: Callable[[str], None] = lambda _: None
    progress: Callable[..., Iterable] = lambda items, *_: items
    row: Callable[[dict[str, Any]], None] = lambda _: None


@dataclass(frozen=True)
class Machine:
    """What a run may use; it changes its speed, not its result (but for threads and device).

    Attributes:
        workers: processes that make samples.
        keep: whether decoded pictures stay in memory; None as far as they fit.
    """

    workers: int = 0
    keep: bool | None = None


def train(
    settings: Settings,
    fit: DataSet,
    select: DataSet | None,
    folder: Path,
    world: World,
    start: Checkpoint | None = None,
    teachers: Sequence[Checkpoint] = (),
    anchors: Checkpoint | None = None,
    machine: Machine | None = None,
    outlets: Outlets | None = None,
) -> list[dict[str, Any]]:
    """Train a detector, or go on with an interrupted run in `folder`.

    Args:
        settings: everything that decides the result.
        fit: trained on; its pictures have been through `usable`.
        select: decides which epoch is the best and when to stop; None for neither.
        folder: of the run.
        world: from `join_world`.
        start: weights to begin with; of the same size of network.
        teachers: what the network learns from beside the labels, as the settings say.
        anchors: whose anchors are taken as they are; None for the first teacher's where its
            answers are distilled.
        machine: what may be used.
        outlets: where to show progress.

    Returns:
        A row of results for each epoch.

    Raises:
        UserError: settings and data do not fit together, or training failed.
    """
    machine, outlets = machine or Machine(), outlets or Outlets()
    if settings.precision == 'fp16' and world.device.type == 'cpu':
        raise UserError('fp16 needs a GPU; on a CPU give --precision bf16 or fp32.')
    tune_allocator()
    torch.manual_seed(settings.seed)
    torch.backends.cudnn.benchmark = not settings.deterministic
    # Some operators of CUDA have no deterministic form; torch then says which.
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
    classes = len(fit.names)
    check_teachers(settings, fit.names, teachers, anchors)
    frozen = anchors or (teachers[0] if teachers and settings.distillation.answers else None)
    model = _model(settings, fit, start, frozen, outlets)
    model.to(world.device, memory_format=torch.channels_last)
    task = _task(settings, fit, model, teachers, world)
    state = TrainingState(
        task,
        WeightAverage(model, settings.ema_decay, settings.ema_warmup),
        make_optimizer([task], settings),
        torch.amp.GradScaler(world.device.type, enabled=settings.precision == 'fp16'),
    )
    info = {
        'format': FORMAT,
        'architecture': f'yolov5{settings.model}',
        'names': list(fit.names),
        'anchors_px': model.head.anchors_px.tolist(),
        'imgsz': [settings.imgsz, settings.imgsz],
        'run': {
            **settings.to_dict(),
            'fit': fingerprint(fit),
            'select': select and fingerprint(select),
            'start': start and _hash_of(start),
            'teachers': [_hash_of(teacher) for teacher in teachers],
            'anchors': frozen and frozen.anchors.tolist(),
        },
        'provenance': {
            'fit': {'description': fit.description, 'pictures': len(fit.pictures)},
            'select': select
            and {'description': select.description, 'pictures': len(select.pictures)},
            'versions': {name: metadata.version(name) for name in ('torch', 'ultralytics')},
        },
    }
    if loop.resume(state, folder, info, world):
        outlets.say(f'Going on after epoch {state.epoch} of {settings.epochs}.')
    store = PictureStore(fit.pictures, settings.imgsz, machine.keep)
    batches = TrainingBatches(
        Augmenter(fit.pictures, store, settings.augmentation, settings.outlines),
        len(fit.pictures),
        settings.batch,
        settings.seed,
        machine.workers,
        world.rank,
        world.size,
        world.device.type == 'cuda',
    )
    predictor = module_predictor(state.average.module, fit.names, (settings.imgsz, settings.imgsz))
    if world.first and state.epoch == 0:
        outlets.say(
            f'{len(fit.pictures)} pictures, {classes} classes, {len(batches)} steps an epoch; '
            f'pictures {"stay in memory" if store.kept else "are read anew for every sample"}.'
        )
        _show_batches(batches, settings.mosaic_epochs > 0, folder)
    loop.run(
        state,
        batches,
        settings,
        folder,
        world,
        info,
        (lambda: validate(predictor, select, outlets.progress)) if select else None,
        outlets.progress,
        outlets.row,
    )
    if world.first and (folder / LAST).is_file():
        write_predictions(folder / 'predictions.jpg', predictor, select or fit)
    return state.history


def usable(
    data: DataSet, folder: Path, stop: bool, outlets: Outlets, world: World | None = None
) -> DataSet:
    """Return the data set without what cannot be trained on, and report that by file.

    Args:
        data: as it was read; its problems count too.
        folder: where the report is written, a CSV for each data set.
        stop: raise instead of going on without the broken pictures.
        outlets: for progress and the summary.
        world: only its first process looks at the pictures.

    Raises:
        UserError: something is broken and `stop` is set, or nothing is left.
    """
    broken = [False] * len(data.pictures)
    report = folder / PROBLEMS
    if world is None or world.first:
        unreadable = check_pictures(data.pictures, outlets.progress)
        files = {problem.file for problem in unreadable}
        broken = [picture.file in files for picture in data.pictures]
        problems = [*data.problems, *unreadable]
        report.unlink(missing_ok=True)
        if problems:
            _report(data.description, problems, report, outlets)
    broken = world.agree(broken) if world else broken
    if stop and (any(broken) or data.problems):
        worst = next((p.file for p, bad in zip(data.pictures, broken, strict=True) if bad), None)
        raise UserError(
            f'{data.description} has problems, one in {worst or data.problems[0].file}; all are '
            f'listed in {report}: mend them, or go on without what is broken (--bad-data skip).'
        )
    pictures = [p for p, bad in zip(data.pictures, broken, strict=True) if not bad]
    if not pictures:
        raise UserError(f'{data.description} holds no picture that can be read.')
    if not class_counts(pictures, len(data.names)).any():
        raise UserError(f'{data.description} holds no labelled object.')
    sized = (p if p.size else replace(p, size=picture_size(p.file)) for p in pictures)
    return replace(data, pictures=tuple(sized))


def _report(name: str, problems: list[Problem], file: Path, outlets: Outlets) -> None:
    rows = [{'data': name, 'file': str(p.file), 'problem': p.what} for p in problems]
    write_table(file, rows)
    shown = ''.join(f'\n  {p.file.name}: {p.what}' for p in problems[:5])
    more = f'\n  and {len(problems) - 5} more' if len(problems) > 5 else ''
    outlets.say(f'{name}: {len(problems)} problems, listed in {file}{shown}{more}')


def fingerprint(data: DataSet) -> str:
    """Return a hash of names, files and labels: equal data sets train equal networks."""
    digest = hashlib.sha256(json.dumps([data.names]).encode())
    for picture in data.pictures:
        digest.update(picture.file.name.encode())
        rings = [ring for polygons in picture.polygons for ring in polygons]
        for array in (picture.boxes, picture.class_ids, picture.crowd, *rings):
            digest.update(np.ascontiguousarray(array).tobytes())
        if picture.soft.any():
            digest.update(np.ascontiguousarray(picture.weights).tobytes())
    return digest.hexdigest()[:16]


def tune_allocator() -> None:
    """Keep the memory of freed tensors instead of returning it to the kernel after each step.

    The page faults of getting it back cost 8 to 20 % of a step on a CPU.
    """
    with contextlib.suppress(AttributeError, OSError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 64 << 20)  # M_TOP_PAD


def check_teachers(
    settings: Settings,
    names: Sequence[str],
    teachers: Sequence[Checkpoint],
    anchors: Checkpoint | None,
) -> None:
    """Refuse a distilled run that could not be one; see `train`.

    Raises:
        UserError: gains without teachers, teachers without gains or without an epoch, or of
            other classes or anchors than the student.
    """
    gains = settings.distillation.gains
    if gains and not teachers:
        raise UserError(
            f'distil_{next(iter(gains))} has a gain, but there is no teacher: '
            'name its weights with --teacher.'
        )
    if not teachers:
        return
    if not gains:
        raise UserError(
            'a teacher is given, but nothing to learn from it: give at least one gain, '
            'as in --distil-cwd 1.'
        )
    settings.distillation.shares(len(teachers))
    if settings.teacher_epochs < 1:
        raise UserError(
            'no epoch is left for the teacher: give a smaller --distil-close or --close-mosaic.'
        )
    if settings.distillation.answers:
        check_answers(teachers, names, (anchors or teachers[0]).anchors)


def _task(
    settings: Settings,
    fit: DataSet,
    model: YOLOv5,
    teachers: Sequence[Checkpoint],
    world: World,
) -> DetectionTask:
    loss = _loss(settings, model, fit)
    if not teachers:
        return DetectionTask(model, loss, settings.freeze)
    networks = [
        teacher.build().to(world.device, memory_format=torch.channels_last) for teacher in teachers
    ]
    task = DistillationTask(
        model,
        loss,
        [Teacher(network) for network in networks],
        settings.distillation,
        settings.teacher_epochs,
        _imitation_anchors(settings, fit),
        settings.freeze,
        settings.seed,
    )
    return task.to(world.device)


def _imitation_anchors(settings: Settings, fit: DataSet) -> torch.Tensor:
    """Return the anchors that make the mask, (K, 2) pixels; none where nothing is imitated."""
    if 'imitation' not in settings.distillation.gains:
        return torch.zeros(0, 2)
    shape = (1, settings.distillation.imitation_anchors)
    try:
        anchors = kmeans_anchors(box_sizes(fit.pictures, settings.imgsz), shape, settings.seed)
    except ValueError as error:
        raise UserError(f'{error}; give a smaller --imitation-anchors.') from None
    return torch.from_numpy(anchors[0])


def _model(
    settings: Settings,
    fit: DataSet,
    start: Checkpoint | None,
    frozen: Checkpoint | None,
    outlets: Outlets,
) -> YOLOv5:
    """Return the network with its anchors and its first weights."""
    if start and start.size != settings.model:
        raise UserError(
            f'the weights to start from are of size {start.size}, not {settings.model}; '
            f'give --model {start.size}.'
        )
    given = np.array(COCO_ANCHORS, np.float32) * (settings.imgsz / 640)
    if start and settings.transfer == 'all':
        given = start.anchors.numpy()
    anchors = given
    if frozen:
        anchors = frozen.anchors.numpy()
    elif settings.autoanchor:
        sizes = box_sizes(fit.pictures, settings.imgsz)
        anchors, why = fit_anchors(sizes, given, settings.anchor_ratio, settings.seed)
        outlets.say(why)
    model = YOLOv5(settings.model, len(fit.names), torch.from_numpy(anchors))
    if settings.freeze and not start:
        outlets.say(f'The first {settings.freeze} layers are frozen at random weights.')
    if start:
        outlets.say(transfer(model, fit.names, start, settings.transfer == 'all'))
    return model


def _loss(settings: Settings, model: YOLOv5, fit: DataSet) -> DetectionLoss:
    weights = None
    if settings.class_balance is not None:
        counts = class_counts(fit.pictures, len(fit.names))
        weights = torch.from_numpy(class_weights(counts, settings.class_balance))
    return DetectionLoss(
        model.head,
        settings.imgsz,
        Gains(settings.box, settings.objectness, settings.classes),
        settings.label_smoothing,
        weights,
        settings.anchor_ratio,
    )


def _show_batches(batches: TrainingBatches, mosaic: bool, folder: Path) -> None:
    for number, batch in zip(range(SHOWN_BATCHES), batches.epoch(0, mosaic), strict=False):
        write_batch(folder / f'batch_{number}.jpg', batch)


def _hash_of(start: Checkpoint) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(start.state.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()[:16]
