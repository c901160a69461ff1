# SPDX-License-Identifier: Apache-2.0
"""Class weights against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_training.data.balance import class_counts, class_weights
from kd_yolo_training.data.dataset import Picture


def test_weights():
    """beta 0.5: the effective numbers of 1, 2 and many samples are 1, 1.5 and 2."""
    weights = class_weights(np.array([1, 2, 1000]), 0.5)
    expected = np.array([1, 1 / 1.5, 1 / 2])
    np.testing.assert_allclose(weights, expected / expected.mean())


def test_limits():
    counts = np.array([10, 1000])
    np.testing.assert_allclose(class_weights(counts, 0), [1, 1])
    rare, frequent = class_weights(counts, 0.999999)
    assert rare / frequent == pytest.approx(100, rel=0.01)
    with pytest.raises(ValueError, match='beta'):
        class_weights(counts, 1.0)


def test_an_absent_class_does_not_outweigh_the_others():
    weights = class_weights(np.array([1000, 1000, 0, 10]), 0.999)
    assert weights[[0, 1, 3]].mean() == pytest.approx(1)
    assert weights[2] == 1
    assert weights[3] > weights[0] == weights[1]


def test_counts_leave_out_crowds(tmp_path):
    picture = Picture(
        tmp_path / 'a.png',
        np.zeros((3, 4), np.float32),
        np.array([0, 2, 2]),
        np.array([False, False, True]),
        ((),) * 3,
    )
    assert class_counts([picture, picture], 4).tolist() == [2, 0, 2, 0]
