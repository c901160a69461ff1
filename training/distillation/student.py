# SPDX-License-Identifier: Apache-2.0
"""From a run's settings and checkpoints to a student's task."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kd_yolo_ros.errors import UserError

from ..data.anchors import box_sizes, kmeans_anchors
from ..data.dataset import DataSet
from ..engine.settings import Settings
from ..losses.detection import DetectionLoss
from ..models.checkpoint import Checkpoint
from ..models.yolov5 import YOLOv5
from .gains import check_gains
from .task import DistillationTask
from .teacher import Teacher, check_answers


def check_teachers(
    settings: Settings,
    names: Sequence[str],
    teachers: Sequence[Checkpoint],
    anchors: Checkpoint | None,
) -> None:
    """Refuse a distilled run that could not be one.

    Args:
        settings: of the run.
        names: the student's classes.
        teachers: none for a plain run.
        anchors: whose anchors the student takes; None for the first teacher's.

    Raises:
        UserError: as `check_gains`, or teachers have other classes or anchors than the student,
            or no masks.
    """
    check_gains(settings, len(teachers))
    if teachers and settings.distillation.answers:
        masks = 'masks' in settings.distillation.gains or (
            settings.masks > 0 and settings.distillation.teacher_choice == 'best'
        )
        check_answers(teachers, names, (anchors or teachers[0]).anchors, masks)


def student_task(
    settings: Settings,
    fit: DataSet,
    model: YOLOv5,
    loss: DetectionLoss,
    teachers: Sequence[Checkpoint],
) -> DistillationTask:
    """Return the task of a student, on its device, with networks of its teachers.

    Args:
        settings: of the run.
        fit: what it is trained on.
        model: the student, where it will stay.
        loss: of its outputs.
        teachers: that `check_teachers` let pass.

    Raises:
        UserError: the data have too few boxes for the anchors of imitation.
    """
    device = model.head.anchors.device
    networks = [
        teacher.build().to(device, memory_format=torch.channels_last) for teacher in teachers
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
    return task.to(device)


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
