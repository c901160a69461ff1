# SPDX-License-Identifier: Apache-2.0
"""The segmentation network: the genuine weights' answers, checkpoints of every form, transfer."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from random_yolov5 import random_yolov5
from torch import nn

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.letterbox import Letterbox
from kd_yolo_training.engine.run_folder import write_weights
from kd_yolo_training.models.blocks import C3, SPPF, Bottleneck, Concat, Conv, Proto
from kd_yolo_training.models.checkpoint import read_checkpoint
from kd_yolo_training.models.detect import Segment
from kd_yolo_training.models.layout import SIZES
from kd_yolo_training.models.open import open_checkpoint
from kd_yolo_training.models.transfer import transfer
from kd_yolo_training.models.yolov5 import YOLOv5

NAMES = ['car', 'bus', 'tram', 'person']


@pytest.fixture(scope='module')
def genuine(data_dir):
    """The published YOLOv5n-seg: an ONNX Runtime session on raw outputs, and its convolutions."""
    model = onnx.load(data_dir / 'weights' / 'yolov5n-seg.onnx')
    convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = [(tensors[node.input[1]], tensors[node.input[2]]) for node in convolutions]
    raw = [node.output[0] for node in convolutions[-3:]]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in raw
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    return session, raw, weights


@torch.no_grad()
def test_genuine_weights_give_the_genuine_answers(genuine, data_dir):
    """Proof of the architecture: published weights in our modules answer as published."""
    session, raw, weights = genuine
    model = YOLOv5('n', 80, masks=32).fuse()
    assert sum(p.numel() for p in model.parameters()) == sum(w.size + b.size for w, b in weights)
    order: list[nn.Conv2d] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: order.append(module))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    model(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    for module, (weight, bias) in zip(order, weights, strict=True):
        assert module.weight.shape == weight.shape
        module.weight.copy_(torch.from_numpy(weight.copy()))
        module.bias.copy_(torch.from_numpy(bias.copy()))
    picture = read_picture(sorted((data_dir / 'coco128' / 'images').rglob('*.jpg'))[0])
    letterboxed, _ = Letterbox(640, 640)(picture)
    images = np.ascontiguousarray(
        letterboxed[..., ::-1].transpose(2, 0, 1)[None] / 255, np.float32
    )
    *levels, protos = session.run([*raw, 'output1'], {'images': images})
    answers = model(torch.from_numpy(images))
    assert len(answers) == 4 and answers[3].shape == (1, 32, 160, 160)
    for mine, theirs in zip(answers, (*levels, protos), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, atol=2e-3, rtol=1e-3)
    assert torch.sigmoid(answers[2].view(3, 117, -1)[:, 4]).max() > 0.5, 'it sees something'


@pytest.mark.parametrize('size', SIZES)
def test_sizes(size):
    width = {'n': 64, 's': 128, 'm': 192, 'l': 256, 'x': 320}[size]
    with torch.device('meta'):
        model = YOLOv5(size, 10, masks=32)
    assert isinstance(model.head, Segment)
    assert model.head.proto.cv1.conv.out_channels == model.head.proto.cv2.conv.in_channels == width
    answers = model(torch.zeros(1, 3, 64, 96, device='meta'))
    assert [tuple(a.shape) for a in answers] == [
        *((1, 3 * 47, 64 // s, 96 // s) for s in (8, 16, 32)),
        (1, 32, 16, 24),
    ]


def test_names_of_the_head():
    names = {n for n in YOLOv5('n', 2, masks=32).state_dict() if n.startswith('model.24.')}
    convolutions = {
        f'model.24.proto.{c}.{part}'
        for c in ('cv1', 'cv2', 'cv3')
        for part in (
            *('conv.weight', 'bn.weight', 'bn.bias'),
            *('bn.running_mean', 'bn.running_var', 'bn.num_batches_tracked'),
        )
    }
    heads = {f'model.24.m.{level}.{part}' for level in range(3) for part in ('weight', 'bias')}
    assert names == {*convolutions, *heads, 'model.24.anchors'}


@pytest.mark.parametrize('classes', [1, 4])
def test_the_prior_leaves_masks_alone(classes):
    torch.manual_seed(0)
    head = YOLOv5('n', classes, masks=32).head
    for conv in head.m:
        bias, weight = (
            conv.bias.detach().view(3, -1),
            conv.weight.detach().view(3, 37 + classes, -1),
        )
        assert (bias[:, 4] < -3).all() and len(bias[:, 5:-32].unique()) == 1
        assert bias[:, -32:].abs().max() < 1 and len(bias[:, -32:].unique()) == 96
        assert weight[:, -32:].abs().min() > 0


@pytest.fixture
def public_names(monkeypatch):
    """Let our classes be pickled under the names that public *-seg.pt use."""
    common = (Bottleneck, C3, Concat, Conv, Proto, SPPF)
    monkeypatch.setitem(sys.modules, 'models', ModuleType('models'))
    for name, classes in (('models.common', common), ('models.yolo', (Segment, YOLOv5))):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        for cls in classes:
            called = 'SegmentationModel' if cls is YOLOv5 else cls.__name__
            setattr(module, called, cls)
            monkeypatch.setattr(cls, '__module__', name)
    YOLOv5.__qualname__ = 'SegmentationModel'
    yield
    YOLOv5.__qualname__ = 'YOLOv5'


def test_public_pt(tmp_path, public_names):
    network = random_yolov5(len(NAMES), masks=32)
    network.names, network.stride = NAMES, torch.tensor([8.0, 16.0, 32.0])
    expected = {
        k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()
    }
    torch.save({'epoch': -1, 'model': network.half(), 'ema': None}, tmp_path / 'x-seg.pt')
    checkpoint = read_checkpoint(tmp_path / 'x-seg.pt')
    assert (checkpoint.task, checkpoint.masks, checkpoint.classes) == ('segment', 32, 4)
    assert (checkpoint.size, checkpoint.names, checkpoint.epoch) == ('n', tuple(NAMES), None)
    assert all(torch.equal(v, expected[k].to(v)) for k, v in checkpoint.state.items())
    with torch.no_grad():
        assert len(checkpoint.build()(torch.rand(1, 3, 64, 64))) == 4


def described(network, **changes):
    return {
        'format': 1,
        'architecture': 'yolov5n',
        'task': 'segment',
        'masks': 32,
        'names': NAMES,
        'anchors_px': network.head.anchors_px.tolist(),
        'imgsz': [64, 64],
        **changes,
    }


def test_our_own_weights(tmp_path):
    network = random_yolov5(len(NAMES), masks=32)
    file = tmp_path / 'last.safetensors'
    write_weights(file, network.state_dict(), described(network))
    checkpoint = open_checkpoint(file)
    assert (checkpoint.task, checkpoint.masks, checkpoint.training) == ('segment', 32, {})
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for mine, theirs in zip(checkpoint.build()(images), network(images), strict=True):
            assert torch.equal(mine, theirs)
    for changes in ({'task': 'detect'}, {'masks': 16}):
        write_weights(file, network.state_dict(), described(network, **changes))
        with pytest.raises(UserError, match='segment with 32 coefficients of masks, but says'):
            open_checkpoint(file)


def opened(tmp_path, masks, seed=3, names=NAMES):
    network = random_yolov5(len(names), seed=seed, masks=masks)
    file = tmp_path / f'{masks}.safetensors'
    info = described(network, task='segment' if masks else 'detect', masks=masks, names=names)
    write_weights(file, network.state_dict(), info)
    return open_checkpoint(file)


@pytest.mark.parametrize(('mine', 'theirs'), [(32, 0), (0, 32), (32, 32), (32, 16)])
@torch.no_grad()
def test_transfer_between_tasks(tmp_path, mine, theirs):
    """Boxes and classes answer as the other network's; masks where they are of one size."""
    other = opened(tmp_path, theirs)
    model = YOLOv5('n', len(NAMES), masks=mine)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    said = transfer(model, NAMES, other)
    assert '4 of 4 classes' in said
    assert ('and its masks' in said) == (mine == theirs) and ('new' in said) == (mine > theirs)
    images = torch.rand(1, 3, 64, 64)
    got, wanted = model.eval()(images), other.build()(images)
    for a, b in zip(got[:3], wanted[:3], strict=True):
        rows = [output.view(3, -1, *output.shape[2:])[:, :9] for output in (a, b)]
        assert torch.equal(*rows)
    if mine == theirs:
        assert all(map(torch.equal, got, wanted))
    elif mine:
        state = model.state_dict()
        protos = [name for name in state if '.proto.' in name]
        assert all(torch.equal(state[name], fresh[name]) for name in protos)
        for level in range(3):
            parts = (t[f'model.24.m.{level}.bias'].view(3, -1)[:, -32:] for t in (state, fresh))
            assert torch.equal(*parts)


@torch.no_grad()
def test_prototypes_need_no_anchors(tmp_path):
    other = opened(tmp_path, 32)
    model = YOLOv5('n', len(NAMES), anchors=other.anchors * 2, masks=32)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    said = transfer(model, NAMES, other)
    assert said.endswith('the head has other anchors and is new, except the prototypes of masks.')
    for name, tensor in model.state_dict().items():
        if name.startswith('model.24.'):
            wanted = other.state if '.proto.' in name else fresh
            assert torch.equal(tensor, wanted[name])


@torch.no_grad()
def test_transfer_of_a_trunk_alone(tmp_path):
    model = YOLOv5('n', len(NAMES), masks=32)
    fresh = {k: v.clone() for k, v in model.state_dict().items() if k.startswith('model.24.')}
    assert 'the head is new' in transfer(model, NAMES, opened(tmp_path, 32), head=False)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in fresh.items())
