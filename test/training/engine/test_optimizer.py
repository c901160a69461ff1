# SPDX-License-Identifier: Apache-2.0
"""Groups of parameters and rates, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from kd_yolo_training.engine.optimizer import (
    accumulation,
    clip_gradients,
    decay,
    make_optimizer,
    set_rates,
)
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.models.yolov5 import YOLOv5


def test_every_parameter_is_in_one_group_and_only_convolutions_decay():
    model = YOLOv5('n', 3)
    optimizer = make_optimizer([model], Settings(batch=16))
    names = {id(p): name for name, p in model.named_parameters()}
    grouped = [names[id(p)] for group in optimizer.param_groups for p in group['params']]
    assert sorted(grouped) == sorted(names.values())
    weights, scales, biases = optimizer.param_groups
    assert weights['weight_decay'] == pytest.approx(5e-4)
    assert scales['weight_decay'] == biases['weight_decay'] == 0
    assert all(p.ndim == 4 for p in weights['params'])
    assert all(names[id(p)].endswith('bn.weight') for p in scales['params'])
    assert all(names[id(p)].endswith('.bias') for p in biases['params'])


def test_frozen_parameters_are_left_out():
    model = YOLOv5('n', 3)
    model.model[:10].requires_grad_(False)
    optimizer = make_optimizer([model], Settings())
    frozen = {id(p) for p in model.model[:10].parameters()}
    assert not frozen & {id(p) for group in optimizer.param_groups for p in group['params']}


def test_several_modules_are_optimized_together():
    model, adapter = YOLOv5('n', 3), torch.nn.Conv2d(4, 8, 1)
    optimizer = make_optimizer([model, adapter], Settings())
    grouped = {id(p) for group in optimizer.param_groups for p in group['params']}
    assert {id(adapter.weight), id(adapter.bias)} <= grouped


@pytest.mark.parametrize(('batch', 'batches'), [(64, 1), (16, 4), (24, 3), (128, 1), (1, 64)])
def test_gradients_are_added_up_to_the_nominal_batch(batch, batches):
    assert accumulation(Settings(batch=batch)) == batches


def test_schedules():
    linear = Settings(epochs=10, final_lr=0.1)
    assert [decay(linear, epoch) for epoch in (0, 5)] == pytest.approx([1.0, 0.55])
    cosine = Settings(epochs=10, final_lr=0.1, schedule='cosine')
    assert [decay(cosine, epoch) for epoch in (0, 5)] == pytest.approx([1.0, 0.55])
    assert decay(cosine, 2) > decay(linear, 2)


def test_warm_up():
    """100 batches of an epoch, 3 epochs of warm-up: half of it is done after 150."""
    settings = Settings(epochs=10, batch=16, warmup_epochs=3.0, final_lr=1.0)
    optimizer = make_optimizer([YOLOv5('n', 3)], settings)
    weights, _, biases = optimizer.param_groups
    assert set_rates(optimizer, settings, 0, 0, 100) == 1
    assert (weights['lr'], biases['lr'], weights['momentum']) == (0.0, 0.1, 0.8)
    assert set_rates(optimizer, settings, 1, 50, 100) == 2  # halfway from 1 to 4, rounded to even
    assert weights['lr'] == pytest.approx(0.005)
    assert biases['lr'] == pytest.approx(0.055)
    assert weights['momentum'] == pytest.approx((0.8 + 0.937) / 2)
    assert set_rates(optimizer, settings, 3, 0, 100) == 4
    assert [weights['lr'], biases['lr']] == pytest.approx([0.01, 0.01])


def test_warm_up_is_never_shorter_than_100_steps():
    settings = Settings(epochs=100, warmup_epochs=1.0, final_lr=1.0)
    optimizer = make_optimizer([YOLOv5('n', 3)], settings)
    set_rates(optimizer, settings, 5, 0, 10)
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0.005)


def test_no_warm_up():
    settings = Settings(warmup_epochs=0.0)
    optimizer = make_optimizer([YOLOv5('n', 3)], settings)
    assert set_rates(optimizer, settings, 0, 0, 10) == accumulation(settings)
    assert optimizer.param_groups[2]['lr'] == pytest.approx(settings.lr)


def test_adamw_warms_up_biases_like_the_rest():
    settings = Settings(optimizer='adamw', lr=0.001, momentum=0.9)
    optimizer = make_optimizer([YOLOv5('n', 3)], settings)
    set_rates(optimizer, settings, 0, 0, 100)
    assert [group['lr'] for group in optimizer.param_groups] == [0, 0, 0]
    assert optimizer.param_groups[0]['betas'] == (0.8, 0.999)


def test_gradients_of_each_part_are_clipped_together():
    task = torch.nn.ModuleList(torch.nn.Linear(2, 1, bias=False) for _ in range(2))
    wanted = torch.tensor([[6.0, 8.0]])
    task[0].weight.grad, task[1].weight.grad = wanted * 5, wanted / 2
    clip_gradients(task, 10.0)
    torch.testing.assert_close(task[0].weight.grad, wanted)
    torch.testing.assert_close(task[1].weight.grad, wanted / 2)
    clip_gradients(task, 0)
    torch.testing.assert_close(task[0].weight.grad, wanted)
