# SPDX-License-Identifier: Apache-2.0
"""A student's step: what learns, what stays as it is, and what several teachers do."""

from __future__ import annotations

import copy

import pytest
import torch

from kd_yolo_training.distillation.settings import Distillation
from kd_yolo_training.distillation.task import DistillationTask
from kd_yolo_training.distillation.teacher import Teacher
from kd_yolo_training.engine.optimizer import clip_gradients, make_optimizer
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.task import DetectionTask
from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.models.yolov5 import YOLOv5

ALL = ('imitation', 'cwd', 'pkd', 'output', 'classes', 'boxes')
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.3], [1, 2, 0.3, 0.6, 0.2, 0.4]])
ANCHORS = torch.tensor([[10.0, 12.0], [30.0, 20.0]])


def network(size='n', seed=0):
    torch.manual_seed(seed)
    return YOLOv5(size, 3)


def teacher(size='s', seed=1):
    model = network(size, seed).train()
    with torch.no_grad():
        for _ in range(20):  # statistics that pictures have gone through
            model(IMAGES)
            for conv in model.head.m:
                conv.bias.view(3, 8)[:, 4] = 0.0  # and objects that it sees
    return Teacher(model)


def student(settings, teachers=None, end=10, epoch=5.0, model=None):
    model = model or network()
    task = DistillationTask(
        model,
        DetectionLoss(model.head, 64),
        teachers or [teacher()],
        settings,
        end,
        ANCHORS,
    )
    task.epoch = epoch
    return task.train()


def gains(*names, gain=1.0):
    return Distillation(**{f'distil_{name}': gain for name in names})


def step(task, limit=10.0):
    optimizer = make_optimizer([task], Settings(lr=0.01))
    parts = task(IMAGES, TARGETS)
    parts['loss'].backward()
    clip_gradients(task, limit)
    optimizer.step()
    return parts


@pytest.mark.parametrize('name', ALL)
def test_every_term_alone_adds_its_gain_to_the_loss(name):
    parts = student(gains(name))(IMAGES, TARGETS)
    plain = sum(parts[part] for part in ('box', 'objectness', 'classes'))
    term = parts[f'distil_{name}']
    assert term > 0
    assert float(parts['loss'].detach()) == pytest.approx(float(plain + term) * 2, rel=1e-5)
    half = student(gains(name, gain=0.5))(IMAGES, TARGETS)
    assert float(half[f'distil_{name}']) == pytest.approx(float(term), rel=1e-5)
    assert float(half['loss'].detach()) == pytest.approx(float(plain + term / 2) * 2, rel=1e-5)


def test_adapters_have_gradients_and_change_with_the_student():
    task = student(gains('imitation', 'cwd'))
    before = copy.deepcopy(task.state_dict())
    step(task)
    changed = {name for name, t in task.state_dict().items() if not t.equal(before[name])}
    assert all(p.grad.abs().sum() > 0 for p in task.adapters.parameters())
    for layer in (16, 17, 20, 23):
        assert f'adapters.0.layers.{layer}.weight' in changed
    assert 'model.model.0.conv.weight' in changed


def test_the_teacher_neither_learns_nor_counts_statistics_nor_is_saved():
    knows = teacher()
    before = copy.deepcopy(knows.model.state_dict())
    task = student(gains(*ALL), [knows])
    step(task)
    task.train()
    step(task)
    assert all(t.equal(before[name]) for name, t in knows.model.state_dict().items())
    assert not any(p.requires_grad for p in knows.model.parameters())
    assert not any(module.training for module in knows.model.modules())
    mine = sum(t.numel() for t in task.model.state_dict().values())
    adapters = sum(t.numel() for t in task.adapters.state_dict().values())
    saved = sum(t.numel() for n, t in task.state_dict().items() if not n.startswith('loss.'))
    assert saved == mine + adapters + ANCHORS.numel()


@pytest.mark.parametrize('limit', [10.0, 0.1])  # of the gradients' norm; the second clips
def test_gain_zero_is_the_plain_run_bit_for_bit(limit):
    plain_model, distilled_model = network(), network()
    plain = DetectionTask(plain_model, DetectionLoss(plain_model.head, 64)).train()
    distilled = student(gains(*ALL, gain=0.0), model=distilled_model)
    for _ in range(3):
        wanted, parts = step(plain, limit), step(distilled, limit)
        assert parts['loss'].equal(wanted['loss'])
        assert parts['distil_cwd'] > 0
    for name, tensor in plain_model.state_dict().items():
        assert tensor.equal(distilled_model.state_dict()[name]), name


@pytest.mark.parametrize('epoch', [0.0, 10.0])
def test_before_and_after_the_teacher_a_step_is_plain_and_says_the_same_names(epoch):
    settings = gains('cwd', 'boxes')
    on, off = (
        student(settings)(IMAGES, TARGETS),
        student(settings, epoch=epoch)(IMAGES, TARGETS),
    )
    assert off.keys() == on.keys()
    assert off['distil_cwd'] == 0
    plain = sum(off[part] for part in ('box', 'objectness', 'classes'))
    assert float(off['loss'].detach()) == pytest.approx(float(plain) * 2, rel=1e-5)


def test_pictures_without_objects_give_numbers():
    task = student(gains(*ALL))
    parts = task(IMAGES, torch.zeros(0, 6))
    parts['loss'].backward()
    assert all(value.isfinite() for value in parts.values())
    assert parts['distil_imitation'] == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.parameters())


def test_a_student_distilled_from_itself_has_no_output_loss():
    model = network()
    task = student(gains('output', 'classes', 'boxes'), [Teacher(copy.deepcopy(model))])
    task.eval()  # the same statistics on both sides
    task.model.load_state_dict(model.state_dict())
    parts = task(IMAGES, TARGETS)
    for name in ('output', 'classes', 'boxes'):
        assert abs(float(parts[f'distil_{name}'])) < 1e-5


def test_two_teachers_are_the_weighted_mean_of_each_alone():
    first, second = teacher('s', 1), teacher('m', 2)
    settings = Distillation(distil_output=1.0, teacher_weights='3,1')
    both = student(settings, [first, second])(IMAGES, TARGETS)['distil_output']
    alone = [
        student(gains('output'), [t])(IMAGES, TARGETS)['distil_output'] for t in (first, second)
    ]
    assert float(both) == pytest.approx(0.75 * float(alone[0]) + 0.25 * float(alone[1]), rel=1e-4)


def test_the_better_teacher_of_each_picture_is_picked():
    good, bad = teacher('s', 1), teacher('s', 1)
    for conv in bad.model.head.m:
        conv.bias.view(3, 8)[:, 4] += 20.0  # sees objects everywhere
    settings = Distillation(distil_output=1.0, teacher_choice='best')
    picked = student(settings, [bad, good])(IMAGES, TARGETS)['distil_output']
    alone = student(gains('output'), [good])(IMAGES, TARGETS)['distil_output']
    assert float(picked) == pytest.approx(float(alone), rel=1e-5)


def test_frozen_layers_stay_while_adapters_learn():
    model = network()
    task = DistillationTask(
        model, DetectionLoss(model.head, 64), [teacher()], gains('cwd'), 10, ANCHORS, freeze=10
    )
    task.epoch = 5.0
    before = copy.deepcopy(task.state_dict())
    task.train()
    step(task)
    changed = {name for name, t in task.state_dict().items() if not t.equal(before[name])}
    layers = {int(name.split('.')[2]) for name in changed if name.startswith('model.model.')}
    assert min(layers) == 10
    assert 'adapters.0.layers.23.weight' in changed
