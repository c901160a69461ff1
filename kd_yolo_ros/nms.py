# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression: of boxes that overlap too much, the best one stays."""

from __future__ import annotations

import cv2
import numpy as np

from kd_yolo_ros.decode import Candidates
from kd_yolo_ros.manifest import MAX_SIDE, Thresholds

# More candidates than this only occur at AP's threshold of 0.001, and cost more than they find.
MAX_CANDIDATES = 30_000

# No coordinate is looked at beyond this, so that one giant box cannot spoil the arithmetic.
FAR = 8 * MAX_SIDE


def strongest(candidates: Candidates, thresholds: Thresholds) -> np.ndarray:
    """Return the indices of the at most `thresholds.max_detections` best, highest score first."""
    return np.argsort(-candidates.scores, kind='stable')[: thresholds.max_detections]


def nms(candidates: Candidates, thresholds: Thresholds) -> np.ndarray:
    """Return the indices of the candidates that stay, highest score first.

    Greedy suppression at `thresholds.iou`, within each class or, if
    `thresholds.class_agnostic`, over all classes; at most `thresholds.max_detections`.
    """
    boxes, scores = candidates.boxes, candidates.scores
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    order = np.argsort(-scores, kind='stable')[:MAX_CANDIDATES]
    boxes = np.clip(boxes[order].astype(np.float64), -FAR, FAR)
    boxes[:, 2:] -= boxes[:, :2]  # OpenCV wants x, y, width, height
    if not thresholds.class_agnostic:
        # Classes are moved so far apart that only boxes of one class can overlap.
        boxes[:, :2] += (candidates.class_ids[order] * (2 * FAR + 1))[:, np.newaxis]
    # OpenCV takes arrays too, without the detour over lists that its type stubs ask for.
    kept = cv2.dnn.NMSBoxes(boxes, scores[order], 0.0, thresholds.iou)  # type: ignore[arg-type]
    return order[np.asarray(kept, np.int64).reshape(-1)[: thresholds.max_detections]]
