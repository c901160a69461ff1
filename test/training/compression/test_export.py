# SPDX-License-Identifier: Apache-2.0
"""The exported graph answers as the network does, and is what our artifacts promise."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_training.compression import export
from kd_yolo_training.compression.export import export_onnx


@pytest.fixture(scope='module')
def network():
    return random_yolov5(classes=4)


@pytest.mark.parametrize(('height', 'width'), [(128, 128), (96, 160)])
def test_onnx_runtime_answers_as_torch(network, tmp_path, height, width):
    export_onnx(network, tmp_path / 'model.onnx', height, width)
    picture = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = cv2.resize(picture, (width, height))
    picture[..., 0] //= 4  # a colour cast: a swapped channel order shows
    session = onnxruntime.InferenceSession(str(tmp_path / 'model.onnx'))
    (graph_input,) = session.get_inputs()
    assert (graph_input.name, graph_input.type) == ('images', 'tensor(uint8)')
    assert graph_input.shape == [1, height, width, 3]
    outputs = session.run(None, {'images': picture[None]})
    assert [o.name for o in session.get_outputs()] == ['p3', 'p4', 'p5']
    rgb = torch.from_numpy(picture[None, ..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected, swapped = network(rgb), network(rgb.flip(1))
    for stride, output, tensor, other in zip((8, 16, 32), outputs, expected, swapped, strict=True):
        assert output.shape == (1, 27, height // stride, width // stride)
        assert output.dtype == np.float32
        difference = np.abs(output - tensor.numpy()).max()
        assert difference < 1e-4 * tensor.abs().max().item()
        assert np.abs(output - other.numpy()).max() > 10 * difference


def test_the_file_is_tidy_and_the_same_each_time(network, tmp_path):
    first, second = tmp_path / 'first.onnx', tmp_path / 'second.onnx'
    export_onnx(network, first, 64, 64)
    export_onnx(network, second, 64, 64)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['first.onnx', 'second.onnx']
    model = onnx.load(first)
    onnx.checker.check_model(model, full_check=True)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert 'model.24.m.2/Conv' in names
    assert {node.op_type for node in model.graph.node} == {
        *('Add', 'Cast', 'Concat', 'Conv', 'MaxPool', 'Mul', 'Resize', 'Sigmoid', 'Transpose')
    }
    assert b'training/models' not in first.read_bytes(), 'paths of this machine are left out'


def test_the_network_is_left_as_it_was(network, tmp_path):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_onnx(network, tmp_path / 'model.onnx', 64, 64)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(('height', 'width'), [(100, 128), (128, 0), (128, 8224), (-32, 64)])
def test_sizes_that_do_not_fit(network, tmp_path, height, width):
    with pytest.raises(UserError, match='--imgsz'):
        export_onnx(network, tmp_path / 'model.onnx', height, width)


def test_a_graph_that_answers_otherwise_is_not_written(network, tmp_path, monkeypatch):
    def swap_channels(model):
        first = next(i for i in model.graph.initializer if i.name.endswith('model.0.conv.weight'))
        weights = onnx.numpy_helper.to_array(first)[:, ::-1].copy()
        first.CopyFrom(onnx.numpy_helper.from_array(weights, first.name))

    monkeypatch.setattr(export, '_tidy', swap_channels)
    with pytest.raises(UserError, match='differs from the network'):
        export_onnx(network, tmp_path / 'model.onnx', 64, 64)
    assert not list(tmp_path.iterdir())
