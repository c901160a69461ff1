# SPDX-License-Identifier: Apache-2.0
"""Small networks out of larger ones."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from kd_yolo_training.models.checkpoint import Checkpoint
from kd_yolo_training.models.narrow import narrow
from kd_yolo_training.models.yolov5 import YOLOv5


def checkpoint(model: YOLOv5) -> Checkpoint:
    return Checkpoint(
        state=model.state_dict(),
        names=('a', 'b', 'c'),
        anchors=model.head.anchors_px,
        strides=(8, 16, 32),
        size=model.size,
        epoch=None,
        ema=True,
    )


@torch.no_grad()
def every_channel_twice(small: YOLOv5) -> YOLOv5:
    """Return a network of size s that computes every channel of one of size n two times."""
    large = YOLOv5('s', 3, masks=small.head.masks)
    mine = small.state_dict()
    state = {}
    for name, like in large.state_dict().items():
        tensor = mine[name]
        for axis, count in enumerate(like.shape):
            times = count // tensor.shape[axis]
            tensor = tensor.repeat_interleave(times, axis)
            if axis == 1 and like.dim() == 4:
                tensor = tensor / times
        state[name] = tensor
    large.load_state_dict(state)
    return large


def without_epsilon(model: YOLOv5) -> None:
    """Let normalizations make up for any scale of what comes in."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12


@pytest.mark.parametrize('masks', [0, 32])
def test_of_channels_that_are_there_twice_one_is_enough(masks):
    torch.manual_seed(0)
    small = YOLOv5('n', 3, masks=masks)
    for module in small.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
    without_epsilon(small)
    before = checkpoint(every_channel_twice(small))
    after = narrow(before, 'n')
    assert (after.size, after.names, after.masks) == ('n', before.names, masks)
    picked = YOLOv5('n', 3, masks=masks)
    picked.load_state_dict(after.state)
    without_epsilon(picked)
    images = torch.rand(4, 3, 96, 64)
    # With the statistics of the batch, as training goes on.
    for answer, wanted in zip(picked.train()(images), small.train()(images), strict=True):
        torch.testing.assert_close(answer, wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(after.state['model.24.m.0.weight'], small.head.m[0].weight)


@pytest.mark.parametrize(('small', 'large'), [('n', 'm'), ('s', 'm'), ('s', 'x')])
def test_what_is_concatenated_still_fits(small, large):
    # Whatever a channel gives or takes carries the number of that channel.
    before = checkpoint(YOLOv5(large, 3))
    for name, tensor in before.state.items():
        if tensor.dim() == 4:
            tensor.copy_(torch.arange(tensor.shape[1]).view(1, -1, 1, 1).expand_as(tensor))
        elif name.endswith('bn.bias'):
            tensor.copy_(torch.arange(len(tensor)))
    after = narrow(before, small)
    YOLOv5(small, 3).load_state_dict(after.state)
    for layer in (2, 4, 6, 8, 13, 17, 20, 23):  # C3: what the bottlenecks give, then a shortcut
        given = [f'model.{layer}.{part}.bn.bias' for part in ('m.0.cv2', 'cv2')]
        check_taken(before, after, given, f'model.{layer}.cv3.conv.weight')
    # SPPF pools what its first convolution gives three times; 16 is upsampled, 4 comes along.
    check_taken(before, after, ['model.9.cv1.bn.bias'] * 4, 'model.9.cv2.conv.weight')
    given = ['model.14.bn.bias', 'model.4.cv3.bn.bias']
    check_taken(before, after, given, 'model.17.cv1.conv.weight')


def check_taken(before: Checkpoint, after: Checkpoint, given: list[str], taken: str) -> None:
    starts = itertools.accumulate((len(before.state[name]) for name in given), initial=0)
    wanted = [after.state[name] + start for name, start in zip(given, starts, strict=False)]
    torch.testing.assert_close(after.state[taken][0, :, 0, 0], torch.cat(wanted))
