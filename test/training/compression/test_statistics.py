# SPDX-License-Identifier: Apache-2.0
"""Statistics are those of the tensors, however many pictures there are."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx_graphs import tiny

from kd_yolo_training.compression import statistics as module
from kd_yolo_training.compression.statistics import collect_statistics, float_tensors


def test_extremes_means_and_histograms():
    model = tiny(helper.make_node('Relu', ['images'], ['relu']))
    pictures = [np.full((1, 4, 8, 8), value, np.float32) for value in (-1, 2, 4)]
    pictures[2][:, 1] = 10
    assert float_tensors(model) == ['relu']
    statistics = collect_statistics(model, pictures, ['relu'], ['relu'])
    assert statistics.low['relu'].tolist() == [0, 2, 4]
    assert statistics.high['relu'].tolist() == [0, 2, 10]
    assert statistics.channel_means['relu'] == pytest.approx([2, 4, 2, 2])
    values, counts = statistics.values('relu')
    assert values.tolist() == [0, 2, 4, 10]
    assert counts.tolist() == [256, 256, 192, 64]


def test_values_come_in_order_whatever_their_sign():
    model = tiny(helper.make_node('Identity', ['images'], ['same']))
    picture = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32) * 100
    values, counts = collect_statistics(model, [picture], ['same']).values('same')
    assert (np.diff(values) >= 0).all()
    expected = np.sort(picture.ravel())
    assert np.repeat(values, counts) == pytest.approx(expected, rel=1e-3)


def test_large_tensors_are_sampled_and_their_extremes_are_not(monkeypatch):
    monkeypatch.setattr(module, 'COUNTED', 64)
    model = tiny(helper.make_node('Identity', ['images'], ['same']))
    picture = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    statistics = collect_statistics(model, [picture], ['same'])
    assert statistics.low['same'] == picture.min()
    assert 32 < statistics.values('same')[1].sum() <= 64


def test_values_beyond_half_precision_are_counted_at_its_end():
    model = tiny(helper.make_node('Identity', ['images'], ['same']))
    statistics = collect_statistics(model, [np.full((1, 4, 8, 8), 1e6, np.float32)], ['same'])
    assert statistics.high['same'] == 1e6
    assert statistics.values('same')[0] == np.finfo(np.float16).max
