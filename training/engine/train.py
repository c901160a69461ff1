# SPDX-License-Identifier: Apache-2.0
"""From settings and data to a trained network: checks, anchors, weights, then the loop."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kd_yolo_ros.errors import UserError

from ..data.anchors import box_sizes, fit_anchors
from ..data.augmentation import Augmenter
from ..data.balance import class_counts, class_weights
from ..data.dataset import DataSet
from ..data.fingerprint import fingerprint
from ..data.loader import TrainingBatches
from ..data.picture_store import PictureStore
from ..distillation.student import check_teachers, student_task
from ..losses.detection import DetectionLoss, Gains
from ..losses.segmentation import SegmentationLoss
from ..models.checkpoint import Checkpoint
from ..models.detect import COCO_ANCHORS
from ..models.layout import SIZES
from ..models.narrow import narrow
from ..models.open import FORMAT
from ..models.transfer import transfer
from ..models.yolov5 import YOLOv5
from . import loop
from .distributed import World
from .ema import WeightAverage
from .optimizer import make_optimizer
from .outlets import Outlets
from .pictures import write_batch, write_predictions
from .predict import module_predictor
from .run_folder import LAST
from .settings import Settings
from .state import TrainingState
from .task import DetectionTask
from .validation import validate

SHOWN_BATCHES = 2


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
    """Train a detector, with masks or without, or go on with an interrupted run in `folder`.

    Args:
        settings: everything that decides the result.
        fit: trained on; its pictures have been through `usable`.
        select: decides which epoch is the best and when to stop; None for neither.
        folder: of the run.
        world: from `join_world`.
        start: weights to begin with; of a larger network some of its channels.
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
    check_masks(settings, fit, select)
    check_start(settings, start)
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
    loss = _loss(settings, model, fit)
    task = (
        student_task(settings, fit, model, loss, teachers)
        if teachers
        else DetectionTask(model, loss, settings.freeze)
    )
    state = TrainingState(
        task,
        WeightAverage(model, settings.ema_decay, settings.ema_warmup),
        make_optimizer([task], settings),
        torch.amp.GradScaler(world.device.type, enabled=settings.precision == 'fp16'),
        merit=settings.figures[0],
    )
    info = {
        'format': FORMAT,
        'architecture': f'yolov5{settings.model}',
        'task': settings.task,
        'masks': settings.masks,
        'names': list(fit.names),
        'anchors_px': model.head.anchors_px.tolist(),
        'imgsz': [settings.imgsz, settings.imgsz],
        'run': {
            **settings.to_dict(),
            'fit': fingerprint(fit),
            'select': select and fingerprint(select),
            'start': start and _hash_of(start),
            'narrowed_from': start.size if start and start.size != settings.model else None,
            'teachers': [_hash_of(teacher) for teacher in teachers],
            'anchors': frozen and frozen.anchors.tolist(),
        },
        'provenance': {
            'fit': {
                'description': fit.description,
                'pictures': len(fit.pictures),
                'soft_labels': sum(int(picture.soft.sum()) for picture in fit.pictures),
            },
            'select': select
            and {'description': select.description, 'pictures': len(select.pictures)},
            'versions': {name: metadata.version(name) for name in ('torch', 'ultralytics')},
        },
    }
    if loop.resume(state, folder, info, world):
        outlets.say(f'Going on after epoch {state.epoch} of {settings.epochs}.')
    store = PictureStore(fit.pictures, settings.imgsz, machine.keep)
    batches = TrainingBatches(
        Augmenter(
            fit.pictures, store, settings.augmentation, settings.outlines, settings.masks > 0
        ),
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


def check_masks(settings: Settings, fit: DataSet, select: DataSet | None) -> None:
    """Refuse to learn masks of data that have none, or to choose epochs by them.

    Raises:
        UserError: no object has an outline.
    """
    for data in (fit, select) if settings.masks else ():
        if data and not any(picture.outlined.any() for picture in data.pictures):
            raise UserError(
                f'{data.description} has boxes and no outlines; give data with polygons, or '
                'train a detector: --task detect.'
            )


def check_start(settings: Settings, start: Checkpoint | None) -> None:
    """Refuse weights that a network of the size that is asked for cannot start with.

    Raises:
        UserError: they are of a smaller network, or of a larger one and not to be trained.
    """
    if start is None or start.size == settings.model:
        return
    sizes = list(SIZES)
    if sizes.index(start.size) < sizes.index(settings.model):
        raise UserError(
            f'the weights to start from are of size {start.size}, less than {settings.model}; '
            f'give --model {start.size} or a smaller one.'
        )
    if settings.freeze:
        raise UserError(
            f'the weights to start from are of size {start.size}; some of its channels make a '
            f'{settings.model} that has yet to be trained: leave out --freeze.'
        )


def tune_allocator() -> None:
    """Keep the memory of freed tensors instead of returning it to the kernel after each step.

    The page faults of getting it back cost 8 to 20 % of a step on a CPU.
    """
    with contextlib.suppress(AttributeError, OSError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 64 << 20)  # M_TOP_PAD


def _model(
    settings: Settings,
    fit: DataSet,
    start: Checkpoint | None,
    frozen: Checkpoint | None,
    outlets: Outlets,
) -> YOLOv5:
    """Return the network with its anchors and its first weights."""
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
    model = YOLOv5(settings.model, len(fit.names), torch.from_numpy(anchors), settings.masks)
    if settings.freeze and not start:
        outlets.say(f'The first {settings.freeze} layers are frozen at random weights.')
    if start:
        fitting = start if start.size == settings.model else narrow(start, settings.model)
        outlets.say(transfer(model, fit.names, fitting, settings.transfer == 'all', start.size))
    return model


def _loss(settings: Settings, model: YOLOv5, fit: DataSet) -> DetectionLoss:
    weights = None
    if settings.class_balance is not None:
        counts = class_counts(fit.pictures, len(fit.names))
        weights = torch.from_numpy(class_weights(counts, settings.class_balance))
    return (SegmentationLoss if settings.masks else DetectionLoss)(
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
