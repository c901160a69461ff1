# SPDX-License-Identifier: Apache-2.0
"""INT8 files: they hold integers where they should, float at the head, and answer alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from random_yolov5 import random_yolov5

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec, ModelFile
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.graph import decode_nodes, is_quantized, name_nodes
from kd_yolo_training.compression.onnxruntime_int8 import activation_ranges, correct_biases
from kd_yolo_training.compression.quantize import prepare, quantize
from kd_yolo_training.compression.statistics import Statistics, collect_statistics

SIDE = 128


def fp32_file(path: Path, spec: InputSpec, inside: bool = False) -> ModelFile:
    return ModelFile(path.name, ('onnxruntime', 'openvino'), 'fp32', spec, inside)


@pytest.fixture(scope='module')
def graph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('float') / 'model.onnx'
    export_onnx(random_yolov5(), path, SIDE, SIDE)
    return path


@pytest.fixture(scope='module')
def noise() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for _ in range(4)]


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_int8_answers_like_fp32(graph, noise, tmp_path, runtime):
    spec = InputSpec(SIDE, SIDE)
    file = quantize(graph, fp32_file(graph, spec), runtime, noise, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(file.sha256)
    assert (file.precision, file.runtimes, file.input) == ('int8', (runtime,), spec)
    weights = next(p for p in tmp_path.iterdir() if p.suffix in ('.bin', '.onnx'))
    assert weights.stat().st_size < 0.5 * graph.stat().st_size
    backend = backend_class(runtime)
    int8 = backend(tmp_path / file.path, file, 'int8', 1)
    fp32 = backend(graph, fp32_file(graph, spec), 'fp32', 1)
    for got, expected in zip(int8.infer(noise[0]), fp32.infer(noise[0]), strict=True):
        assert got.dtype == np.float32
        assert got.shape == expected.shape
        assert len(np.unique(got)) > 256, 'the head convolutions give float'
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.95
        assert not np.array_equal(got, expected)


def test_onnxruntime_graph(graph, noise, tmp_path):
    quantize(graph, fp32_file(graph, InputSpec(SIDE, SIDE)), 'onnxruntime', noise, tmp_path)
    model = onnx.load(tmp_path / 'onnxruntime-x64.onnx')
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    givers = {tensor: node for node in model.graph.node for tensor in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    assert len(convolutions) == 60
    for node in convolutions:
        weights_from = givers.get(node.input[1])
        quantized = weights_from is not None and weights_from.op_type == 'DequantizeLinear'
        assert quantized != node.name.startswith('model.24.')
    for node in model.graph.node:
        if node.op_type == 'DequantizeLinear' and node.input[0] in constants:
            weight, scale = constants[node.input[0]], constants[node.input[1]]
            if weight.ndim == 4:
                assert weight.dtype == np.int8
                assert np.abs(weight.astype(int)).max() <= 64, 'safe without VNNI'
                assert scale.shape == (weight.shape[0],), 'a scale for each channel'
        if node.op_type == 'QuantizeLinear':
            assert constants[node.input[2]].dtype == np.uint8
            if node.input[0] == 'Cast':
                assert (constants[node.input[1]], constants[node.input[2]]) == (1, 0)


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_the_decode_inside_a_real_export_stays_float(data_dir, tmp_path, runtime):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    spec = InputSpec(640, 640, 'float32', 'nchw', 'rgb', 1 / 255)
    generator = np.random.default_rng(0)
    pictures = [generator.random((1, 3, 640, 640), np.float32) for _ in range(2)]
    file = quantize(path, fp32_file(path, spec, inside=True), runtime, pictures, tmp_path)
    decode = decode_nodes(prepare(path, spec))
    assert len(decode) > 30
    if runtime == 'onnxruntime':
        model = onnx.load(tmp_path / file.path)
        assert is_quantized(model)
        name_nodes(model)
        givers = {tensor: node for node in model.graph.node for tensor in node.output}
        inputs = {g.op_type for n in decode_nodes(model) for t in _inputs(model, n)
                  if (g := givers.get(t))}  # fmt: skip
        assert not inputs & {'QuantizeLinear', 'DequantizeLinear'}
    else:
        import openvino

        model = openvino.Core().read_model(tmp_path / file.path)
        fakes = [op for op in model.get_ops() if op.get_type_name() == 'FakeQuantize']
        assert fakes
        fed = {
            target.get_node().get_type_name()
            for fake in fakes
            for target in fake.output(0).get_target_inputs()
        }
        assert not fed & {'Reshape', 'Power', 'Transpose', 'VariadicSplit', 'Split'}
    int8 = backend_class(runtime)(tmp_path / file.path, file, 'int8', 2)
    assert int8.infer(pictures[0])[0].shape == (1, 25200, 117)


def _inputs(model: onnx.ModelProto, name: str) -> list[str]:
    return next(list(node.input) for node in model.graph.node if node.name == name)


def tiny(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            nodes,
            'tiny',
            [value('images', TensorProto.FLOAT, [1, 4, 8, 8])],
            [value(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid('', 17)],
        ir_version=8,
    )


def test_statistics():
    model = tiny(helper.make_node('Relu', ['images'], ['relu']))
    pictures = [np.full((1, 4, 8, 8), value, np.float32) for value in (-1, 2, 4)]
    pictures[2][:, 1] = 10
    statistics = collect_statistics(model, pictures, ['images', 'relu'])
    assert statistics.low['relu'].tolist() == [0, 2, 4]
    assert statistics.high['relu'].tolist() == [0, 2, 10]
    assert statistics.channel_means['relu'] == pytest.approx([2, 4, 2, 2])
    assert statistics.channel_means['images'] == pytest.approx([5 / 3, 11 / 3, 5 / 3, 5 / 3])


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


def test_ranges_cut_what_silu_makes_zero():
    model = tiny(
        helper.make_node('Relu', ['images'], ['a']),
        helper.make_node('Sigmoid', ['a'], ['gate']),
        helper.make_node('Mul', ['gate', 'a'], ['b']),
        helper.make_node('Sigmoid', ['b'], ['other']),
        helper.make_node('Mul', ['b', 'b'], ['c']),
    )
    low = {name: np.full(4, -50.0) for name in ('a', 'gate', 'b', 'c')}
    high = {name: np.array([1.0, 2, 3, 4, 5, 600]) for name in low}
    ranges = activation_ranges(model, Statistics(low, high, {}))
    assert ranges['a'] == (-6, 5)
    assert ranges['b'] == (-50, 5)


@pytest.mark.parametrize(
    ('nodes', 'words'),
    [
        ([helper.make_node('Relu', ['images'], ['y'])], 'no convolution'),
        ([helper.make_node('QuantizeLinear', ['images', 's'], ['y'])], 'quantized already'),
    ],
)
def test_graphs_that_cannot_be_quantized(tmp_path, nodes, words):
    onnx.save(tiny(*nodes, s=np.float32(1)), tmp_path / 'model.onnx')
    with pytest.raises(UserError, match=words):
        prepare(tmp_path / 'model.onnx', InputSpec(64, 64))


def test_no_onnx_file(tmp_path):
    (tmp_path / 'model.onnx').write_bytes(b'hello')
    with pytest.raises(UserError, match='no valid ONNX'):
        prepare(tmp_path / 'model.onnx', InputSpec(64, 64))


def test_unknown_sizes_and_old_operators_are_settled(tmp_path):
    model = tiny(
        helper.make_node('Conv', ['images', 'w'], ['y']), w=np.ones((2, 3, 1, 1), np.float32)
    )
    shape = model.graph.input[0].type.tensor_type.shape
    for dimension in shape.dim:
        dimension.dim_param = 'any'
    model.opset_import[0].version = 11
    onnx.save(model, tmp_path / 'model.onnx')
    prepared = prepare(tmp_path / 'model.onnx', InputSpec(96, 64, 'float32', 'nchw', 'rgb', 1.0))
    assert [d.dim_value for d in prepared.graph.input[0].type.tensor_type.shape.dim] == [
        *(1, 3, 64, 96)
    ]
    assert prepared.opset_import[0].version == 13
    assert all(node.name for node in prepared.graph.node)
