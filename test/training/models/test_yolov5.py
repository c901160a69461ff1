# SPDX-License-Identifier: Apache-2.0
"""The network's size, shapes and arithmetic."""

from __future__ import annotations

import pytest
import torch
from random_yolov5 import random_yolov5
from torch import nn

from kd_yolo_training.models.layout import HEAD_INPUTS, SIZES
from kd_yolo_training.models.yolov5 import YOLOv5

PARAMETERS = {'n': 1_777_447, 's': 7_046_599, 'm': 20_907_687, 'l': 46_186_759, 'x': 86_278_375}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('size', SIZES)
def test_parameter_count(size):
    with torch.device('meta'):
        model = YOLOv5(size, classes=10)
    assert parameters(model) == PARAMETERS[size]


@torch.no_grad()
def test_fusing_keeps_the_answer():
    model = random_yolov5(classes=80)
    images = torch.rand(2, 3, 64, 96)
    before = model(images)
    model.fuse()
    assert parameters(model) == 1_867_405
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    for a, b in zip(before, model(images), strict=True):
        assert a.std(0).max() > 0.01, 'the two pictures must not get the same answer'
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_shapes_of_rectangular_input():
    model = YOLOv5('n', classes=10).eval()
    outputs = model(torch.rand(1, 3, 64, 96))
    assert [tuple(o.shape) for o in outputs] == [(1, 45, 8, 12), (1, 45, 4, 6), (1, 45, 2, 3)]


@torch.no_grad()
def test_layers_are_tapped_by_index():
    model = YOLOv5('n', classes=10).eval()
    images = torch.rand(1, 3, 64, 64)
    features = model.features(images)
    assert len(features) == 24
    assert [features[i].shape[1:] for i in (16, *HEAD_INPUTS)] == [
        (128, 8, 8),
        (64, 8, 8),
        (128, 4, 4),
        (256, 2, 2),
    ]
    for a, b in zip(model.head([features[i] for i in HEAD_INPUTS]), model(images), strict=True):
        assert torch.equal(a, b)


def test_tensor_names_of_the_public_checkpoints():
    names = YOLOv5('n', classes=80).state_dict()
    assert len(names) == 349
    assert {
        'model.0.conv.weight',
        'model.0.bn.running_var',
        'model.6.m.2.cv2.conv.weight',
        'model.9.cv2.bn.weight',
        'model.24.m.0.weight',
        'model.24.anchors',
    } <= set(names)


@pytest.mark.parametrize(('classes', 'prior'), [(1, 1.0), (10, 0.6)])
def test_head_starts_at_its_prior(classes, prior):
    head = YOLOv5('n', classes).head
    for conv, stride in zip(head.m, (8, 16, 32), strict=True):
        bias = conv.bias.detach().view(3, -1).sigmoid()
        expected_objects = (bias[:, 4] * (640 / stride) ** 2).mean()
        assert expected_objects.item() == pytest.approx(8, rel=1e-4)
        assert bias[:, 5:].sum(1).mean().item() == pytest.approx(prior, rel=1e-4)


def test_anchors_are_kept_in_cells_and_given_in_pixels():
    head = YOLOv5('n', classes=2).head
    assert head.anchors[2, 2].tolist() == [373 / 32, 326 / 32]
    assert head.anchors_px[0, 0].tolist() == [10, 13]
