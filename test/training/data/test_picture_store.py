# SPDX-License-Identifier: Apache-2.0
"""The store: pictures scaled once, and shared with processes that are forked later."""

from __future__ import annotations

import numpy as np
import pytest
from processes import run_python
from shapes import write_shapes

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


# In a process of its own: forking a test process, full of other runtimes' threads, is no test.
FORKED = """
import multiprocessing
import sys
from pathlib import Path
import numpy as np
from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.picture_store import PictureStore
from kd_yolo_training.data.read import read_dataset

pictures = read_dataset(Path(sys.argv[1]), 'fit').pictures
store = PictureStore(pictures, 80, True)
expected = PictureStore(pictures, 80, False).load(1)
child = multiprocessing.get_context('fork').Process(target=store.load, args=(1,))
child.start()
child.join()
assert child.exitcode == 0
for index in (1, 2):
    pictures[index].file.unlink()
assert np.array_equal(store.load(1), expected)
try:
    store.load(2)
except UserError:
    print('2 is gone')
"""


def test_a_kept_picture_is_decoded_once_for_all_processes(tmp_path):
    done = run_python('-c', FORKED, write_shapes(tmp_path, fit=3))
    assert done.returncode == 0, done.stderr
    assert done.stdout == '2 is gone\n'


def test_too_much_is_not_kept(pictures, monkeypatch):
    monkeypatch.setattr('kd_yolo_training.data.picture_store.MEMORY_SHARE', 0)
    assert not PictureStore(pictures, 80).kept


@pytest.mark.parametrize(
    ('size', 'shape'),
    [((2048, 1024), (320, 640)), ((100, 300), (640, 213)), ((5000, 2), (1, 640))],
)
def test_scaled_shape(size, shape):
    assert scaled_shape(size, 640) == shape
