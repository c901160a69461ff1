# SPDX-License-Identifier: Apache-2.0
"""Distillation of masks: of what cells compose, whatever it is composed of."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.outlines import UNKNOWN
from kd_yolo_training.distillation.grid import cells_of
from kd_yolo_training.distillation.masks import mask_loss
from kd_yolo_training.distillation.settings import Distillation
from kd_yolo_training.distillation.student import check_teachers
from kd_yolo_training.distillation.task import DistillationTask
from kd_yolo_training.distillation.teacher import Teacher
from kd_yolo_training.engine.optimizer import make_optimizer
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.task import DetectionTask
from kd_yolo_training.losses.assignment import assign
from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.losses.segmentation import SegmentationLoss
from kd_yolo_training.models.checkpoint import Checkpoint
from kd_yolo_training.models.detect import Detect, Segment
from kd_yolo_training.models.yolov5 import YOLOv5

CLASSES, IMGSZ, BATCH = 3, 64, 2
SIDE = IMGSZ // 4
TARGETS = torch.tensor(
    [[0, 1, 0.5, 0.5, 0.3, 0.3], [0, 0, 0.2, 0.7, 0.4, 0.2], [1, 2, 0.3, 0.6, 0.2, 0.4]]
)
IMAGES = torch.rand(BATCH, 3, IMGSZ, IMGSZ, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(
    0, 2, (3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)
TERMS = ('imitation', 'cwd', 'pkd', 'output', 'classes', 'boxes', 'masks')


def head(masks):
    return Segment(CLASSES, (4, 4, 4), None, masks, 8) if masks else Detect(CLASSES, (4, 4, 4))


def outputs(seed, masks=4):
    random = torch.Generator().manual_seed(seed)
    values = 3 * (5 + CLASSES + masks)
    shapes = [(BATCH, values, IMGSZ // s, IMGSZ // s) for s in (8, 16, 32)]
    shapes += [(BATCH, masks, SIDE, SIDE)] if masks else []
    return tuple(torch.randn(shape, generator=random) for shape in shapes)


def term(student, teacher, targets=TARGETS):
    return mask_loss(student, teacher, targets, SegmentationLoss(head(4), IMGSZ))


def slowly(student, teacher):
    """Return each picture's loss, from whole masks of all answers."""
    total = torch.zeros(BATCH)
    for level, anchors in enumerate(head(4).anchors):
        height, width = student[level].shape[2:]
        found = assign(TARGETS, anchors, height, width)
        for picture in range(BATCH):
            values = []
            for m in (found.picture == picture).nonzero().flatten():
                logits = []
                for side in (student, teacher):
                    masks = side[3].shape[1]
                    grid = side[level].view(BATCH, 3, -1, height, width)
                    cell = grid[picture, found.anchor[m], -masks:, found.row[m], found.column[m]]
                    logits.append(torch.einsum('c,cij->ij', cell, side[3][picture]))
                mine, p = logits[0], logits[1].sigmoid()
                divergence = p * (logits[1] - mine) + functional.softplus(mine)
                divergence = divergence - functional.softplus(logits[1])
                x, y, w, h = TARGETS[found.target[m], 2:6] * SIDE
                at = torch.arange(SIDE) + 0.5
                inside = ((at - y).abs() <= h / 2)[:, None] & ((at - x).abs() <= w / 2)
                values.append((divergence * inside).sum() / (w * h))
            if values:
                total[picture] += torch.stack(values).mean()
    return 0.05 * total


def test_it_is_the_divergence_of_the_composed_masks():
    student, teacher = outputs(0), outputs(1)
    torch.testing.assert_close(term(student, teacher), slowly(student, teacher))
    assert term(student, teacher).min() > 1e-3


def test_teachers_may_have_other_prototypes_in_number_and_in_kind():
    student, teacher = outputs(0), outputs(1, masks=7)
    torch.testing.assert_close(term(student, teacher), slowly(student, teacher))
    # The same masks of other prototypes: nothing is left to learn.
    mixed = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(2)))[0]
    *levels, protos = student
    turned = [torch.einsum('nc,bchw->bnhw', mixed, protos)]
    for output in reversed(levels):
        grid = output.view(BATCH, 3, -1, *output.shape[2:]).clone()
        grid[:, :, -4:] = torch.einsum('nc,bachw->banhw', mixed, grid[:, :, -4:])
        turned.insert(0, grid.view_as(output))
    assert term(student, tuple(turned)).abs().max() < 1e-6 < term(student, outputs(1)).min()


def test_of_itself_there_is_nothing_to_learn():
    assert term(outputs(0), outputs(0)).tolist() == [0, 0]
    assert term(outputs(0), outputs(1), TARGETS[:0]).tolist() == [0, 0]


def test_a_student_comes_nearer():
    student = [output.requires_grad_() for output in outputs(0)]
    teacher = outputs(1)
    optimizer = torch.optim.Adam(student, 0.1)
    start = term(tuple(student), teacher).sum().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = term(tuple(student), teacher).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < start / 10


def test_coefficients_are_no_classes():
    """Cells of a head with masks are those of the head without, whatever the coefficients."""
    with_masks, without = outputs(3), []
    for output in with_masks[:3]:
        grid = output.view(BATCH, 3, -1, *output.shape[2:])[:, :, : 5 + CLASSES]
        without.append(grid.flatten(1, 2))
    for mine, plain in zip(
        cells_of(head(4), with_masks), cells_of(head(0), tuple(without)), strict=True
    ):
        assert all(map(torch.equal, mine, plain))
        assert mine.classes.shape[2] == CLASSES


# ---- in the student's task


def network(size='n', seed=0, masks=32):
    torch.manual_seed(seed)
    return YOLOv5(size, CLASSES, masks=masks)


def knowing(size='n', seed=1, masks=32):
    model = network(size, seed, masks).train()
    with torch.no_grad():
        for _ in range(10):  # statistics that pictures have gone through
            model(IMAGES)
            for conv in model.head.m:
                conv.bias.view(3, -1)[:, 4] = 0.0  # and objects that it sees
    return model


def student(settings, teachers, model=None, masks=32):
    model = model or network(masks=masks)
    loss = (SegmentationLoss if masks else DetectionLoss)(model.head, IMGSZ)
    anchors = torch.tensor([[10.0, 12.0], [30.0, 20.0]])
    task = DistillationTask(model, loss, teachers, settings, 10, anchors)
    task.epoch = 5.0
    return task.train()


def gains(*names, gain=1.0, **more):
    return Distillation(**{f'distil_{name}': gain for name in names}, **more)


def step(task, *labels):
    optimizer = make_optimizer([task], Settings(lr=0.01))
    parts = task(IMAGES, TARGETS, *labels)
    parts['loss'].backward()
    optimizer.step()
    return parts


def test_gain_zero_is_the_plain_run_bit_for_bit():
    plain_model, distilled_model = network(), network()
    plain = DetectionTask(plain_model, SegmentationLoss(plain_model.head, IMGSZ)).train()
    distilled = student(gains(*TERMS, gain=0.0), [Teacher(knowing())], distilled_model)
    for _ in range(2):
        wanted, parts = step(plain, LABELS), step(distilled, LABELS)
        assert parts['loss'].equal(wanted['loss']) and parts['masks'].equal(wanted['masks'])
        assert parts['distil_masks'] > 0
    for name, tensor in plain_model.state_dict().items():
        assert tensor.equal(distilled_model.state_dict()[name]), name


def test_a_student_that_is_its_own_teacher():
    model = knowing().eval()
    task = student(gains('masks', 'output', 'classes', 'boxes'), [Teacher(knowing())], model)
    parts = task.eval()(IMAGES, TARGETS, LABELS)
    # The teacher's normalizations are folded into its convolutions.
    assert parts['distil_masks'].abs() < 1e-6
    assert all(parts[f'distil_{name}'].abs() < 1e-3 for name in ('output', 'classes', 'boxes'))


def test_masks_add_their_gain_and_learn_of_objects_without_a_mask_too():
    task = student(gains('masks'), [Teacher(knowing('s'))])
    parts = task(IMAGES, TARGETS, torch.full_like(LABELS, UNKNOWN))
    assert parts['masks'] == 0 and parts['distil_masks'] > 0
    whole = sum(parts[n] for n in ('box', 'objectness', 'classes', 'distil_masks')) * BATCH
    assert float(parts['loss'].detach()) == pytest.approx(float(whole), rel=1e-5)
    parts['loss'].backward()
    assert task.model.head.proto.cv1.conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(('mine', 'theirs'), [(32, 0), (0, 32)])
def test_teachers_of_the_other_task(mine, theirs):
    """Of everything that both have, boxes, classes and features, a student can learn."""
    names = [name for name in TERMS if name != 'masks']
    task = student(gains(*names), [Teacher(knowing('s', masks=theirs))], masks=mine)
    parts = step(task, *([LABELS] if mine else []))
    assert all(parts[f'distil_{name}'] > 0 for name in names)


@pytest.mark.parametrize(('mine', 'theirs'), [(32, 32), (0, 32)])
def test_the_best_of_several_teachers(mine, theirs):
    teachers = [Teacher(knowing(seed=seed, masks=theirs)) for seed in (1, 2)]
    labels = [LABELS] if mine else []
    names = ('output', *(['masks'] if mine else []))
    task = student(gains(*names, teacher_choice='best'), teachers, masks=mine)
    parts = step(task, *labels)
    assert all(parts[f'distil_{name}'] > 0 for name in names)


def checkpoint(masks):
    model = network(masks=masks)
    return Checkpoint(
        state=model.state_dict(),
        names=('a', 'b', 'c'),
        anchors=model.head.anchors_px,
        strides=(8, 16, 32),
        size='n',
        epoch=None,
        ema=True,
    )


@pytest.mark.parametrize(
    'values', [{'distil_masks': 1.0}, {'distil_cwd': 1.0, 'teacher_choice': 'best'}]
)
def test_masks_need_a_teacher_that_has_some(values):
    settings = Settings.from_dict({'task': 'segment', **values})
    names = ('a', 'b', 'c')
    check_teachers(settings, names, [checkpoint(32)], None)
    with pytest.raises(UserError, match='boxes alone.*--task segment'):
        check_teachers(settings, names, [checkpoint(32), checkpoint(0)], None)
    plain = Settings.from_dict({'task': 'segment', 'distil_output': 1.0})
    check_teachers(plain, names, [checkpoint(0)], None)


def test_masks_are_distilled_into_students_that_have_some():
    with pytest.raises(UserError, match='distil_masks needs masks.*--task segment'):
        Settings.from_dict({'distil_masks': 1.0})
