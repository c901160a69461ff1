# SPDX-License-Identifier: Apache-2.0
"""Calibration pictures: what the graph gets, and that accuracy is not measured on them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_training.compression.calibration import Calibration, HeldOut, fingerprint


@pytest.fixture
def pictures(tmp_path):
    for index in range(10):
        picture = np.full((32, 64, 3), 10 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f'{index}.png'), picture)
    return tmp_path


def test_tensors_as_the_graph_takes_them(pictures):
    calibration = Calibration([open_source(pictures)], InputSpec(width=64, height=64), 100)
    tensors = list(calibration)
    assert len(tensors) == len(calibration) == 10
    assert tensors[3].shape == (1, 64, 64, 3)
    assert tensors[3].dtype == np.uint8
    assert tensors[3][0, 32, 32].tolist() == [30, 30, 30], 'kept although the buffer is reused'
    assert tensors[3][0, 0, 0].tolist() == [114, 114, 114]
    other = InputSpec(64, 64, 'float32', 'nchw', 'rgb', 1 / 255)
    (tensor,) = Calibration([open_source(pictures)], other, 1)
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor.dtype == np.float32


def test_a_limit_takes_pictures_from_the_whole_source(pictures):
    calibration = Calibration([open_source(pictures)], InputSpec(64, 64), 4)
    assert [int(t[0, 32, 32, 0]) for t in calibration] == [0, 30, 60, 90]
    assert len(calibration.digests) == 4


def test_a_limit_takes_pictures_of_every_source(pictures, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    for index in range(5):
        cv2.imwrite(str(other / f'{index}.png'), np.full((32, 64, 3), 200 + index, np.uint8))
    sources = [open_source(pictures), open_source(other)]
    calibration = Calibration(sources, InputSpec(64, 64), 8)
    values = [int(t[0, 32, 32, 0]) for t in calibration]
    assert values == [0, 20, 40, 60, 80, 200, 202, 204]


def test_the_fingerprint_knows_content_not_names(pictures, tmp_path_factory):
    calibration = Calibration([open_source(pictures)], InputSpec(64, 64), 100)
    calibration.read()
    other = tmp_path_factory.mktemp('renamed')
    for index in range(10):
        (pictures / f'{index}.png').rename(other / f'other{9 - index}.png')
    again = Calibration([open_source(other)], InputSpec(64, 64), 100)
    again.read()
    assert fingerprint(calibration.digests) == fingerprint(again.digests)
    cv2.imwrite(str(other / 'other3.png'), np.zeros((8, 8, 3), np.uint8))
    again = Calibration([open_source(other)], InputSpec(64, 64), 100)
    again.read()
    assert fingerprint(calibration.digests) != fingerprint(again.digests)


def test_calibrated_pictures_are_held_out(pictures):
    calibration = Calibration([open_source(pictures)], InputSpec(64, 64), 4)
    calibration.read()
    held_out = HeldOut(open_source(pictures), calibration.digests)
    for _ in range(2):
        frames = list(held_out)
        assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 20, 40, 50, 70, 80]
        assert held_out.left_out == 4
        assert len(held_out.kept) == 6


def test_nothing_held_out(pictures):
    calibration = Calibration([open_source(pictures)], InputSpec(64, 64), 10)
    calibration.read()
    with pytest.raises(UserError, match='used for calibration'):
        next(iter(HeldOut(open_source(pictures), calibration.digests)))


def test_a_source_without_end(pictures):
    source = open_source(pictures)
    source.length = None
    with pytest.raises(UserError, match='no end'):
        Calibration([source], InputSpec(64, 64), 10)
