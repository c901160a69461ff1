# SPDX-License-Identifier: Apache-2.0
"""Training runs that were never trained, and detections as good as wished in their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from random_yolov5 import random_yolov5
from shapes import NAMES

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.metrics.found import Found
from kd_yolo_ros.metrics.ground_truth import Truth
from kd_yolo_ros.metrics.rle import EncodedMasks
from kd_yolo_training.data.dataset import DataSet, Picture
from kd_yolo_training.engine.run_folder import BEST, RESULTS, write_table, write_weights

IMGSZ = 64


def write_run(
    folder: Path,
    seed: int,
    file: str = BEST,
    size: str = 'n',
    masks: int = 0,
    recorded: Mapping[str, Any] | None = None,
    **info: Any,
) -> Path:
    """Write a run of three epochs with random weights for the shapes; return its folder.

    `recorded` is added to the settings that a run records.
    """
    model = random_yolov5(len(NAMES), size, seed, masks)
    described = {
        'format': 1,
        'architecture': f'yolov5{size}',
        'names': list(NAMES),
        'anchors_px': model.head.anchors_px.tolist(),
        'imgsz': [IMGSZ, IMGSZ],
        'epoch': 2,
        'run': {'seed': seed, 'epochs': 3, 'fit': 'a hash', 'teachers': [], **(recorded or {})},
        'provenance': {'fit': {'description': 'shapes, fit', 'pictures': 16}},
        **info,
    }
    write_weights(folder / file, model.state_dict(), described)
    rows = [{'epoch': n, 'train_s': 50.0, 'evaluate_s': 10.0} for n in range(3)]
    write_table(folder / RESULTS, rows)
    return folder


def synthetic_found(
    data: DataSet,
    blur: float,
    seed: int,
    size: tuple[int, int] = (160, 120),
    mask_blur: float | None = None,
) -> list[Found]:
    """Return every object of a data set found, its box moved by some pixels of `size`.

    With `mask_blur` it has a mask: its outline, moved by that many pixels.
    """
    random = np.random.default_rng(seed)
    found = []
    for picture in data.pictures:
        boxes = picture.boxes * np.array(size * 2) + random.normal(0, blur, picture.boxes.shape)
        scores = np.sort(random.random(len(boxes)).astype(np.float32))[::-1]
        detections = Detections(boxes.astype(np.float32), scores, picture.class_ids)
        masks = None
        if mask_blur is not None:
            moved = random.normal(0, mask_blur, (len(boxes), 2)) / size
            masks = _moved_masks(picture, moved, size)
        found.append(Found(detections, size, masks))
    return found


def _moved_masks(picture: Picture, moved: np.ndarray, size: tuple[int, int]) -> EncodedMasks:
    outlines = tuple(
        tuple(one + by for one in polygons)
        for polygons, by in zip(picture.polygons, moved, strict=True)
    )
    truth = Truth(picture.boxes, picture.class_ids, picture.crowd, (1, 1), outlines)
    rles = truth.masks_on(*size)
    return EncodedMasks(size[::-1], tuple(rle['counts'] for rle in rles))
