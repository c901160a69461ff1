# SPDX-License-Identifier: Apache-2.0
"""Small labelled sets of pictures in YOLO and COCO form, for tests of the readers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48

# Annotations of the first picture: a crowd with a run-length mask, and an outline.
SQUARE = {
    'id': 1,
    'image_id': 1,
    'category_id': 3,
    'bbox': [8, 8, 16, 16],
    'area': 256,
    'iscrowd': 1,
    'segmentation': {'counts': [0, 1], 'size': [HEIGHT, WIDTH]},
}
TRIANGLE = {
    'id': 2,
    'image_id': 1,
    'category_id': 7,
    'bbox': [16, 12, 32, 24],
    'area': 384,
    'iscrowd': 0,
    'segmentation': [[16, 12, 48, 12, 32, 36]],
}


def noise(seed: int) -> np.ndarray:
    """Return a picture of noise, (48, 64, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def write_pictures(folder: Path, count: int) -> Path:
    """Write images/0.png, images/1.png, … and return the folder."""
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for number in range(count):
        assert cv2.imwrite(str(folder / 'images' / f'{number}.png'), noise(number))
    return folder


def write_yolo(
    folder: Path, labels: Sequence[str | None], names: Sequence[str] | None = None
) -> Path:
    """Write a picture for each label file's text (None: without a label file)."""
    write_pictures(folder, len(labels))
    (folder / 'labels').mkdir(exist_ok=True)
    for number, text in enumerate(labels):
        if text is not None:
            (folder / 'labels' / f'{number}.txt').write_text(text)
    if names:
        (folder / 'classes.txt').write_text('\n'.join(names))
    return folder


def coco_json(file: Path, annotations: Sequence[Any], pictures: int = 2) -> Path:
    """Write a COCO json of 0.png, 1.png, … with ids from 1, and categories 7 and 3."""
    content = {
        'images': [
            {'id': number + 1, 'file_name': f'{number}.png', 'width': WIDTH, 'height': HEIGHT}
            for number in range(pictures)
        ],
        'annotations': list(annotations),
        'categories': [{'id': 7, 'name': 'person'}, {'id': 3, 'name': 'car'}],
    }
    file.write_text(json.dumps(content))
    return file
