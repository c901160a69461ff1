# SPDX-License-Identifier: Apache-2.0
"""Fewer pictures, or fewer classes, of a data set."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kd_yolo_ros.errors import UserError

from .dataset import Picture


def draw(pictures: Sequence[Picture], count: int, seed: int) -> tuple[Picture, ...]:
    """Return `count` pictures drawn without replacement, or all, in their order."""
    chosen = random.Random(seed).sample(range(len(pictures)), min(count, len(pictures)))
    return tuple(pictures[index] for index in sorted(chosen))


def with_classes(
    pictures: Sequence[Picture], names: Sequence[str], wanted: Sequence[str], only: bool
) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Return the pictures with an object of the wanted classes, and the class names.

    Args:
        pictures: of any data set.
        names: its class names by class id.
        wanted: classes of which a picture must have an object; crowd regions are none.
        only: drop the other classes, so that `wanted` becomes the names, in its order.

    Raises:
        UserError: a wanted class is none of the names.
    """
    for name in wanted:
        if name not in names:
            raise UserError(f'there is no class {name!r}; there are {", ".join(names)}.')
    wanted = tuple(dict.fromkeys(wanted))
    ids = [names.index(name) for name in wanted]
    kept = [p for p in pictures if np.isin(p.class_ids[~p.crowd], ids).any()]
    if not only:
        return tuple(kept), tuple(names)
    return tuple(_only(picture, ids) for picture in kept), wanted


def _only(picture: Picture, ids: Sequence[int]) -> Picture:
    """Return a picture with the labels of these classes, which are numbered anew."""
    rows = np.flatnonzero(np.isin(picture.class_ids, ids))
    return dataclasses.replace(
        picture,
        boxes=picture.boxes[rows],
        class_ids=np.array([ids.index(i) for i in picture.class_ids[rows].tolist()], np.int64),
        crowd=picture.crowd[rows],
        polygons=tuple(picture.polygons[row] for row in rows),
        weights=None if picture.weights is None else picture.weights[rows],
    )


def common_folder(pictures: Sequence[Picture]) -> Path:
    """Return the deepest folder that holds all pictures."""
    return Path(os.path.commonpath([os.path.abspath(p.file.parent) for p in pictures]))
