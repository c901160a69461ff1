# SPDX-License-Identifier: Apache-2.0
"""The outlines of what is visible of each object, from the numbers on the canvas."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas

HIDDEN = 0.15  # objects of which less than this share is seen are not labelled
_MIN_AREA, _MIN_SIDE = 24, 4  # px of a picture 1024 px wide
_TOLERANCE = 0.6  # px by which a polygon may leave the true outline


def visible_outlines(canvas: Canvas) -> list[tuple[str, np.ndarray]]:
    """Return (label, polygon (K, 2) float64 px) of each object that is seen, back to front.

    An object that others cut into pieces keeps one polygon: bridges of no width join the pieces.
    Polygons run along the borders of the pixels, so their extremes are the object's box.
    """
    found = []
    factor = canvas.camera.size[0] / 1024
    boxes = _windows(canvas)
    for instance in canvas.instances:
        box = boxes.get(instance.number)
        if box is None:
            continue
        x1, y1, x2, y2 = box
        mask = (canvas.numbers[y1:y2, x1:x2] == instance.number).astype(np.uint8)
        visible = int(cv2.countNonZero(mask))
        if visible < max(instance.area * HIDDEN, _MIN_AREA * factor * factor):
            continue
        polygon = _polygon(mask, max(4.0, 0.02 * visible))
        if polygon is None:
            continue
        low, high = polygon.min(0), polygon.max(0)
        if (high - low).min() < _MIN_SIDE * factor:
            continue
        found.append((instance.label, polygon + [x1, y1]))
    return found


def _windows(canvas: Canvas) -> dict[int, tuple[int, int, int, int]]:
    """Return {number: (x1, y1, x2, y2)} of the pixels of every instance, in one pass."""
    rows, columns = np.nonzero(canvas.numbers > 0)
    if not len(rows):
        return {}
    numbers = canvas.numbers[rows, columns]
    count = int(numbers.max()) + 1
    low = np.full((count, 2), 1 << 20)
    high = np.zeros((count, 2), int)
    for axis, where in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], numbers, where)
        np.maximum.at(high[:, axis], numbers, where + 1)
    seen = np.flatnonzero(high[:, 0])
    return {int(k): (*low[k].tolist(), *high[k].tolist()) for k in seen}


def _polygon(mask: np.ndarray, smallest: float) -> np.ndarray | None:
    # Grown by one to the right and below, the contour through the pixels' centres becomes
    # the border of the pixels.
    grown = cv2.dilate(np.pad(mask, ((1, 1), (1, 1))), np.ones((2, 2), np.uint8), anchor=(1, 1))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    kept = sorted((c for c in contours if cv2.contourArea(c) >= smallest), key=cv2.contourArea)
    if not kept:
        return None
    joined = _simple(kept.pop())
    while kept:
        joined = _bridge(joined, _simple(kept.pop()))
    return joined.astype(float) - 1


def _simple(contour: np.ndarray) -> np.ndarray:
    """Return a contour (K, 2) with fewer corners but the same extremes."""
    points = cv2.approxPolyDP(contour, _TOLERANCE, True)[:, 0]
    full = contour[:, 0]
    same = (points.min(0) == full.min(0)).all() and (points.max(0) == full.max(0)).all()
    return points if same and len(points) >= 3 else full


def _bridge(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Join two outlines by a line there and back between their nearest corners."""
    distance = ((first[:, None] - second[None]) ** 2).sum(-1)
    i, j = np.unravel_index(int(distance.argmin()), distance.shape)
    return np.concatenate([first[: i + 1], second[j:], second[: j + 1], first[i:]])
