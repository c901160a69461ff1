# SPDX-License-Identifier: Apache-2.0
"""Several data sets and folders of unlabelled pictures as one, for teachers to annotate."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import list_pictures

from .dataset import DataSet, Picture, Problem
from .prepared import SPLITS, is_prepared, read_prepared
from .read import read_dataset
from .yolo import is_yolo


@dataclass
class Gathered:
    """What several sources hold together.

    Attributes:
        splits: pictures by split, with absolute paths; of SPLITS those that are there.
        names: class names by class id; () where no source is labelled.
        problems: what was left out.
        description: of all sources; no path of the machine.
        known: unlabelled pictures that another source has with labels, and that were left out.
    """

    splits: dict[str, list[Picture]]
    names: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    description: str = ''
    known: int = 0


def gather(sources: Sequence[Path], split: str) -> Gathered:
    """Read sources; what has no splits of its own belongs to `split`.

    A folder that is no data set holds unlabelled pictures. Of those, pictures that a labelled
    source has in any split are left out: what a model is chosen by or reported on must not be
    trained on.

    Args:
        sources: prepared data sets, COCO jsons, YOLO folders and folders of pictures.
        split: one of SPLITS.

    Raises:
        UserError: a source cannot be read, two name other classes or hold the same picture, or
            nothing belongs to `split`.
    """
    every = Gathered({name: [] for name in SPLITS})
    where: dict[object, str] = {}
    unlabelled: list[Path] = []
    descriptions = []
    for source in sources:
        if is_unlabelled(source):
            found = list_pictures(source)
            if not found:
                raise UserError(f'{source} holds neither a data set nor a picture.')
            unlabelled += found
            descriptions.append(f'{len(found)} pictures of {source.resolve().name}')
            continue
        for name, data in _splits_of(source, split):
            _add(every, name, data, where)
            descriptions.append(data.description)
    for file in unlabelled:
        picture = _unlabelled(Path(os.path.abspath(file)))
        known = _identity(picture.file)
        if known in where:
            every.known += bool(where[known])
        else:
            where[known] = ''
            every.splits[split].append(picture)
    every.splits = {name: pictures for name, pictures in every.splits.items() if pictures}
    if split not in every.splits:
        raise UserError(
            f'there is no picture for {split!r}; there is '
            f'{", ".join(every.splits) or "none for any split"}.'
        )
    every.description = '; '.join(descriptions)
    return every


def is_unlabelled(source: Path) -> bool:
    """Say whether a path is a folder of pictures and no data set."""
    return source.is_dir() and not is_prepared(source) and not is_yolo(source)


def _splits_of(source: Path, split: str) -> Iterable[tuple[str, DataSet]]:
    if not source.exists() or not is_prepared(source):
        return [(split, read_dataset(source))]
    return [(name, read_dataset(source, name)) for name in read_prepared(source).splits]


def _add(every: Gathered, split: str, data: DataSet, where: dict[object, str]) -> None:
    if every.names and data.names != every.names:
        raise UserError(
            f'{data.description} has other classes than the sources before it; '
            'all need the same names in the same order.'
        )
    every.names = data.names
    every.problems += data.problems
    for picture in data.pictures:
        file = Path(os.path.abspath(picture.file))
        known = _identity(file)
        if known in where:
            raise UserError(
                f'{file} is in {where[known]} and in {data.description}; take one out.'
            )
        where[known] = data.description
        every.splits.setdefault(split, []).append(dataclasses.replace(picture, file=file))


def _identity(file: Path) -> object:
    """Return what links of both kinds to one picture have in common."""
    try:
        about = file.stat()
    except OSError:  # missing; it is reported later
        return file
    return about.st_dev, about.st_ino


def _unlabelled(file: Path) -> Picture:
    none = np.zeros((0, 4), np.float32)
    return Picture(file, none, np.zeros(0, np.int64), np.zeros(0, bool), ())
