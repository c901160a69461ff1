# SPDX-License-Identifier: Apache-2.0
"""Simplified graphs answer as before, under the same names."""

from __future__ import annotations

import numpy as np
import onnx
import onnxslim
import pytest
from onnx import helper, numpy_helper
from onnx_graphs import tiny

from kd_yolo_ros.errors import UserError
from kd_yolo_training.compression.graph import name_nodes
from kd_yolo_training.compression.simplify import simplify


def wasteful() -> onnx.ModelProto:
    """A convolution, its batch normalization, and two nodes that do nothing."""
    generator = np.random.default_rng(0)
    model = tiny(
        helper.make_node('Identity', ['images'], ['same']),
        helper.make_node('Conv', ['same', 'w'], ['conv'], 'conv'),
        helper.make_node('BatchNormalization', ['conv', 'g', 'b', 'm', 'v'], ['normal']),
        helper.make_node('Relu', ['normal'], ['relu']),
        helper.make_node('Identity', ['relu'], ['y']),
        w=generator.normal(size=(2, 4, 1, 1)).astype(np.float32),
        **{name: (1 + generator.random(2)).astype(np.float32) for name in 'gbmv'},
    )
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    name_nodes(model)
    return model


def test_fewer_nodes_same_answer():
    before = wasteful()
    content = before.SerializeToString()
    after = simplify(before)
    assert before.SerializeToString() == content
    assert [node.op_type for node in after.graph.node] == ['Conv', 'Relu']
    assert all(node.name for node in after.graph.node)
    assert [value.name for value in (*after.graph.input, *after.graph.output)] == ['images', 'y']


def test_another_answer_is_refused(monkeypatch):
    slim = onnxslim.slim

    def wrong(model: onnx.ModelProto) -> onnx.ModelProto:
        model = slim(model)
        weight = next(i for i in model.graph.initializer if len(i.dims) == 4)
        weight.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(weight), weight.name))
        return model

    monkeypatch.setattr(onnxslim, 'slim', wrong)
    with pytest.raises(UserError, match='differs from the original'):
        simplify(wasteful())


def test_other_outputs_are_refused(monkeypatch):
    def wrong(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.output[0].name = 'relu'
        return model

    monkeypatch.setattr(onnxslim, 'slim', wrong)
    with pytest.raises(UserError, match='other outputs'):
        simplify(wasteful())
