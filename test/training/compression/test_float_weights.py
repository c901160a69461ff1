# SPDX-License-Identifier: Apache-2.0
"""Weights of float convolutions take fewer bytes, and the graph answers almost as before."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx_graphs import tiny

from kd_yolo_training.compression import float_weights
from kd_yolo_training.compression.float_weights import shrink_float_weights


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    picture = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    return session.run(None, {'images': picture})[0]


@pytest.mark.parametrize(
    ('small', 'kind', 'tolerance'), [(0, 'INT8', 0.02), (1 << 14, 'FLOAT16', 1e-3)]
)
def test_large_weights_get_8_bits_and_small_ones_16(monkeypatch, small, kind, tolerance):
    monkeypatch.setattr(float_weights, 'SMALL', small)
    weight = np.random.default_rng(0).normal(size=(64, 4, 3, 3)).astype(np.float32)
    weight[3] = 0  # a dead channel has no scale
    model = tiny(helper.make_node('Conv', ['images', 'w'], ['y'], 'conv', pads=[1] * 4), w=weight)
    before, expected = model.ByteSize(), answer(model)
    shrink_float_weights(model)
    assert model.ByteSize() < 0.6 * before
    types = {onnx.TensorProto.DataType.Name(i.data_type) for i in model.graph.initializer}
    assert kind in types
    assert 'w' not in {initializer.name for initializer in model.graph.initializer}
    assert answer(model) == pytest.approx(expected, abs=tolerance * float(abs(expected).max()))
    assert not np.array_equal(answer(model), expected)


def test_weights_beyond_half_precision_get_8_bits():
    weight = np.full((2, 4, 1, 1), 1e6, np.float32)
    model = tiny(helper.make_node('Conv', ['images', 'w'], ['y'], 'conv'), w=weight)
    expected = answer(model)
    shrink_float_weights(model)
    assert answer(model) == pytest.approx(expected, rel=1e-3)
