# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.masks import Masks
from kd_yolo_ros.packed_masks import pack_masks, unpack_masks


def masks(*sides: tuple[int, int]) -> Masks:
    """Random masks of these widths and heights in a picture of 40x50, one over the other."""
    random = np.random.default_rng(0)
    corners = np.array([(number, 2 * number) for number in range(len(sides))]).reshape(-1, 2)
    crops = tuple(random.random((height, width)) > 0.5 for width, height in sides)
    return Masks((40, 50), corners, crops)


@pytest.mark.parametrize('sides', [(), ((0, 0),), ((7, 3), (0, 0), (1, 1), (16, 9))])
def test_what_is_packed_comes_back(sides: tuple) -> None:
    packed, expected = pack_masks(masks(*sides)), masks(*sides)
    found = unpack_masks(packed)
    assert found.size == expected.size
    np.testing.assert_array_equal(found.corners, expected.corners)
    assert len(found) == len(sides)
    for mine, theirs in zip(found.crops, expected.crops, strict=True):
        assert mine.dtype == bool
        np.testing.assert_array_equal(mine, theirs)


def test_a_pixel_costs_a_bit() -> None:
    assert len(pack_masks(masks((40, 20)))) == (3 + 4) * 4 + 40 * 20 // 8


@pytest.mark.parametrize('length', [4, 20, -1])
def test_what_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match='buffer'):
        unpack_masks(pack_masks(masks((9, 9), (9, 9)))[:length])
