# SPDX-License-Identifier: Apache-2.0
"""Calibrators: what they cut off and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_graphs import tiny

from kd_yolo_training.compression import ranges
from kd_yolo_training.compression.ranges import CALIBRATORS, activation_ranges, mse, percentile
from kd_yolo_training.compression.statistics import Statistics, collect_statistics


def statistics_of(*pictures: np.ndarray) -> Statistics:
    model = tiny(helper.make_node('Identity', ['images'], ['x']))
    for dimension, length in zip(
        model.graph.input[0].type.tensor_type.shape.dim, pictures[0].shape, strict=True
    ):
        dimension.dim_value = length
    return collect_statistics(model, pictures, ['x'])


def normal(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 4, 64, 64)).astype(np.float32)


def test_extremes_over_pictures():
    statistics = statistics_of(*(np.linspace(-n, 2 * n, 256, dtype=np.float32).reshape(1, 4, 8, 8)
                                 for n in (1, 2, 3, 4, 10)))  # fmt: skip
    assert CALIBRATORS['minmax'](statistics, 'x') == (-10, 20)
    assert CALIBRATORS['moving-average'](statistics, 'x') == (-4, 8)
    low, high = CALIBRATORS['picture-quantile'](statistics, 'x')
    assert -10 < low < -4
    assert 8 < high < 20


@pytest.mark.parametrize('percent', [90, 99, 99.9])
def test_percentiles_agree_with_numpy(percent):
    pictures = [normal(seed) for seed in range(4)]
    low, high = percentile(statistics_of(*pictures), 'x', percent)
    values = np.concatenate([picture.ravel() for picture in pictures])
    cut = (100 - percent) / 2
    assert (low, high) == pytest.approx(np.percentile(values, [cut, 100 - cut]), rel=0.01)


def test_percentiles_of_a_constant():
    assert percentile(statistics_of(np.full((1, 4, 8, 8), 3, np.float32)), 'x', 99.9) == (3, 3)


def test_entropy_cuts_a_lonely_outlier_and_keeps_a_flat_distribution():
    picture = normal()
    picture[0, 0, 0, 0] = 60
    low, high = CALIBRATORS['entropy'](statistics_of(picture), 'x')
    assert 2 < high < 15
    assert -5 < low < -2
    flat = np.random.default_rng(0).uniform(0, 8, (1, 4, 64, 64)).astype(np.float32)
    low, high = CALIBRATORS['entropy'](statistics_of(flat), 'x')
    assert high > 7.8


def test_entropy_of_zeros():
    assert CALIBRATORS['entropy'](statistics_of(np.zeros((1, 4, 8, 8), np.float32)), 'x') == (0, 0)


def test_mse_cuts_where_it_pays():
    picture = normal()
    picture[0, 0, 0, 0] = 12
    statistics = statistics_of(picture)
    low, high = mse(statistics, 'x')
    assert (low, high) != CALIBRATORS['minmax'](statistics, 'x')

    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        zero = np.round(-low / scale)
        rounded = (np.clip(np.round(picture / scale) + zero, 0, 255) - zero) * scale
        return float(np.square(rounded - picture).mean())

    best = error(low, high)
    for calibrator in ('minmax', 'percentile-99.9', 'entropy'):
        assert best < error(*CALIBRATORS[calibrator](statistics, 'x')), calibrator


def test_mse_of_what_goes_into_silu_has_a_floor_of_its_own():
    values = np.linspace(-40, 10, 4 * 64 * 64, dtype=np.float32).reshape(1, 4, 64, 64)
    statistics = statistics_of(values)
    assert mse(statistics, 'x')[0] < -35
    assert -12 < mse(statistics, 'x', ranges._silu)[0] < -3


def test_symmetric_mse_spans_as_much_on_either_side():
    low, high = mse(statistics_of(np.abs(normal())), 'x', symmetric=True)
    assert low == -high < -2


def test_a_floor_under_what_goes_into_silu_and_nothing_else():
    model = tiny(
        helper.make_node('Relu', ['images'], ['a']),
        helper.make_node('Sigmoid', ['a'], ['gate']),
        helper.make_node('Mul', ['gate', 'a'], ['b']),
        helper.make_node('Sigmoid', ['b'], ['other']),
        helper.make_node('Mul', ['b', 'b'], ['c']),
    )
    low = {name: np.full(4, -50.0) for name in ('a', 'gate', 'b', 'c')}
    high = {name: np.full(4, 5.0) for name in low}
    statistics = Statistics(low, high, {}, {})
    floored = activation_ranges(model, statistics, 'minmax', -6.0)
    assert (floored['a'], floored['b']) == ((-6, 5), (-50, 5))
    assert activation_ranges(model, statistics, 'minmax', None)['a'] == (-50, 5)


def test_pixels_are_spanned_exactly():
    model = tiny(helper.make_node('Cast', ['images'], ['x'], to=TensorProto.FLOAT))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    statistics = Statistics({'x': np.array([3.0])}, {'x': np.array([200.0])}, {}, {})
    assert activation_ranges(model, statistics, 'minmax', None) == {'x': (0, 255)}
