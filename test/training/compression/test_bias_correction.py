# SPDX-License-Identifier: Apache-2.0
"""Corrected biases keep a convolution's mean although its weights are rounded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_graphs import tiny

from kd_yolo_training.compression.bias_correction import correct_biases


@pytest.mark.parametrize('groups', [1, 2, 4])
def test_corrected_biases_keep_the_mean(groups):
    generator = np.random.default_rng(3)
    weight = generator.normal(size=(8, 4 // groups, 3, 3)).astype(np.float32)
    bias = generator.normal(size=8).astype(np.float32)
    node = helper.make_node('Conv', ['images', 'w', 'b'], ['y'], name='conv', group=groups)
    means = generator.random(4).astype(np.float32) * 5
    limit = 3  # coarse, so that the error is plain

    def mean_answer(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        inputs = means.reshape(groups, 4 // groups).repeat(8 // groups, 0)
        return (weight.sum((2, 3)) * inputs).sum(1) + bias

    model = tiny(node, w=weight, b=bias)
    correct_biases(model, [node], {'images': means}, limit)
    corrected = onnx.numpy_helper.to_array(model.graph.initializer[1])
    scale = np.abs(weight).max((1, 2, 3), keepdims=True) / limit
    rounded = np.round(weight / scale) * scale
    expected = mean_answer(weight, bias)
    assert np.abs(mean_answer(rounded, bias) - expected).max() > 0.1
    assert mean_answer(rounded, corrected) == pytest.approx(expected, abs=1e-3)


def test_a_transposed_convolution_is_left_alone():
    """With a stride its pixels get some taps each: there is no one shift that would be right."""
    generator = np.random.default_rng(3)
    arrays = {'w': generator.normal(size=(4, 2, 2, 2)), 'b': generator.normal(size=2)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    node = helper.make_node('ConvTranspose', ['images', 'w', 'b'], ['y'], 'up', strides=[2, 2])
    model = tiny(node, **arrays)
    before = model.SerializeToString()
    correct_biases(model, [node], {'images': np.ones(4)}, 3)
    assert model.SerializeToString() == before
