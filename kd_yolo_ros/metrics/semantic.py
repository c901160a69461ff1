# SPDX-License-Identifier: Apache-2.0
"""Mean IoU of semantic maps that are painted from instances.

(M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2015: pixels of a class
that both maps have, to those that either has, over all pictures; then the mean over classes.)
"""

from __future__ import annotations

from typing import Dict, Iterable, NamedTuple, Sequence, Tuple

import numpy as np

from kd_yolo_ros.metrics.rle import Rle, areas, paint

NOTHING, VOID = -1, -2


class PixelCounts(NamedTuple):
    """Pixels of each class of a picture, (K,) each; classes that occur nowhere are left out.

    Attributes:
        classes: class ids.
        truth: pixels that are of the class.
        found: pixels that were found to be.
        both: pixels that are and were.
    """

    classes: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    both: np.ndarray


def truth_map(
    rles: Sequence[Rle], classes: np.ndarray, ignored: np.ndarray, size: Tuple[int, int]
) -> np.ndarray:
    """Paint objects: of two in one place the smaller is seen.

    Args:
        rles: their N masks.
        classes: (N,) class ids.
        ignored: (N,) bool, regions in which nothing counts unless an object is seen there.
        size: (height, width).

    Returns:
        (H, W) class ids, NOTHING or VOID.
    """
    if not len(rles):
        return np.full(size, NOTHING, np.int32, order='F')
    order = np.lexsort((-areas(rles), ~ignored))
    values = np.where(ignored, VOID, classes)
    return paint([rles[row] for row in order], values[order].tolist(), NOTHING)


def found_map(
    rles: Sequence[Rle],
    classes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    size: Tuple[int, int],
) -> np.ndarray:
    """Paint detections with a score of the threshold or above; the best lies on top.

    Returns:
        (H, W) class ids or NOTHING.
    """
    order = np.argsort(-scores, kind='stable')[::-1]
    order = order[scores[order] >= threshold]
    if not len(order):
        return np.full(size, NOTHING, np.int32, order='F')
    return paint([rles[row] for row in order], classes[order].tolist(), NOTHING)


def count_pixels(truth: np.ndarray, found: np.ndarray) -> PixelCounts:
    """Count the pixels of two maps; those that are VOID in the truth count nowhere."""
    counted = truth != VOID
    truth, found = truth[counted], found[counted]
    highest = int(max(truth.max(initial=0), found.max(initial=0))) + 1
    of_truth, of_found, of_both = (
        np.bincount(labels[labels >= 0], minlength=highest)
        for labels in (truth, found, truth[truth == found])
    )
    classes = np.flatnonzero(of_truth + of_found)
    return PixelCounts(classes, of_truth[classes], of_found[classes], of_both[classes])


def class_iou(pictures: Iterable[PixelCounts]) -> Dict[int, float]:
    """Return the IoU of every class that has a pixel in the truth, over all pictures."""
    sums: Dict[int, np.ndarray] = {}
    for classes, *counts in pictures:
        for class_id, row in zip(classes.tolist(), np.stack(counts, axis=1)):
            sums[class_id] = sums.get(class_id, 0) + row
    return {
        class_id: float(both / (truth + found - both))
        for class_id, (truth, found, both) in sorted(sums.items())
        if truth
    }
