# SPDX-License-Identifier: Apache-2.0
"""One picture's objects beside what a model found there, in the model's classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """

    name: str
    truth_boxes: np.ndarray
    truth_classes: np.ndarray
    crowd: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Return (N, 4) x1 y1 x2 y2 as float64 x y width height."""
    boxes = boxes.astype(np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
