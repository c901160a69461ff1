# SPDX-License-Identifier: Apache-2.0
"""Masks compressed from their crops are those that pycocotools makes of whole pictures."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask

from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.rle import areas, encode, paint


def random_masks(count, size=(30, 40), seed=0):
    """Ragged crops; some at the borders, over the whole height or width, empty or without side."""
    random = np.random.default_rng(seed)
    corners, crops = [], []
    for number in range(count):
        top, bottom = np.sort(random.integers(0, size[0] + 1, 2))
        left, right = np.sort(random.integers(0, size[1] + 1, 2))
        if number % 4 == 0:
            top, bottom = 0, size[0]
        if number % 8 == 0:
            left, right = 0, size[1]
        corners.append((left, top))
        crops.append(random.random((bottom - top, right - left)) < random.choice([0, 0.1, 0.9, 1]))
    return Masks(size, np.array(corners, np.int64).reshape(-1, 2), tuple(crops))


def of_whole_pictures(masks):
    return [mask.encode(np.asfortranarray(masks.full(i), np.uint8)) for i in range(len(masks))]


def test_of_crops_as_of_whole_pictures():
    masks = random_masks(400)
    encoded = encode(masks)
    assert len(encoded) == 400 and encoded.size == (30, 40)
    assert encoded.rles() == of_whole_pictures(masks)
    pixels = [int(masks.full(i).sum()) for i in range(400)]
    assert areas(encoded.rles()).tolist() == pixels and max(pixels) == 1200


def test_none():
    encoded = encode(random_masks(0))
    assert encoded.rles() == [] and len(encoded.select(np.zeros(0, int))) == 0
    assert areas([]).shape == (0,)


@pytest.mark.parametrize('keep', [np.array([2, 0]), np.array([True, False, True])])
def test_select(keep):
    masks = random_masks(3)
    assert encode(masks).select(keep) == encode(masks.select(keep))


def test_the_last_is_painted_on_top():
    corners = np.array([[0, 0], [1, 0]])
    masks = Masks((2, 3), corners, (np.ones((2, 2), bool), np.ones((1, 2), bool)))
    assert paint(encode(masks).rles(), [5, 7]).tolist() == [[5, 7, 7], [5, 5, -1]]
