# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix, worked by hand."""

from __future__ import annotations

import numpy as np

from kd_yolo_ros.metrics.compared import ComparedPicture
from kd_yolo_ros.metrics.confusion import confusion_matrix

CAR, BUS, BACKGROUND = 0, 1, 2


def picture(truth, found):
    """Build one from [(class, box, crowd)] and [(class, box, score)], boxes x y w h."""
    return ComparedPicture(
        'a.png',
        np.array([box for _, box, _ in truth], np.float64).reshape(-1, 4),
        np.array([class_id for class_id, _, _ in truth], np.int64),
        np.array([crowd for _, _, crowd in truth], bool),
        np.array([box for _, box, _ in found], np.float64).reshape(-1, 4),
        np.array([class_id for class_id, _, _ in found], np.int64),
        np.array([score for _, _, score in found], np.float64),
    )


def counts(truth, found, **options):
    """Return the cells that are not 0."""
    matrix = confusion_matrix([picture(truth, found)], 2, **options)
    assert matrix.shape == (3, 3) and matrix[BACKGROUND, BACKGROUND] == 0
    return {(int(r), int(c)): int(matrix[r, c]) for r, c in zip(*np.nonzero(matrix), strict=True)}


BOX, FAR = [10, 10, 20, 20], [100, 100, 20, 20]


def test_every_kind_of_cell():
    truth = [(CAR, BOX, False), (CAR, FAR, False), (BUS, [200, 0, 30, 30], False)]
    found = [
        (CAR, BOX, 0.9),
        (BUS, FAR, 0.8),  # a car that is called a bus
        (CAR, [300, 0, 10, 10], 0.7),  # nothing there; and the bus is missed
    ]
    assert counts(truth, found) == {
        (CAR, CAR): 1,
        (CAR, BUS): 1,
        (BUS, BACKGROUND): 1,
        (BACKGROUND, CAR): 1,
    }


def test_low_scores_do_not_count():
    assert counts([(CAR, BOX, False)], [(CAR, BOX, 0.24)]) == {(CAR, BACKGROUND): 1}
    assert counts([(CAR, BOX, False)], [(CAR, BOX, 0.25)]) == {(CAR, CAR): 1}
    assert counts([(CAR, BOX, False)], [(CAR, BOX, 0.24)], score=0.1) == {(CAR, CAR): 1}


def test_the_overlap_of_a_pair():
    half = [10, 10, 20, 10]  # IoU 0.5
    assert counts([(CAR, BOX, False)], [(CAR, half, 0.9)]) == {(CAR, CAR): 1}
    less = [10, 10, 20, 9.9]
    assert counts([(CAR, BOX, False)], [(CAR, less, 0.9)]) == {
        (CAR, BACKGROUND): 1,
        (BACKGROUND, CAR): 1,
    }
    assert counts([(CAR, BOX, False)], [(CAR, less, 0.9)], iou=0.4) == {(CAR, CAR): 1}


def test_the_larger_overlap_wins_not_the_score_nor_the_class():
    shifted = [12, 10, 20, 20]
    truth = [(CAR, BOX, False)]
    assert counts(truth, [(CAR, shifted, 0.9), (BUS, BOX, 0.3)]) == {
        (CAR, BUS): 1,
        (BACKGROUND, CAR): 1,
    }


def test_of_equal_overlaps_the_higher_score_wins():
    for order in ([0, 1], [1, 0]):
        found = [(BUS, BOX, 0.4), (CAR, BOX, 0.6)]
        assert counts([(CAR, BOX, False)], [found[i] for i in order]) == {
            (CAR, CAR): 1,
            (BACKGROUND, BUS): 1,
        }


def test_two_objects_side_by_side_share_no_detection():
    truth = [(CAR, BOX, False), (BUS, [12, 10, 20, 20], False)]
    assert counts(truth, [(CAR, BOX, 0.9)]) == {(CAR, CAR): 1, (BUS, BACKGROUND): 1}
    assert counts(truth, [(BUS, [13, 10, 20, 20], 0.9), (CAR, [11, 10, 20, 20], 0.8)]) == {
        (CAR, CAR): 1,
        (BUS, BUS): 1,
    }


def test_crowds_explain_detections_of_their_class_only():
    truth = [(CAR, [0, 0, 100, 100], True)]
    found = [(CAR, BOX, 0.9), (CAR, [50, 50, 20, 20], 0.9), (BUS, BOX, 0.8)]
    assert counts(truth, found) == {(BACKGROUND, BUS): 1}
    outside = (CAR, [95, 0, 20, 20], 0.9)  # a quarter of it is inside
    assert counts(truth, [outside]) == {(BACKGROUND, CAR): 1}


def test_an_object_in_a_crowd_counts():
    truth = [(CAR, [0, 0, 100, 100], True), (CAR, BOX, False)]
    assert counts(truth, [(CAR, BOX, 0.9)]) == {(CAR, CAR): 1}
    assert counts(truth, []) == {(CAR, BACKGROUND): 1}


def test_pictures_add_up_and_empty_ones_are_fine():
    pictures = [
        picture([(CAR, BOX, False)], [(CAR, BOX, 0.9)]),
        picture([], [(BUS, BOX, 0.9)]),
        picture([(CAR, BOX, False)], []),
        picture([], []),
    ]
    expected = [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert confusion_matrix(pictures, 2).tolist() == expected
    assert confusion_matrix([], 2).tolist() == np.zeros((3, 3)).tolist()
