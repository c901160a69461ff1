# SPDX-License-Identifier: Apache-2.0
"""Masks against ones sampled in the plainest way, pixel by pixel, and painted into maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.letterbox import Placement
from kd_yolo_ros.masks import Masks, decode_masks

NETWORK = (64, 96)
COEFFICIENTS = 5

# Wider and higher than the network's input, exactly it, odd, larger, and a single pixel high.
SOURCES = [(64, 96), (63, 96), (48, 96), (128, 96), (257, 211), (31, 119), (1, 50)]


def example(source, seed=0, objects=12):
    """Prototypes, coefficients and boxes in network pixels, some of them over the border."""
    random = np.random.default_rng(seed)
    protos = random.normal(size=(COEFFICIENTS, NETWORK[0] // 4, NETWORK[1] // 4))
    protos = np.stack([cv2.GaussianBlur(one, (0, 0), 1.5) for one in protos]).astype('f')
    coefficients = random.normal(size=(objects, COEFFICIENTS)).astype('f')
    centre = random.uniform([0, 0], NETWORK[::-1], (objects, 2))
    half = random.uniform(2, 40, (objects, 2))
    boxes = np.concatenate([centre - half, centre + half], 1).astype('f')
    return coefficients, protos, boxes, Placement.fit(source, NETWORK)


def pixel_by_pixel(coefficients, protos, box, placement, size):
    """The logits at the pixels' centres, (H, W), and which of the centres lie in the box."""
    logits = np.tensordot(coefficients.astype(float), protos, 1)
    places = []
    for pixels, offset, scaled, network in zip(
        size, (placement.top, placement.left), placement.scaled, NETWORK, strict=True
    ):
        places.append((np.arange(pixels) + 0.5) / pixels * scaled + offset)
        assert places[-1].min() >= 0 and places[-1].max() <= network
    rows, columns = places
    inside = np.logical_and.outer(
        (rows >= box[1]) & (rows < box[3]), (columns >= box[0]) & (columns < box[2])
    )
    # The centre of cell i is at 4 i + 2; np.interp keeps the outermost values beyond.
    across = [np.interp(columns, np.arange(len(line)) * 4 + 2.0, line) for line in logits]
    down = [
        np.interp(rows, np.arange(len(logits)) * 4 + 2.0, line) for line in np.transpose(across)
    ]
    return np.array(down).T, inside


@pytest.mark.parametrize('scale', [1, 0.5, 0.3])
@pytest.mark.parametrize('source', SOURCES)
def test_as_sampled_pixel_by_pixel(source, scale):
    coefficients, protos, boxes, placement = example(source)
    size = tuple(max(1, round(side * scale)) for side in source)
    masks = decode_masks(coefficients, protos, boxes, placement, NETWORK, size)
    assert masks.size == size and len(masks) == len(boxes)
    covered = 0
    for index, box in enumerate(boxes):
        logits, inside = pixel_by_pixel(coefficients[index], protos, box, placement, size)
        found = masks.full(index)
        assert found.shape == size and found.dtype == bool
        sure = np.abs(logits) > 1e-4
        np.testing.assert_array_equal(found[sure], ((logits > 0) & inside)[sure])
        covered += found.sum()
    assert covered or min(size) == 1, 'or nothing is compared'


@pytest.mark.parametrize('source', SOURCES[:-1])
def test_as_resized_with_the_padding_cut_away(source):
    """In two steps, by OpenCV: to the network's size, and from there to the picture's."""
    coefficients, protos, boxes, placement = example(source)
    masks = decode_masks(coefficients, protos, boxes, placement, NETWORK, source)
    wrong = covered = 0
    for index, box in enumerate(placement.to_source(boxes)):
        logits = np.tensordot(coefficients[index], protos, 1)
        logits = cv2.resize(logits, NETWORK[::-1], interpolation=cv2.INTER_LINEAR)
        (height, width), top, left = placement.scaled, placement.top, placement.left
        logits = logits[top : top + height, left : left + width]
        expected = (cv2.resize(logits, source[::-1]) > 0).astype(np.uint8)
        # Nothing differs but the outermost pixels of an object, or of its box: those within a
        # pixel of the network, as the first step has no more.
        reach = 2 * int(np.ceil(source[0] / height)) + 1
        kernel = np.ones((reach, reach), np.uint8)
        least, most = cv2.erode(expected, kernel), cv2.dilate(expected, kernel)
        rows, columns = np.mgrid[: source[0], : source[1]] + 0.5
        inside = np.minimum.reduce(
            [columns - box[0], box[2] - columns, rows - box[1], box[3] - rows]
        )
        found = masks.full(index)
        assert not found[inside < -0.001].any()
        wrong += (found & (most == 0)).sum() + (~found & (least == 1) & (inside > 0.001)).sum()
        covered += found.sum()
    assert covered > 1000
    assert wrong <= 0.001 * covered, 'but for a peak that the first step has flattened'


@pytest.mark.parametrize('source', SOURCES[:-1])
def test_a_rectangle_lands_on_its_box(source):
    placement = Placement.fit(source, NETWORK)
    scale = placement.scaled[0] / source[0]
    top, left = placement.top, placement.left
    bottom, right = top + placement.scaled[0], left + placement.scaled[1]
    box = np.array([0.7 * left + 0.3 * right, 0.8 * top + 0.2 * bottom, right - 0.3, bottom - 5.2])
    fine = np.zeros((NETWORK[0] * 10, NETWORK[1] * 10), np.float32)
    x1, y1, x2, y2 = np.rint(box * 10).astype(int)
    fine[y1:y2, x1:x2] = 1
    cells = fine.reshape(NETWORK[0] // 4, 40, NETWORK[1] // 4, 40).mean((1, 3))
    protos = np.stack([cells, np.ones_like(cells)])
    # The box is wide, so that the crop alone does not decide.
    wide = (box + [-9, -9, 9, 9]).astype('f')[None]
    masks = decode_masks(np.float32([[1, -0.5]]), protos, wide, placement, NETWORK, source)
    rows, columns = np.nonzero(masks.full(0))
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    expected = placement.to_source(box[None].astype('f'))[0]
    np.testing.assert_allclose(found, expected, atol=max(1, 1 / scale))
    sides = expected[2:] - expected[:2]
    tight = decode_masks(
        np.float32([[1, -0.5]]), protos, box.astype('f')[None], placement, NETWORK, source
    )
    assert tight.full(0).sum() == pytest.approx(float(np.prod(sides)), abs=2 * float(sides.sum()))


def everywhere(boxes, source=NETWORK, size=None):
    """Masks of objects that cover all of their boxes."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    protos = np.ones((1, NETWORK[0] // 4, NETWORK[1] // 4), np.float32)
    coefficients = np.ones((len(boxes), 1), np.float32)
    placement = Placement.fit(source, NETWORK)
    return decode_masks(coefficients, protos, boxes, placement, NETWORK, size or source)


@pytest.mark.parametrize(
    ('box', 'corner', 'shape'),
    [
        ((0, 0, 96, 64), (0, 0), (64, 96)),
        ((-50, -1e6, 300, 1e6), (0, 0), (64, 96)),
        ((10.4, 20.6, 12.4, 21.6), (10, 21), (1, 2)),  # the pixels whose centres it holds
        ((10.5, 20.5, 11.5, 21.5), (10, 20), (1, 1)),
        ((95.2, 63.4, 99, 99), (95, 63), (1, 1)),
        ((10.6, 20, 11.4, 40), None, (0, 0)),  # between two columns of centres
        ((10.3, 20, 10.6, 40), (10, 20), (20, 1)),  # thinner than a pixel, and over a centre
        ((20, 10, 20, 30), None, (0, 0)),
        ((30, 10, 20, 30), None, (0, 0)),
        ((200, 10, 220, 30), None, (0, 0)),
        ((10, -30, 20, -10), None, (0, 0)),
    ],
)
def test_boxes_at_and_over_the_border(box, corner, shape):
    masks = everywhere([box])
    assert [crop.shape for crop in masks.crops] == [shape]
    assert masks.crops[0].all() and masks.full(0).sum() == np.prod(shape)
    if corner:
        assert tuple(masks.corners[0]) == corner and masks.full(0)[corner[::-1]]


def test_padding_is_no_part_of_the_picture():
    """A box over the padding too is one of the whole picture, whatever the masks' size."""
    for source, size in (((32, 96), None), ((32, 96), (16, 48)), ((200, 50), (67, 17))):
        masks = everywhere([(-5, -5, 999, 999)], source, size)
        assert masks.crops[0].shape == (size or source)


def test_no_object_and_many():
    empty = everywhere([])
    assert len(empty) == 0 and empty.corners.shape == (0, 2)
    assert not empty.instance_map().any() and (empty.semantic_map(np.zeros(0, int)) == 255).all()
    random = np.random.default_rng(1)
    corners = random.uniform(0, 50, (300, 2))
    masks = everywhere(np.concatenate([corners, corners + random.uniform(1, 40, (300, 2))], 1))
    assert len(masks) == 300
    painted = masks.instance_map()
    expected = np.zeros(NETWORK, int)
    for index in reversed(range(300)):
        expected[masks.full(index)] = index + 1
    np.testing.assert_array_equal(painted, expected)
    assert painted.max() > 255, 'or eight bits would do'


def test_the_order_in_memory_does_not_matter():
    coefficients, protos, boxes, placement = example((257, 211))
    arguments = boxes, placement, NETWORK, (257, 211)
    expected = decode_masks(coefficients, protos, *arguments)
    last = np.ascontiguousarray(protos.transpose(1, 2, 0)).transpose(2, 0, 1)
    found = decode_masks(coefficients, last, *arguments)
    differing = sum((a != b).sum() for a, b in zip(expected.crops, found.crops, strict=True))
    assert differing <= 2, 'sums in another order are rounded otherwise'


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 3e38])
def test_an_object_that_is_nowhere_spoils_no_other(bad):
    coefficients, protos, boxes, placement = example((63, 96))
    arguments = protos, boxes, placement, NETWORK, (63, 96)
    expected = decode_masks(coefficients, *arguments)
    coefficients[3] = bad
    found = decode_masks(coefficients, *arguments)
    for index in (0, 1, 2, 4, 5):
        np.testing.assert_array_equal(found.full(index), expected.full(index))


def overlapping():
    """Three objects, the first one on top, the last one without a pixel."""
    crops = np.ones((4, 6), bool), np.ones((5, 5), bool), np.zeros((0, 0), bool)
    crops[1][0, 0] = False
    return Masks((10, 12), np.array([[1, 1], [4, 3], [0, 0]]), crops)


def test_maps():
    masks = overlapping()
    instances = masks.instance_map()
    assert instances.dtype == np.uint16 and instances.shape == (10, 12)
    assert instances[4, 6] == 1 and instances[7, 8] == 2 and instances[0, 0] == 0
    assert instances[3, 4] == 1, 'where the second one leaves a hole'
    assert (instances == 1).sum() == 24 and (instances == 2).sum() == 24 - 5
    semantic = masks.semantic_map(np.array([0, 254, 7]))
    assert semantic.dtype == np.uint8
    np.testing.assert_array_equal(semantic == 0, instances == 1)
    np.testing.assert_array_equal(semantic == 254, instances == 2)
    np.testing.assert_array_equal(semantic == 255, instances == 0)


def test_maps_painted_over():
    instances, semantic = np.full((10, 12), 9, np.uint16), np.full((10, 12), 9, np.uint8)
    ids = np.array([1, 2, 3])
    assert overlapping().instance_map(instances) is instances
    assert overlapping().semantic_map(ids, semantic) is semantic
    np.testing.assert_array_equal(instances, overlapping().instance_map())
    np.testing.assert_array_equal(semantic, overlapping().semantic_map(ids))
    for wrong in (np.zeros((10, 12), np.uint8), np.zeros((12, 10), np.uint16)):
        with pytest.raises(ValueError, match='none for these masks'):
            overlapping().instance_map(wrong)


def test_classes_that_a_byte_does_not_hold():
    with pytest.raises(ValueError, match='255'):
        overlapping().semantic_map(np.array([0, 255, 1]))


def test_select():
    chosen = overlapping().select(np.array([1, 0]))
    assert chosen.size == (10, 12) and chosen.corners.tolist() == [[4, 3], [1, 1]]
    assert chosen.instance_map()[4, 6] == 1 and chosen.instance_map()[1, 1] == 2
    assert len(overlapping().select(np.array([False, True, False]))) == 1
    assert len(overlapping().select(np.zeros(0, int))) == 0


def test_lengths_that_differ():
    with pytest.raises(ValueError, match='do not fit 1 crops'):
        Masks((10, 12), np.zeros((2, 2), int), (np.ones((1, 1), bool),))
