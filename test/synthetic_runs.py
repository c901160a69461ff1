# SPDX-License-Identifier: Apache-2.0
"""Training runs that were never trained, and detections as good as wished in their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from random_yolov5 import random_yolov5
from shapes import NAMES

from kd_yolo_ros.detections import Detections
from kd_yolo_training.data.dataset import DataSet
from kd_yolo_training.engine.run_folder import BEST, RESULTS, write_table, write_weights

IMGSZ = 64


def write_run(folder: Path, seed: int, file: str = BEST, size: str = 'n', **info: Any) -> Path:
    """Write a run of three epochs with random weights for the shapes; return its folder."""
    model = random_yolov5(len(NAMES), size, seed)
    described = {
        'format': 1,
        'architecture': f'yolov5{size}',
        'names': list(NAMES),
        'anchors_px': model.head.anchors_px.tolist(),
        'imgsz': [IMGSZ, IMGSZ],
        'epoch': 2,
        'run': {'seed': seed, 'fit': 'a hash'},
        'provenance': {'fit': {'description': 'shapes, fit', 'pictures': 16}},
        **info,
    }
    write_weights(folder / file, model.state_dict(), described)
    rows = [{'epoch': n, 'train_s': 50.0, 'evaluate_s': 10.0} for n in range(3)]
    write_table(folder / RESULTS, rows)
    return folder


def synthetic_found(
    data: DataSet, blur: float, seed: int, size: tuple[int, int] = (160, 120)
) -> list[tuple[Detections, tuple[int, int]]]:
    """Return every object of a data set found, its box moved by some pixels of `size`."""
    random = np.random.default_rng(seed)
    found = []
    for picture in data.pictures:
        boxes = picture.boxes * np.array(size * 2) + random.normal(0, blur, picture.boxes.shape)
        scores = np.sort(random.random(len(boxes)).astype(np.float32))[::-1]
        found.append((Detections(boxes.astype(np.float32), scores, picture.class_ids), size))
    return found
