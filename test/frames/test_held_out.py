# SPDX-License-Identifier: Apache-2.0
"""Pictures are known by what they show, not by their names."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from labelled import noise

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.held_out import HeldOut, picture_digest


@pytest.fixture
def pictures(tmp_path):
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f'{number}.png'), noise(number))
    return tmp_path


def test_the_digest_is_of_size_and_pixels():
    picture = noise(0)
    assert picture_digest(picture) == picture_digest(picture.copy())
    assert picture_digest(picture[:, ::-1]) == picture_digest(picture[:, ::-1].copy())
    changed = picture.copy()
    changed[0, 0, 0] ^= 1
    others = [changed, picture.reshape(picture.shape[1], picture.shape[0], 3)]
    assert picture_digest(picture) not in map(picture_digest, others)


def test_they_are_held_out_under_any_name(pictures):
    (pictures / '1.png').rename(pictures / 'renamed.png')
    held_out = HeldOut(open_source(pictures), {picture_digest(noise(1))})
    for _ in range(2):
        frames = list(held_out)
        assert [frame.name for frame in frames] == ['0.png', '2.png']
        np.testing.assert_array_equal(frames[1].image, noise(2))
        assert held_out.left_out == 1
        assert held_out.kept == {picture_digest(noise(0)), picture_digest(noise(2))}


def test_none_is_left(pictures):
    held_out = HeldOut(open_source(pictures), {picture_digest(noise(n)) for n in range(3)})
    with pytest.raises(UserError, match='used for calibration or selection'):
        list(held_out)
