# SPDX-License-Identifier: Apache-2.0
"""`read_dataset`: the one way in which training opens labelled pictures, whatever their form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.dataset import coco_images

from .coco import read_coco
from .dataset import DataSet
from .prepared import is_prepared, read_prepared
from .yolo import is_yolo, read_yolo


def read_dataset(path: Path, split: str | None = None) -> DataSet:
    """Read a prepared data set, a COCO json or a YOLO folder.

    A single bad row or picture is left out and stands in `problems`. Pictures are not decoded
    here; `kd_yolo_training.data.check.check_pictures` does.

    Args:
        path: a prepared folder (or its dataset.yaml), a COCO .json, or a folder with images/
            and labels/.
        split: which part of a prepared data set: fit, calibrate, select or val.

    Raises:
        UserError: nothing usable is there, or the split is missing or not called for.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path} does not exist.')
    if is_prepared(path):
        prepared = read_prepared(path)
        if split is None:
            raise UserError(f'{path}: name one of its splits, {", ".join(prepared.splits)}.')
        name = f'{prepared.folder.resolve().name}, {split}'
        data = read_coco(prepared.split(split), prepared.images, name)
        if data.names != prepared.names:
            raise UserError(
                f'{prepared.split(split)} has other classes than dataset.yaml beside it; '
                'make the data set anew.'
            )
        return data
    if split is not None:
        raise UserError(f'{path} has no splits; make a prepared data set with `kd-yolo data`.')
    if path.suffix == '.json':
        return read_coco(path, coco_images(path))
    if is_yolo(path):
        data = read_yolo(path)
        return dataclasses.replace(data, description=f'YOLO labels of {path.resolve().name}')
    raise UserError(
        f'{path} is no data set, expected a prepared one (dataset.yaml), a COCO .json, or a '
        'folder with images/ and labels/.'
    )
