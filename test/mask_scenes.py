# SPDX-License-Identifier: Apache-2.0
"""Objects with outlines, and what a network that segments could have found of them."""

from __future__ import annotations

import cv2
import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth

WIDTH, HEIGHT = 200, 120


def ellipse(box: np.ndarray) -> np.ndarray:
    """Return the outline of an ellipse in a box, (24, 2)."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) / 2
    return (box[:2] + box[2:]) / 2 + circle * (box[2:] - box[:2])


def random_truth(seed: int, pictures: int = 12, plain: float = 0.2) -> GroundTruth:
    """Return pictures of up to 5 ellipses of two classes; some are crowds, some have boxes only.

    Args:
        seed: of the random numbers.
        pictures: how many.
        plain: share of each of those, crowds and boxes.
    """
    random = np.random.default_rng(seed)
    content = {}
    for number in range(pictures):
        count = int(random.integers(0, 6))
        corner = random.uniform(0, 60, (count, 2))
        boxes = np.hstack([corner, corner + random.uniform(15, 60, (count, 2))])
        kinds = random.random(count)
        outlines = [[ellipse(box).ravel().tolist()] if kind < 1 - plain else []
                    for box, kind in zip(boxes, kinds, strict=True)]  # fmt: skip
        crowd = kinds < plain
        size = (WIDTH, HEIGHT)
        ids = random.integers(0, 2, count)
        content[f'{number}.png'] = Truth(boxes, ids, crowd, size, tuple(outlines))
    return GroundTruth(content, None, 'a test')


def random_found(
    truth: GroundTruth, seed: int, blur: float = 4.0, scale: float = 1.0, classes: int = 3
) -> dict[str, Detections]:
    """Return each object about twice, more or less well, and things that are not there.

    Args:
        truth: the objects.
        seed: of the random numbers.
        blur: pixels by which boxes and masks are moved.
        scale: of the masks' pictures.
        classes: how many a model has.
    """
    random = np.random.default_rng(seed)
    found = {}
    for name, one in truth.pictures.items():
        boxes = np.vstack([np.repeat(one.boxes, 2, axis=0), random.uniform(0, 60, (3, 4))])
        boxes[-3:, 2:] += 62
        boxes = (boxes + random.normal(0, blur, boxes.shape)).astype(np.float32)
        limits = [WIDTH, HEIGHT] * 2
        boxes = np.clip(boxes, 0, limits)
        ids = np.concatenate([np.repeat(one.class_ids, 2), random.integers(0, classes, 3)])
        wrong = random.random(len(ids)) < 0.1
        ids[wrong] = random.integers(0, classes, int(wrong.sum()))
        scores = np.sort(random.random(len(ids)).astype(np.float32))[::-1]
        order = random.permutation(len(ids))
        found[name] = Detections(boxes[order], scores, ids[order], masks_in(boxes[order], scale))
    return found


def masks_in(boxes: np.ndarray, scale: float = 1.0) -> Masks:
    """Return masks of ellipses in boxes, in a picture of WIDTH x HEIGHT or a scaled one."""
    size = (round(HEIGHT * scale), round(WIDTH * scale))
    corners, crops = [], []
    for box in boxes * scale:
        picture = np.zeros(size, np.uint8)
        cv2.fillPoly(picture, [np.round(ellipse(box)).astype(np.int32)], 1)
        x1, y1 = np.floor(box[:2]).astype(int)
        x2, y2 = np.ceil(box[2:]).astype(int)
        corners.append((x1, y1))
        crops.append(picture[y1:y2, x1:x2] > 0)
    return Masks(size, np.array(corners, np.int64).reshape(-1, 2), tuple(crops))
