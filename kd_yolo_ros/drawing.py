# SPDX-License-Identifier: Apache-2.0
"""Boxes with class names and scores, and masks, drawn into a picture."""

from __future__ import annotations

import colorsys
from typing import Sequence, Tuple

import cv2
import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.masks import Masks

GOLDEN_RATIO = 0.618033988749895  # neighbouring class ids get hues that lie far apart
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(picture: np.ndarray, detections: Detections, class_names: Sequence[str]) -> np.ndarray:
    """Return a copy of a (H, W, 3) uint8 BGR picture with the detections drawn into it."""
    canvas = np.ascontiguousarray(picture).copy()
    if detections.masks is not None:
        _tint(canvas, detections.masks, detections.class_ids)
    size = max(canvas.shape[:2]) / 1280
    line = max(1, round(2 * size))
    for box, score, class_id in reversed(list(detections)):  # the best one lies on top
        colour = class_colour(class_id)
        left, top, right, bottom = (int(round(float(v))) for v in box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        _draw_label(canvas, f'{class_names[class_id]} {score:.2f}', (left, top), colour, size)
    return canvas


def class_colour(class_id: int) -> Tuple[int, int, int]:
    """Return a class's colour, (blue, green, red), the same everywhere."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * GOLDEN_RATIO) % 1, 0.75, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def _tint(canvas: np.ndarray, masks: Masks, class_ids: np.ndarray) -> None:
    """Give the pixels of each object half of its class's colour."""
    objects = masks.instance_map()
    if objects.shape != canvas.shape[:2]:
        objects = cv2.resize(objects, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = [(0, 0, 0), *(class_colour(int(class_id)) for class_id in class_ids)]
    painted = np.array(colours, np.uint8).take(objects, axis=0)
    tinted = cv2.addWeighted(canvas, 0.5, painted, 0.5, 0)
    cv2.copyTo(tinted, (objects > 0).view(np.uint8), canvas)


def _draw_label(
    canvas: np.ndarray,
    text: str,
    corner: Tuple[int, int],
    colour: Tuple[int, int, int],
    size: float,
) -> None:
    scale, thickness = max(0.4, 0.55 * size), max(1, round(1.5 * size))
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = max(corner[1], height + baseline)  # inside, where the box touches the upper edge
    cv2.rectangle(
        canvas, (left, bottom - height - baseline), (left + width, bottom), colour, cv2.FILLED
    )
    brightness = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]
    ink = (0, 0, 0) if brightness > 128 else (255, 255, 255)
    cv2.putText(
        canvas, text, (left, bottom - baseline + 1), FONT, scale, ink, thickness, cv2.LINE_AA
    )
