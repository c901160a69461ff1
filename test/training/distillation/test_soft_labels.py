# SPDX-License-Identifier: Apache-2.0
"""Soft labels: what several teachers say in one voice, and what a person's labels leave of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.dataset import Picture
from kd_yolo_training.distillation.soft_labels import (
    in_classes,
    merge,
    overlaps,
    teacher_classes,
    with_soft_labels,
)

HERE, NEAR, FAR = (0.1, 0.1, 0.5, 0.5), (0.15, 0.1, 0.55, 0.5), (0.6, 0.6, 0.9, 0.9)
BOTH = np.ones((2, 3), bool)


def found(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    return Detections(boxes, scores, np.array([row[2] for row in rows], np.int64))


def picture(*rows: tuple[tuple[float, ...], int, bool], weights=None) -> Picture:
    return Picture(
        Path('a.png'),
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], bool),
        ((np.zeros((3, 2), np.float32),),) * len(rows),
        (100, 80),
        None if weights is None else np.array(weights, np.float32),
    )


# ---- several teachers


def test_one_teacher_stays_what_it_is():
    alone = found((HERE, 0.9, 0), (NEAR, 0.6, 0), (FAR, 0.3, 2))
    merged = merge([alone], BOTH[:1], 0.5)
    for field in ('boxes', 'scores', 'class_ids'):
        np.testing.assert_allclose(getattr(merged, field), getattr(alone, field), rtol=1e-6)


def test_an_object_that_both_see_is_the_mean_of_their_boxes():
    merged = merge([found((HERE, 0.9, 1)), found((NEAR, 0.3, 1))], BOTH, 0.5)
    assert len(merged) == 1 and merged.class_ids.tolist() == [1]
    assert merged.scores[0] == pytest.approx(0.6)
    np.testing.assert_allclose(
        merged.boxes[0], 0.75 * np.array(HERE) + 0.25 * np.array(NEAR), rtol=1e-6
    )


def test_an_object_that_one_overlooks_counts_half():
    merged = merge([found((HERE, 0.9, 1)), found((FAR, 0.95, 1))], BOTH, 0.5)
    assert merged.scores.tolist() == pytest.approx([0.475, 0.45])
    np.testing.assert_allclose(merged.boxes, [FAR, HERE], rtol=1e-6)


def test_who_does_not_know_a_class_has_no_say_in_it():
    known = np.array([[True] * 3, [True, False, True]])
    merged = merge([found((HERE, 0.9, 1)), found()], known, 0.5)
    assert merged.scores.tolist() == pytest.approx([0.9])


def test_other_classes_and_boxes_of_one_teacher_stay_apart():
    merged = merge([found((HERE, 0.9, 0), (NEAR, 0.8, 0)), found((HERE, 0.7, 1))], BOTH, 0.5)
    assert merged.scores.tolist() == pytest.approx([0.45, 0.4, 0.35])


def test_of_two_objects_the_nearer_one_takes_the_box():
    first = found((HERE, 0.9, 0), ((0.25, 0.1, 0.65, 0.5), 0.8, 0))
    merged = merge([first, found((NEAR, 0.5, 0))], BOTH, 0.3)
    assert merged.scores.tolist() == pytest.approx([0.7, 0.4])


def test_nothing_found_is_nothing():
    assert len(merge([found(), found()], BOTH, 0.5)) == 0


# ---- beside a person's labels


def test_labelled_objects_need_no_teacher():
    labelled = picture((HERE, 0, False))
    soft = with_soft_labels(labelled, found((NEAR, 0.9, 0), (NEAR, 0.8, 1), (FAR, 0.7, 0)), 0.5)
    assert soft.class_ids.tolist() == [0, 1, 0] and soft.soft.tolist() == [False, True, True]
    assert soft.weights.tolist() == pytest.approx([1, 0.8, 0.7]) and soft.crowd.sum() == 0
    assert len(soft.polygons[0]) == 1 and soft.polygons[1:] == ((), ())
    np.testing.assert_array_equal(soft.boxes, np.array([HERE, NEAR, FAR], np.float32))


def test_a_crowd_region_hides_what_lies_in_it():
    crowd = picture(((0.0, 0.0, 1.0, 1.0), 0, True))
    soft = with_soft_labels(crowd, found((HERE, 0.9, 0), (HERE, 0.9, 1)), 0.5)
    assert soft.class_ids.tolist() == [0, 1] and soft.crowd.tolist() == [True, False]


def test_former_soft_labels_are_replaced():
    once = with_soft_labels(picture((HERE, 0, False)), found((FAR, 0.7, 0)), 0.5)
    again = with_soft_labels(once, found((FAR, 0.4, 2)), 0.5)
    assert again.class_ids.tolist() == [0, 2]
    assert again.weights.tolist() == pytest.approx([1, 0.4])


def test_the_surest_teacher_is_still_a_teacher():
    soft = with_soft_labels(picture(), found((HERE, 1.0, 0)), 0.5)
    assert soft.soft.all()


def test_boxes_below_a_pixel_are_dropped():
    thin = (0.1, 0.1, 0.1 + 0.9 / 100, 0.5)
    assert len(with_soft_labels(picture(), found((thin, 0.9, 0)), 0.5).boxes) == 0


def test_overlaps():
    boxes = np.array([HERE, FAR], np.float32)
    whole = np.array([[0, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(overlaps(boxes, whole), [[0.16], [0.09]], rtol=1e-5)
    np.testing.assert_allclose(overlaps(boxes, whole, np.array([True])), [[1], [1]], rtol=1e-5)
    assert overlaps(boxes[:0], whole).shape == (0, 1)


# ---- classes


def test_classes_are_matched_by_name_and_others_dropped():
    classes = teacher_classes(('car', 'person'), ('person', 'dog', 'Car'))
    assert classes.tolist() == [1, -1, 0]
    kept = in_classes(found((HERE, 0.9, 0), (FAR, 0.8, 1)), classes)
    assert kept.class_ids.tolist() == [1] and len(kept) == 1


def test_a_class_map_names_what_is_meant():
    names, theirs = ('vehicle', 'rider'), ('car', 'person')
    classes = teacher_classes(names, theirs, {'vehicle': 'car', 'rider': None})
    assert classes.tolist() == [0, -1]
    with pytest.raises(UserError, match='no class in common'):
        teacher_classes(names, theirs)
    with pytest.raises(UserError, match="'person' would be 'vehicle' and 'rider'"):
        teacher_classes(names, theirs, {'vehicle': 'person', 'rider': 'person'})
