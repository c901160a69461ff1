# SPDX-License-Identifier: Apache-2.0
"""The folder that every `kd-yolo data …` verb writes: `dataset.yaml` and a COCO json per split.

Pictures stay where they are; `dataset.yaml` names their folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.dataset import PREPARED as FILE
from kd_yolo_ros.metrics.report import write_whole

from .coco import write_coco
from .dataset import Picture

SPLITS = ('fit', 'calibrate', 'select', 'val')


@dataclass(frozen=True)
class Prepared:
    """What `dataset.yaml` says.

    Attributes:
        folder: where it lies.
        names: class names by class id.
        images: folder that the pictures' names are relative to.
        splits: the COCO json of each split; of SPLITS those that hold a picture.
        source: where the pictures and labels came from, and how they were split.
    """

    folder: Path
    names: tuple[str, ...]
    images: Path
    splits: Mapping[str, Path]
    source: Mapping[str, Any]

    def split(self, name: str) -> Path:
        """Return the COCO json of a split; UserError naming the others where there is none."""
        if name not in self.splits:
            raise UserError(
                f'{self.folder} has no split {name!r}; it has {", ".join(self.splits)}.'
            )
        return self.splits[name]


def is_prepared(path: Path) -> bool:
    """Say whether a path is a prepared data set or its dataset.yaml."""
    return path.name == FILE or (path / FILE).is_file()


def read_prepared(path: Path) -> Prepared:
    """Read a prepared data set's `dataset.yaml`.

    Raises:
        UserError: it is not there, or says something else than it should.
    """
    folder = path.parent if path.name == FILE else path
    file = folder / FILE
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}.') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f'{file} is not valid YAML: {" ".join(str(error).split())}.') from error
    try:
        names = [str(name) for name in content['names']]
        images = folder / str(content['images'])
        splits = {str(split): folder / str(name) for split, name in content['splits'].items()}
        source = dict(content.get('source') or {})
        if not names or not isinstance(content['names'], list):
            raise TypeError
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f'{file} is no prepared data set, expected names (a list), images (a folder) and '
            'splits (a COCO json for each); make one with `kd-yolo data`.'
        ) from None
    return Prepared(folder, tuple(names), images, splits, source)


def write_prepared(
    folder: Path,
    names: Sequence[str],
    images: Path,
    splits: Mapping[str, Sequence[Picture]],
    source: Mapping[str, Any],
) -> Prepared:
    """Write a prepared data set; `dataset.yaml` comes last, so it is whole once that is there.

    Args:
        folder: where to; made if need be.
        names: class names by class id.
        images: folder with all pictures in it.
        splits: pictures by split, with sizes; a split without pictures is left out.
        source: what to note about where it came from; plain values.

    Raises:
        UserError: nothing to write, a picture lies elsewhere, or the folder cannot be written.
    """
    filled = {split: pictures for split, pictures in splits.items() if len(pictures)}
    if not filled:
        raise UserError(f'no picture is left to write to {folder}.')
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (folder / FILE).unlink()
    files = {split: f'{split}.json' for split in filled}
    for split, pictures in filled.items():
        write_coco(folder / files[split], pictures, names, images)
    where, root = (Path(os.path.abspath(path)) for path in (images, folder))
    if where.is_relative_to(root):
        where = where.relative_to(root)
    content = {
        'names': list(names),
        'images': where.as_posix(),
        'splits': files,
        'source': dict(source),
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_whole(folder / FILE, text.encode())
    return read_prepared(folder)
