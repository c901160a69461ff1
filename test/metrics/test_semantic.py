# SPDX-License-Identifier: Apache-2.0
"""Semantic maps painted from instances, and their IoU worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.metrics.segmentation import box_rle
from kd_yolo_ros.metrics.semantic import (
    NOTHING,
    VOID,
    class_iou,
    count_pixels,
    found_map,
    truth_map,
)

SIZE = (6, 10)  # height, width


def boxes(*given):
    return [box_rle(np.array(box, float), SIZE[::-1]) for box in given]


def test_of_objects_the_smaller_is_seen_and_ignored_regions_lie_below():
    rles = boxes((0, 0, 2, 2), (0, 0, 4, 4), (3, 0, 10, 6))
    labels = truth_map(rles, np.array([5, 6, 7]), np.array([False, False, True]), SIZE)
    assert (labels[:2, :2] == 5).all() and (labels == 5).sum() == 4
    assert (labels[:4, :4] == 6).sum() == 12
    assert (labels == VOID).sum() == 7 * 6 - 4
    assert (labels[4:, :3] == NOTHING).all()


def test_of_detections_the_best_is_seen():
    rles = boxes((0, 0, 4, 4), (0, 0, 2, 2), (5, 0, 6, 1))
    labels = found_map(rles, np.array([1, 2, 3]), np.array([0.9, 0.5, 0.24]), 0.25, SIZE)
    assert (labels[:4, :4] == 1).all() and set(np.unique(labels)) == {NOTHING, 1}
    labels = found_map(rles, np.array([1, 2, 3]), np.array([0.25, 0.5, 0.24]), 0.25, SIZE)
    assert (labels == 2).sum() == 4 and (labels == 1).sum() == 12, 'the threshold belongs to it'


@pytest.mark.parametrize('size', [SIZE, (1, 1)])
def test_nothing(size):
    none = np.zeros(0, int)
    labels = truth_map([], none, none.astype(bool), size)
    assert labels.shape == size and (labels == NOTHING).all()
    assert (found_map([], none, none.astype(float), 0.25, size) == NOTHING).all()
    assert class_iou([count_pixels(labels, labels)]) == {}


def test_iou_by_hand():
    """Two pictures of 60 pixels.

    Of class 0 there are 4 x 4 and 2 x 2 pixels; found are 4 x 2 of the first, and 2 x 2 elsewhere.
    Class 1 is 2 x 6 pixels, of which half is in a region to ignore after all: there it was
    missed, outside it was found. Class 2 is never there, but is found.
    """
    first, second = (np.full(SIZE, NOTHING) for _ in range(2))
    first[:4, :4], second[:2, :2] = 0, 0
    second[:, 6:8] = 1
    second[3:, 6:] = VOID
    found = [np.full(SIZE, NOTHING) for _ in range(2)]
    found[0][:2, :4], found[0][4:, 8:] = 0, 0
    found[1][:3, 6:8] = 1
    found[1][5, :] = 2
    counts = [count_pixels(*pair) for pair in zip((first, second), found, strict=True)]
    assert counts[1].classes.tolist() == [0, 1, 2] and counts[1].found.tolist() == [0, 6, 6]
    iou = class_iou(counts)
    assert iou == {0: pytest.approx(8 / (20 + 12 - 8)), 1: 1.0}
    assert class_iou(counts[:1]) == {0: pytest.approx(8 / (16 + 12 - 8))}
