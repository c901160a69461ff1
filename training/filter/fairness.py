# SPDX-License-Identifier: Apache-2.0
"""Whether arms were trained alike but for the seed and the distillation, so that these decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_yolo_ros.checkpoints import RUN_WEIGHTS
from kd_yolo_ros.errors import UserError

from ..distillation.settings import Distillation
from ..engine.settings import Settings
from .cost import read_results
from .models import Model

FREE = {'seed', 'deterministic'}  # neither makes a training longer or better
STARTS = 'starts from its teacher'
DISTILLATION = {'teachers', STARTS, *(field.name for field in dataclasses.fields(Distillation))}
HASHED = {  # of which no value is shown
    'fit': 'fit data',
    'select': 'select data',
    'start': 'starting weights',
    'anchors': 'anchors',
}
INSTEAD = 'kd-yolo compare takes them, and decides nothing'


def check_fair(arms: Mapping[str, Sequence[Model]]) -> list[str]:
    """Refuse networks whose comparison would not say whether the distillation helped.

    Args:
        arms: the networks by name of their arm; the first arm is the plain one.

    Returns:
        Sentences on what could not be checked.

    Raises:
        UserError: a plain network had a teacher, a distilled one had neither a teacher nor soft
            labels, a training is not finished, or trainings differ in more than the seed and the
            distillation.
    """
    recorded = {arm: [m for m in models if m.run is not None] for arm, models in arms.items()}
    plain = next(iter(arms))
    first = next(iter(recorded[plain]), None)
    every = [(arm, model) for arm, models in recorded.items() for model in models]
    for arm, model in every:
        _check_teacher(arm, model, plain, first)
        _check_finished(arm, model)
        _check_trained_alike(arm, recorded[arm][0], arm, model, FREE)
        if first:
            labels = {'fit'} if arm != plain and _may_have_soft_labels(model) else set()
            _check_trained_alike(plain, first, arm, model, FREE | DISTILLATION | labels)
    remarks = [
        f'{arm} had no teacher, but other fit data than {plain}; whether these are soft labels is '
        'not recorded.'
        for arm, models in recorded.items()
        if first and any(m.soft_labels is None and _learns_from_labels(first, m) for m in models)
    ]
    for what, names in (
        ('how these were trained', [(a, m) for a in arms for m in arms[a] if m.run is None]),
        ('whether these were finished', [(a, m) for a, m in every if _ended(m) is None]),
    ):
        if names:
            told = ', '.join(f'{arm} {model.name}' for arm, model in names)
            remarks.append(f'Not recorded is {what}: {told}.')
    return remarks


def unlike(arms: Mapping[str, Sequence[Model]]) -> dict[str, list[str] | None]:
    """Return how the training of each arm differed from that of the first network of the first.

    Returns:
        What differs, but for the seed, by name of the arm, as 'epochs 20 instead of 10', and which
        were not trained to the end; None where it is not recorded.
    """
    first = next(iter(arms.values()))[0]
    return {
        arm: None
        if any(model.run is None for model in (first, *models))
        else list(
            dict.fromkeys(
                told
                for model in models
                for told in (*_told(first, model, FREE), *_unfinished(model))
            )
        )
        for arm, models in arms.items()
    }


def _record(model: Model) -> dict[str, Any]:
    """Return what its training recorded; a setting that came later has its default."""
    hashed = dict.fromkeys(HASHED)
    record = {**Settings().to_dict(), **hashed, 'teachers': [], **(model.run or {})}
    # A teacher of the same size would only go on with its own training: that is no distillation.
    narrowed = record.pop('narrowed_from', None) is not None
    return {**record, STARTS: narrowed and record['start'] in record['teachers']}


def _has_teacher(model: Model) -> bool:
    return bool(_record(model)['teachers'])


def _may_have_soft_labels(model: Model) -> bool:
    return not _has_teacher(model) if model.soft_labels is None else model.soft_labels > 0


def _learns_from_labels(first: Model, model: Model) -> bool:
    """Return whether it has no teacher, but may have soft labels that the first has not."""
    own = not _has_teacher(model) and _may_have_soft_labels(model)
    return own and 'fit' in _differing(first, model)


def _check_teacher(arm: str, model: Model, plain: str, first: Model | None) -> None:
    """Refuse a plain network with a teacher, and one of another arm with nothing to learn from."""
    if arm == plain:
        what = 'a teacher' if _has_teacher(model) else 'soft labels' if model.soft_labels else ''
        if what:
            raise UserError(
                f'{arm} {model.name} was trained with {what}; give runs without as {plain} '
                f'({INSTEAD}).'
            )
    elif first and not _has_teacher(model) and not _learns_from_labels(first, model):
        raise UserError(
            f'{arm} {model.name} was trained with neither a teacher nor soft labels; give runs '
            f'with one of them as {arm} ({INSTEAD}).'
        )


def _check_finished(arm: str, model: Model) -> None:
    for told in _unfinished(model):
        raise UserError(f'{arm} {told}; let it go on with kd-yolo train --resume first.')


def _unfinished(model: Model) -> list[str]:
    """Say that it has epochs to go, if it has."""
    if _ended(model) is not False:
        return []
    return [f'{model.name} has not finished its {_record(model)["epochs"]} epochs']


def _ended(model: Model) -> bool | None:
    """Return whether its training did all epochs or stopped early; None where nothing tells."""
    record = _record(model)
    if model.epoch is not None and model.epoch + 1 == record['epochs']:
        return True
    if model.path.parent.name != RUN_WEIGHTS:
        return None
    rows = read_results(model.path.parent.parent)
    if not rows or len(rows) >= record['epochs']:
        return True if rows else None
    merit = 'mask_map50_95' if 'mask_map50_95' in rows[0] else 'map50_95'
    try:
        rated = {n: float(row[merit]) for n, row in enumerate(rows) if row.get(merit)}
    except ValueError:
        return None
    return bool(rated) and len(rows) - 1 - max(rated, key=rated.__getitem__) >= record['patience']


def _check_trained_alike(
    first_arm: str, first: Model, arm: str, model: Model, ignored: set[str]
) -> None:
    told = _told(first, model, ignored)
    if told:
        raise UserError(
            f'{arm} {model.name} was trained otherwise than {first_arm} {first.name}: '
            f'{", ".join(told)}; train them alike ({INSTEAD}).'
        )


def _told(first: Model, model: Model, ignored: set[str]) -> list[str]:
    """Say what differs between two trainings, with the second's value first."""
    mine, other = _record(model), _record(first)
    names = [name for name in {**other, **mine} if name in _differing(first, model) - ignored]
    return [
        f'other {HASHED[name]}'
        if name in HASHED
        else _teachers(len(mine[name]), len(other[name]))
        if name == 'teachers'
        else f'{"" if mine[STARTS] else "not "}{STARTS}'
        if name == STARTS
        else f'{name.replace("_", "-")} {_value(mine.get(name))} instead of '
        f'{_value(other.get(name))}'
        for name in names
    ]


def _differing(first: Model, model: Model) -> set[str]:
    """Return the names of what differs between two trainings."""
    mine, other = _record(model), _record(first)
    names = {name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name)}
    if STARTS in names:
        names.discard('start')
    # Those that are given to one may be those that the other found; two that each found its own
    # differ by their seed alone.
    if 'anchors' in names and _same(first.anchors, model.anchors):
        names.remove('anchors')
    return names


def _same(one: Any, other: Any) -> bool:
    return None not in (one, other) and np.allclose(one, other, rtol=1e-3)


def _teachers(mine: int, other: int) -> str:
    return 'other teachers' if mine and other else 'a teacher' if mine else 'no teacher'


def _value(value: Any) -> str:
    return 'none' if value in (None, '') else str(value)
