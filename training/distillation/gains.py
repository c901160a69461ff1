# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a distilled run's settings before any checkpoint is opened."""

from __future__ import annotations

from kd_yolo_ros.errors import UserError

from ..engine.settings import Settings


def check_gains(settings: Settings, teachers: int) -> None:
    """Refuse settings that so many teachers cannot follow.

    Args:
        settings: of the run.
        teachers: how many there are; 0 for a plain run.

    Raises:
        UserError: gains without teachers, teachers without gains or without an epoch, or
            another number of weights than of teachers.
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
    settings.distillation.shares(teachers)
    if settings.teacher_epochs < 1:
        raise UserError(
            'no epoch is left for the teacher: give a smaller --distil-close or --close-mosaic.'
        )
