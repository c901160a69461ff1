# SPDX-License-Identifier: Apache-2.0
"""Outlines that, filled, are the pixels they were made from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from kd_yolo_training.data.contours import contours

SIDE = 40


def filled(outlines):
    flat = [outline.ravel().tolist() for outline in outlines]
    return coco.decode(coco.merge(coco.frPyObjects(flat, SIDE, SIDE))).astype(bool)


def blob(seed):
    """A ragged piece or several, without holes, some at the border."""
    random = np.random.default_rng(seed)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(3):
        centre, axes = random.integers(0, SIDE, 2), random.integers(1, 14, 2)
        angle = float(random.uniform(0, 180))
        cv2.ellipse(picture, centre.tolist(), axes.tolist(), angle, 0, 360, 1, cv2.FILLED)
    outside = np.pad(picture, 1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return (outside != 2)[1:-1, 1:-1]


@pytest.mark.parametrize('seed', range(20))
def test_there_and_back(seed):
    picture = blob(seed)
    outlines = list(contours(picture))
    count, _ = cv2.connectedComponents(picture.astype(np.uint8), connectivity=8)
    assert len(outlines) == count - 1 > 0
    np.testing.assert_array_equal(filled(outlines), picture)
    rows, columns = np.nonzero(picture)
    points = np.concatenate(outlines)
    assert points.min(0).tolist() == [columns.min(), rows.min()]
    assert points.max(0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize('piece', [np.ones((1, 1)), np.ones((1, 5)), np.ones((5, 1)), np.eye(4)])
def test_thin_pieces(piece):
    picture = np.zeros((SIDE, SIDE), bool)
    picture[3 : 3 + piece.shape[0], 5 : 5 + piece.shape[1]] = piece
    (outline,) = contours(picture)
    np.testing.assert_array_equal(filled([outline]), picture)
    around = np.diff(np.vstack([outline, outline[:1]]), axis=0)
    assert (np.count_nonzero(around, axis=1) == 1).all(), 'along the borders of the pixels'


def test_holes_are_filled_and_nothing_is_nothing():
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    (outline,) = contours(ring)
    assert outline.tolist() == [[0, 0], [0, 5], [5, 5], [5, 0]]
    assert list(contours(np.zeros((5, 5)))) == []
