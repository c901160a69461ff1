# SPDX-License-Identifier: Apache-2.0
"""The moving average of weights, against values worked out by hand."""

from __future__ import annotations

import math

import torch
from torch import nn

from kd_yolo_training.engine.ema import WeightAverage


def test_average():
    layer = nn.BatchNorm1d(1)
    average = WeightAverage(layer, decay=0.9, warmup=2.0)
    expected = 1.0
    for value in (2.0, 4.0):
        nn.init.constant_(layer.weight, value)
        layer.num_batches_tracked += 1
        average.update(layer)
        memory = 0.9 * (1 - math.exp(-average.updates / 2))
        expected = memory * expected + (1 - memory) * value
    torch.testing.assert_close(average.module.weight, torch.tensor([expected]))
    assert average.module.num_batches_tracked == 2
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())


def test_it_is_a_copy():
    layer = nn.Linear(1, 1)
    average = WeightAverage(layer, 0.9, 2.0)
    before = average.module.weight.clone()
    nn.init.constant_(layer.weight, 7.0)
    assert torch.equal(average.module.weight, before)
