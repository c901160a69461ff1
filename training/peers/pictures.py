# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures for a timing where no data set is named; what is on them does not matter.

They are of a street picture's size, cost as much to decode, and hold as many objects.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from kd_yolo_ros.metrics.report import write_whole

from ..data.dataset import Picture
from ..data.prepared import is_prepared, write_prepared

WIDTH, HEIGHT = 1024, 512
NAMES = tuple(f'kind {number}' for number in range(10))
MEAN_OBJECTS = 15  # on a Cityscapes picture there are about as many


def timing_pictures(folder: Path, count: int, seed: int = 0) -> Path:
    """Write a prepared data set with a fit split, unless it is there; return its folder."""
    if is_prepared(folder):
        return folder
    random = np.random.default_rng(seed)
    images = folder / 'images'
    pictures = [_picture(images / f'{number:05}.jpg', random) for number in range(count)]
    source = {'generated for timing': count, 'seed': seed}
    write_prepared(folder, NAMES, images, {'fit': pictures}, source)
    return folder


def _picture(file: Path, random: np.random.Generator) -> Picture:
    """Write boxes of one colour each, nearer ones larger, before sky and road with texture."""
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[: HEIGHT // 2], image[HEIGHT // 2 :] = random.integers(60, 220, (2, 3))
    texture = random.integers(0, 48, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    image = cv2.add(image, cv2.resize(texture, (WIDTH, HEIGHT)))
    count = int(random.poisson(MEAN_OBJECTS))
    boxes = np.empty((count, 4), np.float32)
    for box in boxes:
        height = int(min(HEIGHT * 0.6, 12 * np.exp(random.exponential(1.0))))
        width = int(min(WIDTH * 0.4, height * random.uniform(0.4, 2.0))) + 4
        left = int(random.integers(0, WIDTH - width))
        top = min(HEIGHT // 2 - height // 3, HEIGHT - height)
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), colour, -1)
        box[:] = left / WIDTH, top / HEIGHT, (left + width) / WIDTH, (top + height) / HEIGHT
    _, encoded = cv2.imencode('.jpg', image)
    write_whole(file, encoded.tobytes())
    return Picture(
        file,
        boxes,
        random.integers(0, len(NAMES), count),
        np.zeros(count, bool),
        ((),) * count,
        (WIDTH, HEIGHT),
    )
