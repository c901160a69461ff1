# SPDX-License-Identifier: Apache-2.0
"""The graph for TensorRT: what its parser asks for, and answers like the float graph's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.graph import head_convolutions
from kd_yolo_training.compression.prepare import prepare
from kd_yolo_training.compression.tensorrt_int8 import MAX_OPSET, quantize_tensorrt

HEIGHT, WIDTH = 64, 96
SPEC = InputSpec(WIDTH, HEIGHT)
PAIR = ('QuantizeLinear', 'DequantizeLinear')


@pytest.fixture(scope='module')
def float_model(tmp_path_factory):
    path = tmp_path_factory.mktemp('float') / 'model.onnx'
    export_onnx(random_yolov5(), path, HEIGHT, WIDTH)
    return prepare(path, SPEC)


@pytest.fixture(scope='module')
def pictures():
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (1, HEIGHT, WIDTH, 3), np.uint8) for _ in range(3)]


@pytest.fixture(scope='module')
def made(float_model, pictures, tmp_path_factory):
    """Return the quantized file, and what it takes."""
    path = tmp_path_factory.mktemp('int8') / 'tensorrt.onnx'
    before = float_model.SerializeToString()
    spec = quantize_tensorrt(float_model, SPEC, path, pictures)
    assert float_model.SerializeToString() == before, 'the float graph is left as it is'
    return path, spec


@pytest.fixture(scope='module')
def quantized(made):
    model = onnx.load(made[0])
    onnx.checker.check_model(model, full_check=True)
    return model


def test_it_takes_floats(made, quantized):
    assert made[1] == replace(SPEC, dtype='float32', layout='nchw')
    tensor = quantized.graph.input[0].type.tensor_type
    assert tensor.elem_type == TensorProto.FLOAT
    assert [d.dim_value for d in tensor.shape.dim] == [1, 3, HEIGHT, WIDTH]


def test_it_answers_like_the_float_graph(made, float_model, pictures):
    floats = onnxruntime.InferenceSession(float_model.SerializeToString())
    integers = onnxruntime.InferenceSession(made[0])
    planes = np.ascontiguousarray(pictures[0].transpose(0, 3, 1, 2), np.float32)
    expected = floats.run(None, {'images': pictures[0]})
    for got, wanted in zip(integers.run(None, {'images': planes}), expected, strict=True):
        assert got.shape == wanted.shape and not np.array_equal(got, wanted)
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.95


def test_what_tensorrt_8_reads(quantized):
    assert [entry.version for entry in quantized.opset_import if not entry.domain] == [MAX_OPSET]
    constants = {c.name: numpy_helper.to_array(c) for c in quantized.graph.initializer}
    pairs = [node for node in quantized.graph.node if node.op_type in PAIR]
    assert pairs
    for node in pairs:
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any() and zero.size == scale.size
        assert (scale > 0).all()
        axes = [a.i for a in node.attribute if a.name == 'axis']
        assert axes == ([0] if scale.size > 1 else [])
    assert not any(c.dtype == np.int8 and c.ndim == 4 for c in constants.values())
    assert not any(c.dtype == np.int32 and c.size > 8 for c in constants.values()), 'biases'


def test_which_layers_are_quantized(quantized):
    givers = {t: node.op_type for node in quantized.graph.node for t in node.output}
    convolutions = [node for node in quantized.graph.node if node.op_type == 'Conv']
    kept = [n for n in convolutions if givers.get(n.input[0]) != 'DequantizeLinear']
    names = {node.name for node in kept}
    assert names == {convolutions[0].name, *head_convolutions(quantized)}
    weights = [n for n in convolutions if givers.get(n.input[1]) == 'DequantizeLinear']
    assert len(weights) == len(convolutions) - len(kept)
    additions = [node for node in quantized.graph.node if node.op_type == 'Add']
    assert additions
    assert {givers[t] for n in additions for t in n.input} == {'DequantizeLinear'}


def test_a_pair_has_one_consumer(quantized):
    """Of those that compute in integers; what only passes numbers on may share it."""
    computing = [node for node in quantized.graph.node if node.op_type in ('Conv', 'Add')]
    uses = [tensor for node in computing for tensor in node.input]
    for node in quantized.graph.node:
        if node.op_type == 'DequantizeLinear':
            assert uses.count(node.output[0]) <= 1


def test_an_operator_of_a_later_opset(pictures, tmp_path):
    nodes = [
        helper.make_node('Conv', ['images', 'weight'], ['a'], 'a'),
        helper.make_node('Split', ['a'], ['b', 'c'], 'split', axis=1, num_outputs=2),
        helper.make_node('Concat', ['b', 'c'], ['d'], 'd', axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        'later',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info('d', TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), 'weight')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    spec = InputSpec(32, 32, 'float32', 'nchw')
    with pytest.raises(UserError, match=r'split \(Split\) needs opset 18'):
        quantize_tensorrt(model, spec, tmp_path / 'tensorrt.onnx', pictures)
    assert not list(tmp_path.iterdir())
