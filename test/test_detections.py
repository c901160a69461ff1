# SPDX-License-Identifier: Apache-2.0
"""Detections hold together, and are drawn where they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.drawing import class_colour, draw
from kd_yolo_ros.masks import Masks


def three():
    boxes = np.array([[10, 20, 60, 90], [100, 5, 180, 50], [0, 0, 200, 100]], np.float32)
    return Detections(boxes, np.array([0.9, 0.8, 0.3], np.float32), np.array([2, 0, 1]))


def test_one_after_the_other():
    (box, score, class_id), *others = three()
    assert box.tolist() == [10, 20, 60, 90] and len(others) == 2 == len(three()) - 1
    assert (type(score), type(class_id)) == (float, int) and class_id == 2


def test_select():
    assert three().select(np.array([2, 0])).class_ids.tolist() == [1, 2]
    assert three().select(three().scores > 0.5).class_ids.tolist() == [2, 0]
    assert len(three().select(np.zeros(3, bool))) == 0


def with_masks():
    """The first one is a stripe in its box, the second all of it, the third without a pixel."""
    crops = np.zeros((70, 50), bool), np.ones((45, 80), bool), np.zeros((0, 0), bool)
    crops[0][:, 20:30] = True
    corners = np.array([[10, 20], [100, 5], [0, 0]])
    return dataclasses.replace(three(), masks=Masks((100, 200), corners, crops))


def test_masks_stay_with_their_objects():
    assert three().masks is None and three().select(np.array([0])).masks is None
    chosen = with_masks().select(np.array([1, 0]))
    assert [crop.shape for crop in chosen.masks.crops] == [(45, 80), (70, 50)]
    assert chosen.masks.corners.tolist() == [[100, 5], [10, 20]]
    with pytest.raises(ValueError, match='3 masks for 1 objects'):
        dataclasses.replace(three().select(np.array([0])), masks=with_masks().masks)


def test_empty():
    assert len(Detections.empty()) == 0 and list(Detections.empty()) == []


@pytest.mark.parametrize(
    ('boxes', 'scores', 'class_ids'),
    [((2, 4), 3, 3), ((3, 4), 3, 2), ((3, 5), 3, 3), ((4,), 1, 1)],
)
def test_lengths_that_differ(boxes, scores, class_ids):
    with pytest.raises(ValueError, match='same number'):
        Detections(np.zeros(boxes), np.zeros(scores), np.zeros(class_ids, int))


def test_drawn_on_a_copy():
    picture = np.full((120, 240, 3), 40, np.uint8)
    drawn = draw(picture, three(), ['a', 'b', 'c'])
    assert (picture == 40).all() and drawn.shape == picture.shape
    for box, _, class_id in three():
        left, bottom, right = int(box[0]), int(box[3]), int(box[2])
        edge = drawn[bottom, (left + right) // 2].astype(int)
        assert np.abs(edge - class_colour(class_id)).max() < 80
    assert (drawn[60, 120] == 40).all(), 'between the boxes nothing is drawn'
    assert np.array_equal(draw(picture, Detections.empty(), []), picture)


@pytest.mark.parametrize('scale', [1, 2])
def test_masks_are_drawn_half_transparent(scale):
    """In pictures larger than the masks, too."""
    picture = np.full((100 * scale, 200 * scale, 3), 40, np.uint8)
    boxes = with_masks().boxes * scale
    drawn = draw(picture, dataclasses.replace(with_masks(), boxes=boxes), ['a', 'b', 'c'])
    for place, class_id in (((60, 35), 2), ((30, 160), 0)):
        found = drawn[place[0] * scale, place[1] * scale].astype(float)
        np.testing.assert_allclose(found, (np.array(class_colour(class_id)) + 40) / 2, atol=1)
    assert (drawn[60 * scale, 25 * scale] == 40).all(), 'beside the stripe nothing is drawn'
    assert (picture == 40).all()


@pytest.mark.parametrize('box', [[0, 0, 64, 48], [-9, -9, 2, 2], [60, 40, 64, 48], [5, 5, 5, 5]])
@pytest.mark.parametrize('shape', [(48, 64, 3), (45, 1000, 3), (2000, 64, 3)])
def test_labels_at_the_edges_are_no_trouble(box, shape):
    one = Detections(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, int))
    drawn = draw(np.zeros(shape, np.uint8), one, ['a name longer than any picture is wide'])
    assert drawn.shape == shape and drawn.any()


def test_classes_have_colours_of_their_own():
    assert len({class_colour(number) for number in range(80)}) == 80
    assert class_colour(7) == class_colour(7)
