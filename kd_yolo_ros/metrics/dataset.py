# SPDX-License-Identifier: Apache-2.0
"""A labelled data set: its pictures as a source, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Source, open_source
from kd_yolo_ros.frames.pictures import Pictures
from kd_yolo_ros.metrics.ground_truth import GroundTruth, read_ground_truth

PREPARED = 'dataset.yaml'  # of a data set that `kd-yolo data` made: its pictures and splits


def open_dataset(data: Path, images: Optional[Path] = None) -> Tuple[Source, GroundTruth]:
    """Open a YOLO folder, a COCO json (a prepared data set's split too), or a labelled bag.

    Args:
        data: the data set.
        images: pictures of a COCO json; without, see `coco_images`.

    Raises:
        UserError: nothing readable there.
    """
    data = Path(data)
    truth = read_ground_truth(data)
    if data.suffix == '.json':
        if images is None and (data.parent / PREPARED).is_file():
            # The folder holds the other splits too, which need not be decoded.
            return Pictures(coco_images(data), only=truth.pictures), truth
        images = images or coco_images(data)
    elif images is not None:
        raise UserError(f'--images is for a COCO json only; {data} has its own pictures.')
    return open_source(images or data), truth


def coco_images(file: Path) -> Path:
    """Return the folder of a COCO json's pictures.

    It is what a prepared data set's dataset.yaml beside the json names, where there is one;
    else the folder images/ beside it, else its own.

    Raises:
        UserError: that dataset.yaml names no folder.
    """
    described = file.parent / PREPARED
    if described.is_file():
        try:
            content = yaml.safe_load(described.read_text(encoding='utf-8'))
            return file.parent / content['images']
        except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError) as error:
            raise UserError(f'{described} names no folder of pictures: {error}') from error
    beside = file.parent / 'images'
    return beside if beside.is_dir() else file.parent
