# SPDX-License-Identifier: Apache-2.0
"""Pairs of detections whose differences are known, and two runtimes on one graph."""

from __future__ import annotations

import numpy as np
import pytest
from artifacts import SQUARES, scene
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.found import Found, compressed
from kd_yolo_ros.metrics.parity import compare_found, differs, parity
from kd_yolo_ros.predictor import Predictor


def detections(*rows):
    """Return what was found, of rows x1 y1 x2 y2 score class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    found = Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
    return Found(found, (100, 100))


CAR = (10, 10, 50, 30, 0.9, 0)


def test_the_same():
    one = detections(CAR, (60, 10, 90, 40, 0.3, 1))
    assert compare_found([one, detections()], [one, detections()]) == {
        'pictures': 2,
        'matched': 2,
        'unmatched': 0,
        'unmatched_share': 0,
        'box_max': 0,
        'box_median': 0,
        'score_max': 0,
    }


def test_differences_are_those_of_the_partners():
    one = detections(CAR, (60, 10, 90, 40, 0.5, 1), (60, 60, 90, 90, 0.4, 1))
    two = detections((60, 11, 90, 40, 0.75, 1), (10, 10, 50, 34, 0.8, 0), (60, 60, 90, 90, 0.4, 1))
    compared = compare_found([one], [two])
    assert (compared['matched'], compared['unmatched']) == (3, 0)
    assert (compared['box_max'], compared['box_median']) == (4, 1)
    assert compared['score_max'] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ('other', 'matched', 'unmatched'),
    [
        ((10, 10, 50, 30, 0.01, 0), 1, 0),  # one side is sure, the other has it
        ((10, 10, 50, 30, 0.9, 1), 0, 2),  # of another class
        ((40, 10, 80, 30, 0.9, 0), 0, 2),  # elsewhere
        ((40, 10, 80, 30, 0.2, 0), 0, 1),
        (None, 0, 1),
    ],
)
def test_partners(other, matched, unmatched):
    others = detections(other) if other else detections()
    for pair in ((detections(CAR), others), (others, detections(CAR))):
        compared = compare_found(*([one] for one in pair))
        assert (compared['matched'], compared['unmatched']) == (matched, unmatched)
        assert (compared['box_max'] is None) == (matched == 0)


def test_what_neither_is_sure_of_does_not_count():
    compared = compare_found([detections((0, 0, 9, 9, 0.2, 0))], [detections()])
    assert compared['matched'] == compared['unmatched'] == 0 == compared['unmatched_share']
    assert 'nothing was compared' in differs(compared, 'int8')


def test_a_doubtful_neighbour_does_not_take_the_partner():
    """It overlaps with the other's sure box more than the sure one does."""
    one = detections(CAR, (10, 10, 46, 30, 0.01, 0))
    two = detections((10, 10, 47, 30, 0.8, 0))
    compared = compare_found([one], [two])
    assert (compared['matched'], compared['unmatched']) == (1, 0)
    assert compared['score_max'] == pytest.approx(0.1)


def moved(pixels, score=0.9):
    return compare_found(
        [detections(CAR)], [detections((10 + pixels, 10, 50 + pixels, 30, score, 0))]
    )


@pytest.mark.parametrize(
    ('compared', 'precision', 'ap_drop', 'words'),
    [
        (moved(0), 'fp32', None, None),
        (moved(0.5), 'fp32', None, 'box_median 0.5'),
        (moved(0, 0.8), 'fp32', 0.0, 'score_max 0.1'),
        (moved(5, 0.5), 'int8', None, None),
        (moved(5, 0.5), 'bf16', 0.003, None),
        (moved(0), 'int8', 0.02, 'AP50-95 falls by 0.0200 > 0.01'),
        (moved(0), 'int8', -0.02, None),
        (moved(40), 'int8', None, 'unmatched_share 1'),
        (moved(40), 'int8', 0.0, None),
        (moved(0), 'fp32', 0.02, 'falls'),
    ],
)
def test_verdicts(compared, precision, ap_drop, words):
    reason = differs(compared, precision, ap_drop, max_drop=0.01)
    assert reason is None if words is None else words in reason


def test_the_figure_that_falls_is_named():
    reason = differs(moved(0), 'int8', 0.02, max_drop=0.01, figure='mask AP50-95')
    assert reason == 'mask AP50-95 falls by 0.0200 > 0.01'


def test_two_runtimes_on_one_graph(tiny_artifact):
    predictors = [
        Predictor(tiny_artifact, name, 'fp32', 1) for name in ('onnxruntime', 'openvino')
    ]
    strict = Thresholds(score=0.99)
    predictors[1].thresholds = strict
    compared = parity(*predictors, (scene([square])[0] for square in SQUARES))
    assert compared['pictures'] == compared['matched'] == 3
    assert differs(compared, 'fp32') is None
    assert predictors[1].thresholds is strict, 'thresholds are put back'


def masked(*crops):
    """Return cars that cover so many columns of their boxes."""
    covered = [np.ones((20, columns), bool) for columns in crops]
    corners = np.array([(10, 10)] * len(crops)).reshape(-1, 2)
    found = detections(*[CAR] * len(crops)).detections
    masks = Masks((100, 100), corners, tuple(covered))
    found = Detections(found.boxes, found.scores, found.class_ids, masks)
    return compressed(found, np.zeros((100, 100, 3), np.uint8))


def test_differences_of_masks():
    compared = compare_found(
        [masked(40), masked(20), masked(40), masked()],
        [masked(40), masked(40), masked(38), masked()],
    )
    assert compared['mask_max'] == pytest.approx(0.5)
    assert compared['mask_median'] == pytest.approx(0.05)
    assert 'mask_median 0.05 > 0.001' in differs(compared, 'fp32')
    assert differs(compared, 'int8') is None
    damaged = compare_found([masked(40)], [masked(30)])
    assert 'mask_median 0.25 > 0.2' in differs(damaged, 'int8')
    assert differs(damaged, 'int8', ap_drop=0.0) is None
    empty = compare_found([masked(0)], [masked(0)])
    assert empty['mask_max'] == 0 and compare_found([masked()], [masked()])['mask_max'] is None
    assert 'mask_max' not in compare_found([masked(40)], [detections(CAR)])


def test_two_runtimes_on_one_graph_with_masks(tmp_path):
    artifact = write_tiny_segmenter(tmp_path / 'a')
    predictors = [Predictor(artifact, name, 'fp32', 1) for name in ('onnxruntime', 'openvino')]
    compared = parity(*predictors, (scene([square])[0] for square in SQUARES))
    assert compared['matched'] == 3 and compared['mask_max'] == 0
    assert differs(compared, 'fp32') is None
