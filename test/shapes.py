# SPDX-License-Identifier: Apache-2.0
"""A small prepared data set that a network can learn in seconds: coloured shapes on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from kd_yolo_training.data.dataset import Picture
from kd_yolo_training.data.prepared import write_prepared

NAMES = ('disc', 'square', 'triangle')
COLOURS = ((60, 60, 220), (60, 200, 60), (220, 80, 60))


def write_shapes(
    folder: Path, fit: int = 16, select: int = 4, size: tuple[int, int] = (160, 120), seed: int = 0
) -> Path:
    """Write pictures of `size` (width, height) with one to four shapes each; return the folder."""
    random = np.random.default_rng(seed)
    splits: dict[str, list[Picture]] = {'fit': [], 'select': []}
    for split, count in (('fit', fit), ('select', select)):
        for number in range(count):
            file = folder / 'images' / f'{split}_{number:03}.png'
            splits[split].append(_write(file, size, random))
    write_prepared(folder, NAMES, folder / 'images', splits, {'made by': 'the tests'})
    return folder


def _write(file: Path, size: tuple[int, int], random: np.random.Generator) -> Picture:
    width, height = size
    canvas = random.integers(90, 140, (height, width, 3), dtype=np.uint8)
    boxes, class_ids, polygons = [], [], []
    cells = random.permutation(4)[: random.integers(1, 5)]  # one shape to a quarter: no overlap
    for cell in cells:
        side = int(random.integers(height // 6, height // 3))
        left = int(cell % 2 * width // 2 + random.integers(0, width // 2 - side))
        top = int(cell // 2 * height // 2 + random.integers(0, height // 2 - side))
        class_id = int(random.integers(3))
        ring = _ring(class_id, left, top, side)
        cv2.fillPoly(canvas, [ring], COLOURS[class_id])
        relative = ring.astype(np.float32) / (width, height)
        boxes.append((*relative.min(0), *relative.max(0)))
        class_ids.append(class_id)
        polygons.append((relative.astype(np.float32),))
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), canvas)
    return Picture(
        file,
        np.array(boxes, np.float32),
        np.array(class_ids),
        np.zeros(len(boxes), bool),
        tuple(polygons),
        size,
    )


def _ring(class_id: int, left: int, top: int, side: int) -> np.ndarray:
    if class_id == 0:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        centre = np.array((left + side / 2, top + side / 2))
        return (centre + side / 2 * np.stack((np.cos(angles), np.sin(angles)), 1)).astype(np.int32)
    square, triangle = ((0, 0), (1, 0), (1, 1), (0, 1)), ((0.5, 0), (1, 1), (0, 1))
    corners = square if class_id == 1 else triangle
    return (np.array(corners) * side + (left, top)).astype(np.int32)
