# SPDX-License-Identifier: Apache-2.0
"""What data sets say about an object's pixels, as pixels; and what is broken in it."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.metrics.segmentation import box_rle, check, to_rle

WIDTH, HEIGHT = 20, 10
SQUARE = [[2, 3, 8, 3, 8, 9, 2, 9]]


def pixels(segmentation, unit=(WIDTH, HEIGHT), size=(WIDTH, HEIGHT)):
    return mask.decode(to_rle(segmentation, unit, size, 'it')).astype(bool)


def square(size=(HEIGHT, WIDTH), box=(2, 3, 8, 9)):
    x1, y1, x2, y2 = box
    picture = np.zeros(size, bool)
    picture[y1:y2, x1:x2] = True
    return picture


def ring():
    """A frame with a hole, which outlines cannot tell."""
    picture = square()
    picture[5:7, 4:6] = False
    return picture


@pytest.mark.parametrize(
    ('outlines', 'unit'),
    [
        (SQUARE, (WIDTH, HEIGHT)),
        ([np.reshape(SQUARE, (-1, 2))], (WIDTH, HEIGHT)),
        ([np.reshape(SQUARE, (-1, 2)) / (WIDTH, HEIGHT)], (1, 1)),
        ([np.reshape(SQUARE, (-1, 2)) * 3], (3 * WIDTH, 3 * HEIGHT)),
        ([[2, 3, 5, 3, 5, 9, 2, 9], [5, 3, 8, 3, 8, 9, 5, 9]], (WIDTH, HEIGHT)),
    ],
)
def test_outlines(outlines, unit):
    np.testing.assert_array_equal(pixels(outlines, unit), square())


def run_lengths(picture):
    flat = np.concatenate([[0], picture.ravel('F'), [0]]).astype(int)
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [picture.size]])).tolist()


@pytest.mark.parametrize('picture', [square(), ring(), square(box=(0, 0, 20, 10)), ~ring()])
@pytest.mark.parametrize('form', ['list', 'text', 'bytes'])
def test_run_lengths(picture, form):
    counts = (
        run_lengths(picture)
        if form == 'list'
        else mask.encode(np.asfortranarray(picture, np.uint8))['counts']
    )
    counts = counts.decode() if form == 'text' else counts
    np.testing.assert_array_equal(pixels({'size': [HEIGHT, WIDTH], 'counts': counts}), picture)


def test_long_runs_in_the_compressed_form():
    """Numbers of several characters, and differences below 0."""
    random = np.random.default_rng(0)
    for _ in range(50):
        picture = np.repeat(random.random((40, 9)) < 0.4, 17, axis=0)
        rle = mask.encode(np.asfortranarray(picture, np.uint8))
        size = (picture.shape[1], picture.shape[0])
        np.testing.assert_array_equal(pixels(rle, size, size), picture)


def test_a_rescaled_picture():
    big = np.kron(ring(), np.ones((2, 2))).astype(bool)
    rle = mask.encode(np.asfortranarray(big, np.uint8))
    size = (2 * WIDTH, 2 * HEIGHT)
    np.testing.assert_array_equal(pixels(rle, unit=size), ring())
    for call in (lambda: pixels(rle), lambda: check(rle, (WIDTH, HEIGHT), 'it')):
        with pytest.raises(UserError, match='it has a broken.* of 20x10 pixels .* not of 40x20'):
            call()
    check(rle, None, 'it')


@pytest.mark.parametrize(
    'segmentation',
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, float('nan')]],
        [['a', 2, 3, 4, 5, 6]],
        [[]],
        [7],
        {},
        {'size': [HEIGHT, WIDTH]},
        {'size': [HEIGHT], 'counts': [200]},
        {'size': [HEIGHT, WIDTH], 'counts': [0, 1]},
        {'size': [HEIGHT, WIDTH], 'counts': [-1, 201]},
        {'size': [HEIGHT, WIDTH], 'counts': [300]},
        {'size': [0, WIDTH], 'counts': []},
        {'size': [HEIGHT, WIDTH], 'counts': 'no RLE'},
        {'size': [HEIGHT, WIDTH], 'counts': '~~~'},
        {'size': [HEIGHT, WIDTH], 'counts': 'é'},
        {'size': [HEIGHT, WIDTH], 'counts': None},
    ],
)
def test_what_is_broken_is_named(segmentation):
    with pytest.raises(UserError, match='it has a broken segmentation, expected'):
        pixels(segmentation)
    with pytest.raises(UserError, match='it has a broken segmentation, expected'):
        check(segmentation, (WIDTH, HEIGHT), 'it')


def test_a_box():
    box = np.array([2.0, 3, 8, 9])
    np.testing.assert_array_equal(mask.decode(box_rle(box, (WIDTH, HEIGHT))), square())


def truth(*segmentations):
    count = len(segmentations)
    boxes = np.array([[2.0, 3, 8, 9]] * count)
    return Truth(
        boxes, np.zeros(count, int), np.zeros(count, bool), (WIDTH, HEIGHT), segmentations
    )


def test_masks_of_a_picture():
    one = truth(SQUARE, None, [], {'size': [HEIGHT, WIDTH], 'counts': [0, 200]})
    assert one.has_mask.tolist() == [True, False, False, True]
    masks = [mask.decode(rle) for rle in one.masks_on(WIDTH, HEIGHT)]
    np.testing.assert_array_equal(masks, [square()] * 3 + [np.ones((HEIGHT, WIDTH))])
    doubled = [mask.decode(rle) for rle in one.masks_on(2 * WIDTH, 2 * HEIGHT)]
    np.testing.assert_array_equal(doubled[:2], [np.kron(square(), np.ones((2, 2)))] * 2)
    with pytest.raises(UserError, match='object 1 has a broken segmentation'):
        truth(SQUARE, [[1, 2]]).masks_on(WIDTH, HEIGHT)
    one.check_masks()
    broken = GroundTruth({'a.png': one, 'b.png': truth(None, [[1, 2]])}, None, 'a set')
    with pytest.raises(UserError, match='b.png of a set: object 1 has a broken segmentation'):
        broken.check_masks()
    alone = Truth(np.zeros((2, 4)), np.zeros(2, int), np.zeros(2, bool))
    assert alone.has_mask.tolist() == [False, False]
