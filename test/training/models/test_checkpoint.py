# SPDX-License-Identifier: Apache-2.0
"""Reading checkpoints: the real one, our own, and what is no YOLOv5."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_training.models.blocks import C3, SPPF, Bottleneck, Concat, Conv
from kd_yolo_training.models.checkpoint import read_checkpoint
from kd_yolo_training.models.detect import Detect
from kd_yolo_training.models.yolov5 import YOLOv5


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    return message


@pytest.fixture
def public_names(monkeypatch):
    """Let our classes be pickled under the names that public checkpoints use."""
    common = {cls: cls.__name__ for cls in (Bottleneck, C3, Concat, Conv, SPPF)}
    yolo = {Detect: 'Detect', YOLOv5: 'Model'}
    monkeypatch.setitem(sys.modules, 'models', ModuleType('models'))
    for module_name, classes in (('models.common', common), ('models.yolo', yolo)):
        module = ModuleType(module_name)
        monkeypatch.setitem(sys.modules, module_name, module)
        for cls, name in classes.items():
            setattr(module, name, cls)
            monkeypatch.setattr(cls, '__module__', module_name)
    YOLOv5.__qualname__ = 'Model'
    yield
    YOLOv5.__qualname__ = 'YOLOv5'


@torch.no_grad()
def test_real_checkpoint(data_dir):
    checkpoint = read_checkpoint(data_dir / 'weights' / 'yolov5n.pt')
    assert (checkpoint.size, checkpoint.task, checkpoint.classes) == ('n', 'detect', 80)
    assert checkpoint.names[:3] == ('person', 'bicycle', 'car')
    assert len(checkpoint.names) == 80
    assert checkpoint.epoch is None
    assert checkpoint.anchors[2, 2].tolist() == [373, 326]
    assert checkpoint.strides == (8, 16, 32)
    assert all(t.dtype in (torch.float32, torch.int64) for t in checkpoint.state.values())
    model = checkpoint.build().fuse()
    assert sum(p.numel() for p in model.parameters()) == 1_867_405
    outputs = model(torch.full((1, 3, 64, 64), 0.45))
    assert all(o.isfinite().all() for o in outputs)
    assert outputs[0][:, 4::85].max() < 0, 'nothing is there in a grey picture'


@torch.no_grad()
def test_state_dict_alone(tmp_path):
    model = random_yolov5(classes=4)
    torch.save(model.state_dict(), tmp_path / 'x.pt')
    checkpoint = read_checkpoint(tmp_path / 'x.pt')
    assert checkpoint.names == ()
    assert checkpoint.classes == 4
    images = torch.rand(1, 3, 64, 64)
    for a, b in zip(model(images), checkpoint.build()(images), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('size', ['s', 'm'])
def test_sizes_are_recognised(tmp_path, size):
    torch.save({'state_dict': YOLOv5(size, 2).half().state_dict()}, tmp_path / 'x.pt')
    checkpoint = read_checkpoint(tmp_path / 'x.pt')
    assert checkpoint.size == size
    assert checkpoint.state['model.0.conv.weight'].dtype == torch.float32


@pytest.mark.parametrize('names', [['a', 'b', 'c', 'd'], {0: 'a', 1: 'b', 2: 'c', 3: 'd'}])
def test_pickled_modules_as_in_public_checkpoints(tmp_path, public_names, names):
    import numpy as np

    model, ema = random_yolov5(seed=1), random_yolov5(seed=2)
    for network in (model, ema):
        network.names = names
        network.stride = torch.tensor([8.0, 16.0, 32.0])
    torch.save(
        {'epoch': 7, 'best_fitness': np.float64(0.5), 'model': model, 'ema': ema.half()},
        tmp_path / 'x.pt',
    )
    checkpoint = read_checkpoint(tmp_path / 'x.pt')
    assert checkpoint.names == ('a', 'b', 'c', 'd')
    assert (checkpoint.epoch, checkpoint.ema) == (7, True)
    expected = ema.float().state_dict()
    assert checkpoint.state.keys() == expected.keys()
    assert all(torch.equal(checkpoint.state[name], expected[name]) for name in expected)
    torch.save({'model': model, 'ema': None}, tmp_path / 'x.pt')
    assert not read_checkpoint(tmp_path / 'x.pt').ema


@pytest.mark.parametrize(
    ('names', 'words'),
    [(['a'], '1 class names for 4'), ({1: 'a'}, 'not numbered'), ('abcd', 'not a list of texts')],
)
def test_class_names_that_do_not_fit(tmp_path, public_names, names, words):
    model = random_yolov5()
    model.names = names
    torch.save({'model': model}, tmp_path / 'x.pt')
    assert words in refusal(tmp_path / 'x.pt')


def test_modules_nested_in_themselves(tmp_path, public_names):
    model = random_yolov5()
    for _ in range(3):
        model._modules['again'] = model
    torch.save({'model': model}, tmp_path / 'x.pt')
    assert 'nests more modules' in refusal(tmp_path / 'x.pt')


def with_tensors(**shapes: tuple) -> dict:
    state = YOLOv5('n', 2).state_dict()
    return {**state, **{name: torch.zeros(shape) for name, shape in shapes.items()}}


@pytest.mark.parametrize(
    ('state', 'words'),
    [
        ({'conv1.weight': torch.zeros(1)}, "start with 'conv1.weight'"),
        ({}, 'no tensor at all'),
        ({'hello': 'world'}, 'no YOLOv5 weights'),
        ([1, 2], 'no YOLOv5 weights but a list'),
        (with_tensors(**{'model.22.dfl.conv.weight': (1, 16, 1, 1)}), 'anchor-free'),
        (with_tensors(**{'model.0.conv.conv.weight': (1,)}), 'before YOLOv5 v6.0'),
        (with_tensors(**{'model.33.m.0.weight': (1,)}), 'P6'),
        (with_tensors(**{'model.24.proto.cv1.conv.weight': (1,)}), 'not one of the YOLOv5 sizes'),
        (with_tensors(**{'model.24.proto.cv3.conv.weight': (0,)}), 'not one of the YOLOv5 sizes'),
        (with_tensors(**{'model.3.conv.weight': (1,)}), 'not one of the YOLOv5 sizes'),
        (with_tensors(**{'model.24.m.0.bias': (22,)}), 'not one of the YOLOv5 sizes'),
        (with_tensors(**{'model.24.m.0.bias': ()}), 'not one of the YOLOv5 sizes'),
    ],
)
def test_foreign_models(tmp_path, state, words):
    torch.save(state, tmp_path / 'x.pt')
    assert words in refusal(tmp_path / 'x.pt')


def test_weights_that_are_not_numbers(tmp_path):
    state = YOLOv5('n', 2).state_dict()
    state['model.24.m.0.bias'][0] = float('nan')
    torch.save(state, tmp_path / 'x.pt')
    assert 'not finite' in refusal(tmp_path / 'x.pt')


def test_missing_file(tmp_path):
    assert 'is not a file' in refusal(tmp_path / 'none.pt')
    assert 'is not a file' in refusal(tmp_path)
