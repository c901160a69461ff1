# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression against a greedy one written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.decode import Candidates
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.nms import nms


def random_candidates(number, classes=3, seed=0, side=300):
    """Boxes of a crowd, some of them outside of the picture, with scores of their own."""
    random = np.random.default_rng(seed)
    corner = random.random((number, 2)) * side - side / 4
    boxes = np.concatenate([corner, corner + random.random((number, 2)) * side / 3], 1)
    # Half of them are seen again, nearly at the same place.
    boxes[number // 2 :] = boxes[: number - number // 2] * [1.03, 0.97, 1.03, 0.97]
    scores = random.permutation(np.linspace(0.01, 0.99, number))
    return Candidates(
        boxes.astype(np.float32), scores.astype(np.float32), random.integers(0, classes, number)
    )


def overlap(a, b):
    """Intersection over union of two x1 y1 x2 y2."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def slow_nms(candidates, thresholds):
    boxes = candidates.boxes.astype(np.float64)
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -candidates.scores[i]):
        rivals = [
            other
            for other in kept
            if thresholds.class_agnostic
            or candidates.class_ids[other] == candidates.class_ids[index]
        ]
        if all(overlap(boxes[other], boxes[index]) <= thresholds.iou for other in rivals):
            kept.append(index)
    return kept[: thresholds.max_detections]


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('iou', [0.0, 0.3, 0.45, 0.65, 1.0])
@pytest.mark.parametrize('seed', range(3))
def test_as_a_slow_greedy_one(agnostic, iou, seed):
    candidates = random_candidates(250, seed=seed)
    thresholds = Thresholds(iou=iou, class_agnostic=agnostic)
    expected = slow_nms(candidates, thresholds)
    assert nms(candidates, thresholds).tolist() == expected
    assert 0 < len(expected) <= 250 and (iou == 1 or len(expected) < 250)


def test_classes_matter_only_where_they_should():
    box = np.array([[10, 10, 50, 50]] * 2, np.float32)
    candidates = Candidates(box, np.array([0.5, 0.9], np.float32), np.array([0, 1]))
    assert nms(candidates, Thresholds()).tolist() == [1, 0]
    assert nms(candidates, Thresholds(class_agnostic=True)).tolist() == [1]


@pytest.mark.parametrize('most', [1, 7, 300])
def test_at_most_max_detections(most):
    candidates = random_candidates(400)
    thresholds = Thresholds(iou=0.9, max_detections=most)
    kept = nms(candidates, thresholds)
    assert len(kept) == most and kept.tolist() == slow_nms(candidates, thresholds)


def test_equal_scores_keep_their_order():
    boxes = np.array([[x, 0, x + 8, 8] for x in range(0, 100, 10)], np.float32)
    candidates = Candidates(boxes, np.full(10, 0.5, np.float32), np.zeros(10, np.int64))
    assert nms(candidates, Thresholds()).tolist() == list(range(10))


def test_far_away_boxes_and_many_classes_do_not_get_mixed_up():
    candidates = random_candidates(150, classes=80, side=8000)
    thresholds = Thresholds(iou=0.2)
    assert nms(candidates, thresholds).tolist() == slow_nms(candidates, thresholds)


def test_a_box_without_area_suppresses_no_real_one():
    boxes = np.array([[5, 5, 5, 5], [0, 0, 9, 9], [5, 0, 5, 9]], np.float32)
    candidates = Candidates(boxes, np.array([0.3, 0.2, 0.1], np.float32), np.zeros(3, np.int64))
    assert nms(candidates, Thresholds()).tolist()[:2] == [0, 1]


def test_no_candidates():
    nothing = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    assert nms(nothing, Thresholds()).shape == (0,)


def test_more_than_can_be_looked_at_are_cut_by_score(monkeypatch):
    monkeypatch.setattr('kd_yolo_ros.nms.MAX_CANDIDATES', 20)
    candidates = random_candidates(100)
    kept = nms(candidates, Thresholds(iou=1))
    assert sorted(kept) == sorted(np.argsort(candidates.scores)[-20:])


@pytest.mark.parametrize('class_id', [0, 1])
def test_a_giant_box_does_not_take_the_others_along(class_id):
    boxes = np.array(
        [[40, 40, 60, 60], [90, 40, 110, 60], [-1e30, 40, 1e30, 60], [91, 40, 110, 60]], np.float32
    )
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    candidates = Candidates(boxes, scores, np.full(4, class_id))
    assert nms(candidates, Thresholds()).tolist() == [0, 1, 2]
