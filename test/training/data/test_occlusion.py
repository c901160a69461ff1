# SPDX-License-Identifier: Apache-2.0
"""Masks are what is seen: what stands in front cuts them, whatever it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask

from kd_yolo_training.data.occlusion import visible_pieces

SIZE = (40, 20)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)


def filled(pieces) -> np.ndarray:
    """The pixels that COCO's tools find in outlines."""
    runs = mask.frPyObjects([piece.ravel().tolist() for piece in pieces], SIZE[1], SIZE[0])
    return mask.decode(mask.merge(runs)) > 0


def test_what_nothing_covers_stays_as_it_is():
    far, near = rectangle(2.5, 2.5, 8.25, 9), rectangle(9, 2, 20, 12)
    (first,), (second,) = visible_pieces([far, near], SIZE, [0, 1])
    assert first is far and second is near


def test_a_pole_cuts_a_car_in_two():
    car, pole = rectangle(4, 5, 30, 12), rectangle(14, 0, 17, 20)
    ((left, right), (whole,)) = visible_pieces([car, pole], SIZE, [0, 1])
    left, right = sorted((left, right), key=lambda piece: piece[:, 0].min())
    assert (left.min(0).tolist(), left.max(0).tolist()) == ([4, 5], [14, 12])
    assert (right.min(0).tolist(), right.max(0).tolist()) == ([17, 5], [30, 12])
    assert whole is pole


def test_only_what_was_drawn_later_covers():
    sky, car = rectangle(0, 0, 40, 20), rectangle(4, 5, 30, 12)
    (kept,), hidden = visible_pieces([sky, car, sky], SIZE, [2, 1])
    assert kept is sky
    assert hidden == ()


def test_pieces_are_those_of_a_picture_painted_over():
    rng = np.random.default_rng(0)
    outlines = [rng.integers((-5, -5), (45, 25), (5, 2)).astype(float) for _ in range(30)]
    painted = np.full((SIZE[1], SIZE[0]), -1, np.int32)
    for number, outline in enumerate(outlines):
        painted[filled([outline])] = number
    cut = 0
    for number, pieces in enumerate(visible_pieces(outlines, SIZE, range(30))):
        seen = painted == number
        if pieces and pieces[0] is outlines[number]:
            continue
        cut += 1
        assert bool(pieces) == seen.any()
        if pieces:
            found = filled(pieces)
            assert (found[seen]).all()
            holes, _ = cv2.findContours(
                seen.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            whole = cv2.drawContours(seen.astype(np.uint8), holes, -1, 1, cv2.FILLED)
            assert np.array_equal(found, whole > 0)
    assert cut > 5


@pytest.mark.parametrize('far', [rectangle(-90, 2, -50, 8), rectangle(50, 30, 1e9, 1e9)])
def test_outside_of_the_picture(far):
    (kept,) = visible_pieces([far], SIZE, [0])
    assert kept == (far,)
    assert visible_pieces([], SIZE, []) == []
