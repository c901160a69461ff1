# SPDX-License-Identifier: Apache-2.0
"""One picture's objects beside what a model found there, in the model's classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from kd_yolo_ros.metrics.rle import Rle
from kd_yolo_ros.metrics.semantic import PixelCounts


@dataclass(frozen=True)
class ComparedMasks:
    """One picture's masks.

    Attributes:
        truth: of its N objects; of those without a mask, of their boxes.
        ignored: (N,) bool, which of these are regions to ignore: crowds, and what has a box only.
        found: of the M detections.
        pixel_area: pixels of the picture to one of the masks.
        pixels: how the semantic maps agree.
    """

    truth: Sequence[Rle]
    ignored: np.ndarray
    found: Sequence[Rle]
    pixel_area: float
    pixels: PixelCounts


@dataclass(frozen=True)
class ComparedPicture:
    """What is in a picture, and what was found. Boxes are x, y, width, height in its pixels.

    Attributes:
        name: the picture's key in the ground truth.
        truth_boxes: (N, 4) float64.
        truth_classes: (N,) int64; objects of classes that the model lacks are not among them.
        crowd: (N,) bool, regions to ignore (COCO's iscrowd).
        boxes: (M, 4) float64.
        classes: (M,) int64.
        scores: (M,) float64.
        masks: None where the model or the data has none.
    """

    name: str
    truth_boxes: np.ndarray
    truth_classes: np.ndarray
    crowd: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    masks: Optional[ComparedMasks] = None


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Return (N, 4) x1 y1 x2 y2 as float64 x y width height."""
    boxes = boxes.astype(np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
