# SPDX-License-Identifier: Apache-2.0
"""What makes a label usable, the same for every format: one picture's rows become a `Picture`.

A row that cannot be used is left out and reported; it never takes the others along.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .dataset import Picture, Problem

ROUNDING_PX = 1.0  # tools write boxes at the border a little outside of the picture
ROUNDING = 0.002  # the same, relative, where the labels do not tell the picture's size
SAME = 1e-5  # boxes that differ by less are the same box


@dataclass(frozen=True)
class Label:
    """One row as a label file has it, not yet checked.

    Attributes:
        where: names it within its file, as in `line 3`.
        class_id: index into the data set's names.
        box: x1 y1 x2 y2, relative to the picture.
        crowd: COCO's iscrowd.
        polygons: outlines, (K, 2) relative each.
        weight: a teacher's score, 1 for a person's label.
    """

    where: str
    class_id: int
    box: tuple[float, float, float, float]
    crowd: bool = False
    polygons: tuple[np.ndarray, ...] = ()
    weight: float = 1.0


def box_around(polygons: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Return the extremes of x and y of (K, 2) outlines: x1 y1 x2 y2."""
    points = np.concatenate(polygons)
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return x1, y1, x2, y2


def to_picture(
    file: Path,
    labels: Sequence[Label],
    classes: int,
    size: tuple[int, int] | None = None,
    label_file: Path | None = None,
) -> tuple[Picture, list[Problem]]:
    """Return a picture with those of its labels that can be used, and what was wrong with others.

    Boxes and polygons are clipped to the picture; more than a rounding error is reported.

    Args:
        file: the picture.
        labels: its rows.
        classes: how many classes the data set has.
        size: (width, height) in pixels where the labels tell it.
        label_file: what to name in problems; the picture itself without.
    """
    problems = []
    kept: list[Label] = []
    seen: set[tuple] = set()
    slack_x, slack_y = (ROUNDING_PX / side for side in size) if size else (ROUNDING, ROUNDING)

    def note(label: Label, what: str) -> None:
        problems.append(Problem(label_file or file, f'{label.where}: {what}'))

    for label in labels:
        wrong = _wrong(label, classes)
        if wrong:
            note(label, wrong)
            continue
        x1, y1, x2, y2 = label.box
        outside = max(-x1, x2 - 1) > slack_x or max(-y1, y2 - 1) > slack_y
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, 1.0), min(y2, 1.0))
        key = (label.class_id, label.crowd, *(round(value / SAME) for value in box))
        if key in seen:
            note(label, 'stands there twice; counted once')
            continue
        seen.add(key)
        if outside:
            note(label, 'the box lies partly outside the picture; clipped')
        kept.append(dataclasses.replace(label, box=box))
    weights = np.array([label.weight for label in kept], np.float32)
    picture = Picture(
        file=file,
        boxes=np.array([label.box for label in kept], np.float32).reshape(-1, 4),
        class_ids=np.array([label.class_id for label in kept], np.int64),
        crowd=np.array([label.crowd for label in kept], bool),
        polygons=tuple(
            tuple(np.clip(p, 0, 1).astype(np.float32) for p in label.polygons) for label in kept
        ),
        size=size,
        weights=weights if (weights < 1).any() else None,
    )
    return picture, problems


def _wrong(label: Label, classes: int) -> str:
    """Return why a label cannot be used, '' where it can."""
    x1, y1, x2, y2 = label.box
    if not all(map(math.isfinite, label.box)):
        return 'a coordinate is no finite number; left out'
    if not 0 <= label.class_id < classes:
        return f'class {label.class_id} is none of the {classes} classes; left out'
    if x2 <= x1 or y2 <= y1:
        return 'width and height must be above 0; left out'
    if not 0 < label.weight <= 1:
        return f'the score {label.weight:g} is not above 0 and at most 1; left out'
    if x1 >= 1 or y1 >= 1 or x2 <= 0 or y2 <= 0:
        return 'the box lies outside the picture; left out'
    return ''


def missing_picture(file: Path) -> Problem | None:
    """Return what is wrong with a picture file before it is opened, None where nothing is."""
    try:
        if file.stat().st_size:
            return None
        return Problem(file, 'the file is empty; left out')
    except OSError as error:
        return Problem(file, f'{error.strerror}; left out')
