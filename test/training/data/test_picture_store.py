# SPDX-License-Identifier: Apache-2.0
"""The store: pictures scaled once, and shared with processes that are forked later."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.picture_store import PictureStore, scaled_shape
from kd_yolo_training.data.read import read_dataset


@pytest.fixture
def pictures(tmp_path):
    return read_dataset(write_shapes(tmp_path, fit=3), 'fit').pictures


def test_kept_and_read_pictures_are_the_same(pictures):
    kept, read = PictureStore(pictures, 80, True), PictureStore(pictures, 80, False)
    assert kept.kept and not read.kept
    for index in range(len(pictures)):
        first = kept.load(index)
        assert first.shape == (60, 80, 3)
        assert np.array_equal(first, read.load(index))
        first[:] = 0  # the caller may change it
        assert np.array_equal(kept.load(index), read.load(index))


def test_a_kept_picture_is_decoded_once_for_all_processes(pictures):
    store = PictureStore(pictures, 80, True)
    expected = PictureStore(pictures, 80, False).load(1)
    child = multiprocessing.get_context('fork').Process(target=store.load, args=(1,))
    child.start()
    child.join()
    assert child.exitcode == 0
    pictures[1].file.unlink()
    assert np.array_equal(store.load(1), expected)
    pictures[2].file.unlink()
    with pytest.raises(UserError):
        store.load(2)


def test_too_much_is_not_kept(pictures, monkeypatch):
    monkeypatch.setattr('kd_yolo_training.data.picture_store.MEMORY_SHARE', 0)
    assert not PictureStore(pictures, 80).kept


@pytest.mark.parametrize(
    ('size', 'shape'),
    [((2048, 1024), (320, 640)), ((100, 300), (640, 213)), ((5000, 2), (1, 640))],
)
def test_scaled_shape(size, shape):
    assert scaled_shape(size, 640) == shape
