# SPDX-License-Identifier: Apache-2.0
"""A labelled data set: its pictures as a source, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Source, open_source
from kd_yolo_ros.metrics.ground_truth import GroundTruth, read_ground_truth


def open_dataset(data: Path, images: Optional[Path] = None) -> Tuple[Source, GroundTruth]:
    """Open a YOLO folder (images/ and labels/), a COCO json, or a bag with ground truth.

    Args:
        data: the data set.
        images: pictures of a COCO json; without, the folder images/ beside it, else its own.

    Raises:
        UserError: nothing readable there.
    """
    data = Path(data)
    truth = read_ground_truth(data)
    if data.suffix == '.json':
        beside = data.parent / 'images'
        images = images or (beside if beside.is_dir() else data.parent)
    elif images is not None:
        raise UserError(f'--images is for a COCO json only; {data} has its own pictures.')
    return open_source(images or data), truth
