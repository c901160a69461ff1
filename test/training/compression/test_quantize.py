# SPDX-License-Identifier: Apache-2.0
"""INT8 files: they hold integers where they should, float at the head, and answer alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import tiny_manifest
from random_yolov5 import random_yolov5
from stiff import stiff_model
from tiny_segmenter import COEFFICIENTS, tiny_segmenter

from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import Head, InputSpec, ModelFile
from kd_yolo_training.cli.quantize import CALIBRATORS, METHODS, RUNTIMES
from kd_yolo_training.compression import (
    accuracy_aware,
    calibrated_graph,
    float_weights,
    ranges,
    targets,
)
from kd_yolo_training.compression import quantize as module
from kd_yolo_training.compression.accuracy_aware import Outputs
from kd_yolo_training.compression.candidates import AUTO
from kd_yolo_training.compression.export import export_onnx
from kd_yolo_training.compression.graph import decode_nodes, is_quantized, name_nodes
from kd_yolo_training.compression.judge import Verdict
from kd_yolo_training.compression.onnxruntime_int8 import OnnxRuntimeQuantizer
from kd_yolo_training.compression.prepare import prepare
from kd_yolo_training.compression.quantize import MAKERS, quantize
from kd_yolo_training.compression.targets import TARGETS

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


def test_every_target_has_a_maker():
    made = {method: {*makers} for method, makers in MAKERS.items()}
    assert made == {method: {*targets} for method, targets in TARGETS.items()}
    assert MAKERS.keys() == set(METHODS)
    assert {runtime for targets in TARGETS.values() for runtime in targets} == set(RUNTIMES)
    assert set(CALIBRATORS) == {AUTO, *ranges.CALIBRATORS}


@pytest.mark.parametrize('target', ['onnxruntime', 'onnxruntime-arm64', 'openvino'])
def test_int8_answers_like_fp32(graph, noise, tmp_path, target):
    spec = InputSpec(SIDE, SIDE)
    runtime = target.partition('-')[0]
    file, record = quantize(graph, fp32_file(graph, spec), target, noise, tmp_path)
    assert (record['runtime'], record['method']) == (target, 'default')
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(file.sha256)
    assert (file.precision, file.runtimes, file.input) == ('int8', (runtime,), spec)
    weights = next(p for p in tmp_path.iterdir() if p.suffix in ('.bin', '.onnx'))
    assert weights.stat().st_size < 0.32 * graph.stat().st_size
    backend = backend_class(runtime)
    int8 = backend(tmp_path / file.path, file, 'int8', 1)
    fp32 = backend(graph, fp32_file(graph, spec), 'fp32', 1)
    for got, expected in zip(int8.infer(noise[0]), fp32.infer(noise[0]), strict=True):
        assert got.dtype == np.float32
        assert got.shape == expected.shape
        assert len(np.unique(got)) > 256, 'the head convolutions give float'
        assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.95
        assert not np.array_equal(got, expected)


@pytest.mark.parametrize(
    ('target', 'limit', 'activations'),
    [
        ('onnxruntime', 64, np.uint8),  # safe without VNNI
        ('onnxruntime-vnni', 127, np.uint8),
        ('onnxruntime-arm64', 127, np.int8),
    ],
)
def test_onnxruntime_graph(graph, noise, tmp_path, target, limit, activations):
    file, _ = quantize(graph, fp32_file(graph, InputSpec(SIDE, SIDE)), target, noise, tmp_path)
    model = onnx.load(tmp_path / file.path)
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    givers = {tensor: node for node in model.graph.node for tensor in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    assert len(convolutions) == 60
    largest = 0
    for node in convolutions:
        reads = givers[node.input[0]].op_type
        assert (reads == 'DequantizeLinear') or node.name.startswith('model.24.')
        weight = givers[node.input[1]]
        if not node.name.startswith('model.24.'):
            integers, scale = (constants[name] for name in weight.input[:2])
            assert (weight.op_type, integers.dtype) == ('DequantizeLinear', np.int8)
            assert scale.shape == (integers.shape[0],), 'a scale for each channel'
            largest = max(largest, np.abs(integers.astype(int)).max())
    assert largest == limit
    for node in model.graph.node:
        if node.op_type == 'QuantizeLinear':
            zero = constants[node.input[2]]
            assert zero.dtype == activations
            assert activations == np.uint8 or zero == 0, 'symmetric'
            if node.input[0] == 'Cast' and activations == np.uint8:
                assert (constants[node.input[1]], zero) == (1, 0)


def test_what_gets_only_floats_stays_float(graph, noise, tmp_path):
    quantizer = OnnxRuntimeQuantizer(prepare(graph, InputSpec(SIDE, SIDE)), noise[:1])
    quantizer.write(tmp_path / 'int8.onnx', 'minmax', kept=quantizer.layers)
    operators = {node.op_type for node in onnx.load(tmp_path / 'int8.onnx').graph.node}
    assert 'QuantizeLinear' not in operators
    assert {'Add', 'Concat', 'MaxPool', 'Resize'} <= operators


def test_biases_make_up_for_8_bit_weights_of_float_layers(graph, noise, tmp_path, monkeypatch):
    quantizer = OnnxRuntimeQuantizer(prepare(graph, InputSpec(SIDE, SIDE)), noise[:2])
    monkeypatch.setattr(float_weights, 'SMALL', 0)
    path = tmp_path / 'int8.onnx'

    def error() -> float:
        backend = backend_class('onnxruntime')
        file = fp32_file(graph, InputSpec(SIDE, SIDE))
        expected = backend(graph, file, 'fp32', 1).infer(noise[3])
        got = backend(path, file, 'fp32', 1).infer(noise[3])
        return sum(float(np.square(a - b).mean()) for a, b in zip(got, expected, strict=True))

    quantizer.write(path, 'minmax', kept=quantizer.layers)
    corrected = error()
    monkeypatch.setattr(calibrated_graph, 'gets_8_bits', lambda values: False)
    quantizer.write(path, 'minmax', kept=quantizer.layers)
    assert 0 < corrected < 0.8 * error()


def test_dynamic_has_integer_convolutions_and_a_float_head(graph, noise, tmp_path):
    fp32 = fp32_file(graph, InputSpec(SIDE, SIDE))
    file, record = quantize(graph, fp32, 'onnxruntime', (), tmp_path, 'dynamic')
    assert (file.path, record['method']) == ('onnxruntime-dynamic.onnx', 'dynamic')
    path = tmp_path / file.path
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert (operators.count('ConvInteger'), operators.count('Conv')) == (57, 3)
    assert path.stat().st_size < 0.32 * graph.stat().st_size
    backend = backend_class('onnxruntime')
    expected = backend(graph, fp32, 'fp32', 1).infer(noise[0])
    for got, wanted in zip(backend(path, file, 'int8', 1).infer(noise[0]), expected, strict=True):
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.95
        assert not np.array_equal(got, wanted)


@pytest.fixture(scope='module')
def segmenting(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('float') / 'segment.onnx'
    export_onnx(random_yolov5(masks=32), path, SIDE, SIDE)
    return path


@pytest.mark.parametrize(
    ('runtime', 'method'),
    [
        *(('onnxruntime', 'default'), ('onnxruntime-vnni', 'default'), ('openvino', 'default')),
        *(('onnxruntime-arm64', 'default'), ('onnxruntime', 'dynamic'), ('tensorrt', 'default')),
    ],
)
def test_masks_have_prototypes_of_floats(segmenting, noise, tmp_path, runtime, method):
    fp32 = fp32_file(segmenting, InputSpec(SIDE, SIDE))
    file, _ = quantize(segmenting, fp32, runtime, noise[:2], tmp_path, method)
    path = tmp_path / file.path
    if path.suffix == '.onnx':
        model = onnx.load(path)
        integers = ('QuantizeLinear', 'DynamicQuantizeLinear')
        given = [t for n in model.graph.node if n.op_type in integers for t in n.input]
        assert not any(tensor.startswith('model.24.proto.cv3') for tensor in given)
        assert any(tensor.startswith('model.24.proto.') for tensor in given)
    inputs = noise[0]
    if file.input.dtype == 'float32':  # TensorRT's; another runtime reads the same graph
        inputs = noise[0].transpose(0, 3, 1, 2).astype(np.float32)
    backend = backend_class('onnxruntime' if runtime == 'tensorrt' else runtime.partition('-')[0])
    int8 = backend(path, file, 'int8', 1).infer(inputs)
    expected = backend(segmenting, fp32, 'fp32', 1).infer(noise[0])
    assert int8[-1].shape == (1, 32, SIDE // 4, SIDE // 4)
    for got, wanted in zip(int8, expected, strict=True):
        assert len(np.unique(got)) > 256
        assert 0.95 < np.corrcoef(got.ravel(), wanted.ravel())[0, 1] < 1


class Stern:
    """A judge to whom only float is good."""

    manifest = tiny_manifest()

    def __call__(self, path: Path, file: ModelFile, runtime: str | None = None) -> Verdict:
        ap = 0.5 if file.precision == 'fp32' else 0.1
        return Verdict(ap, ap, 4, 1.0, '1')


@pytest.mark.parametrize(
    ('runtime', 'timed'),
    [('onnxruntime', True), ('onnxruntime-arm64', False), ('openvino', True)],
)
def test_a_drop_that_cannot_be_met_is_said(tmp_path, monkeypatch, runtime, timed):
    for place in (module, targets):
        monkeypatch.setattr(place, 'architecture', lambda: 'x64')
    monkeypatch.setattr(targets, 'cpu_features', lambda: frozenset({'avx_vnni'}))
    onnx.save(stiff_model(), tmp_path / 'model.onnx')
    fp32 = fp32_file(tmp_path / 'model.onnx', InputSpec(96, 64))
    pictures = [np.full((1, 64, 96, 3), value, np.uint8) for value in (0, 200)]
    said = []
    _, record = quantize(
        *(tmp_path / 'model.onnx', fp32, runtime, pictures, tmp_path, 'accuracy-aware'),
        *(Stern(), 'minmax', 0.003, said.append),
    )
    assert not record['met']
    assert (record['kept_in_float'], record['fp32_map50_95']) == ([], 0.5)
    assert [step['kept'] for step in record['steps']] == [0, 1, 2, 3]
    assert all(('infer_ms' in step) == timed for step in record['steps'])
    assert '0.4000 lost where 0.003 were allowed' in said[-1]


def test_layers_of_a_segmenter_are_ranked_by_its_prototypes_too(tmp_path, monkeypatch):
    onnx.save(tiny_segmenter(), tmp_path / 'model.onnx')
    fp32 = fp32_file(tmp_path / 'model.onnx', InputSpec(96, 64))
    head = replace(Stern.manifest.head, mask_coefficients=COEFFICIENTS)
    monkeypatch.setattr(Stern, 'manifest', replace(Stern.manifest, head=head))
    seen = []
    original = accuracy_aware._mean_square

    def mean_square(got: Outputs, expected: Outputs, head: Head | None) -> float:
        seen.append(([len(one) for one in got], head is not None))
        return original(got, expected, head)

    monkeypatch.setattr(accuracy_aware, '_mean_square', mean_square)
    pictures = [np.full((1, 64, 96, 3), value, np.uint8) for value in (0, 200)]
    _, record = quantize(
        *(tmp_path / 'model.onnx', fp32, 'onnxruntime', pictures, tmp_path, 'accuracy-aware'),
        *(Stern(), 'minmax'),
    )
    assert list(record['damage']) == ['signed']
    assert ([3, 3], True) in seen and ([1, 1], False) in seen


def test_methods_that_a_runtime_lacks(graph, noise, tmp_path):
    fp32 = fp32_file(graph, InputSpec(SIDE, SIDE))
    with pytest.raises(UserError, match='dynamic is not for openvino, only for onnxruntime'):
        quantize(graph, fp32, 'openvino', noise, tmp_path, 'dynamic')


def test_8_bit_weights_are_not_judged_without_vnni(graph, noise, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, 'architecture', lambda: 'x64')
    monkeypatch.setattr(targets, 'cpu_features', lambda: frozenset({'avx2'}))
    fp32 = fp32_file(graph, InputSpec(SIDE, SIDE))
    said = []
    one = (graph, fp32, 'onnxruntime-vnni', noise[:1], tmp_path)
    _, record = quantize(*one, judge=Stern(), say=said.append)
    assert record['candidates'] == [] and 'Without VNNI' in said[0]
    with pytest.raises(UserError, match='Without VNNI.* or by another method'):
        quantize(*one, 'accuracy-aware', Stern())


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_the_decode_inside_a_real_export_stays_float(data_dir, tmp_path, runtime):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    spec = InputSpec(640, 640, 'float32', 'nchw', 'rgb', 1 / 255)
    generator = np.random.default_rng(0)
    pictures = [generator.random((1, 3, 640, 640), np.float32) for _ in range(2)]
    file, _ = quantize(path, fp32_file(path, spec, inside=True), runtime, pictures, tmp_path)
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
