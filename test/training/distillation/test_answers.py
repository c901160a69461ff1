# SPDX-License-Identifier: Apache-2.0
"""Distillation of a head's answers: zero for equals, and the formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kd_yolo_ros.decode import decode_anchor_grid
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_training.distillation.binary import LEAST, box_loss, score_loss
from kd_yolo_training.distillation.grid import cells_of
from kd_yolo_training.distillation.soft_targets import soft_target_loss
from kd_yolo_training.losses.detection import LEVEL_BALANCE, Gains
from kd_yolo_training.losses.iou import complete_iou
from kd_yolo_training.models.detect import Detect, describe_head

HEAD = Detect(3, (8, 8, 8))
GAINS = Gains()


def outputs(seed, spread=2.0, batch=2):
    random = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(batch, HEAD.outputs, 96 // s, 64 // s, generator=random) * spread
        for s in HEAD.strides
    )


def losses(student, teacher):
    mine, theirs = cells_of(HEAD, student), cells_of(HEAD, teacher)
    return (
        soft_target_loss(mine, theirs, GAINS),
        score_loss(mine, theirs),
        box_loss(mine, theirs),
    )


@pytest.mark.parametrize('spread', [2.0, 30.0])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(spread):
    for loss in losses(outputs(0, spread), outputs(0, spread)):
        assert loss.abs().max() < 1e-3


@pytest.mark.parametrize('spread', [2.0, 200.0])
def test_others_have_and_gradients_are_numbers(spread):
    student = tuple(o.requires_grad_() for o in outputs(0, spread))
    parts = torch.stack(losses(student, outputs(1, spread)))
    assert parts.shape == (3, 2)
    assert parts.min() > 0.01
    parts.sum().backward()
    assert all(o.grad.isfinite().all() for o in student)


def test_boxes_and_scores_are_those_that_the_nodes_decode():
    raw = outputs(2, spread=0.5, batch=1)
    thresholds = Thresholds(score=0.0, multi_label=False)
    decoded = decode_anchor_grid(
        [o.numpy() for o in raw], describe_head(HEAD.anchors_px), 3, thresholds
    )
    levels = cells_of(HEAD, raw)
    sizes = torch.cat(
        [cells.boxes[0, :, 2:] * s for cells, s in zip(levels, HEAD.strides, strict=True)]
    )
    scores = torch.cat(
        [c.objectness[0].sigmoid() * c.classes[0].sigmoid().amax(1) for c in levels]
    )
    found = np.sort(decoded.boxes[:, 2] - decoded.boxes[:, 0])
    assert np.allclose(np.sort(sizes[:, 0].numpy()), found, rtol=1e-3, atol=1e-2)
    assert np.allclose(np.sort(scores.numpy()), np.sort(decoded.scores), atol=1e-5)


def test_score_loss_is_the_weighted_entropy_of_scores():
    mine, theirs = cells_of(HEAD, outputs(3)), cells_of(HEAD, outputs(4))
    loss = score_loss(mine, theirs)
    for picture in range(2):
        total = mass = 0.0
        for a, b in zip(mine, theirs, strict=True):
            s = (a.objectness[picture].sigmoid()[:, None] * a.classes[picture].sigmoid()).double()
            t = (b.objectness[picture].sigmoid()[:, None] * b.classes[picture].sigmoid()).double()
            entropy = -(t * s.log() + (1 - t) * (1 - s).log())
            total += float(((t - s).abs() * entropy).sum())
            mass += float(t.amax(1).sum())
        assert float(loss[picture]) == pytest.approx(total / mass, rel=1e-4)


def test_soft_targets_are_scaled_by_the_teachers_objectness():
    mine, theirs = cells_of(HEAD, outputs(5)), cells_of(HEAD, outputs(6))
    loss = soft_target_loss(mine, theirs, GAINS)
    bernoulli = torch.distributions.Bernoulli
    divergence = torch.distributions.kl_divergence
    for picture in range(2):
        total = 0.0
        for a, b, balance in zip(mine, theirs, LEVEL_BALANCE, strict=True):
            o = b.objectness[picture].sigmoid()
            whether = divergence(
                bernoulli(logits=b.objectness[picture]), bernoulli(logits=a.objectness[picture])
            )
            which = divergence(
                bernoulli(logits=b.classes[picture]), bernoulli(logits=a.classes[picture])
            ).mean(1)
            s, t = a.boxes[picture], b.boxes[picture]
            where = ((s[:, :2] - t[:, :2]) ** 2).sum(1)
            where = where + ((s[:, 2:].log() - t[:, 2:].log()) ** 2).sum(1)
            total += GAINS.objectness * balance * float(whether.mean())
            total += GAINS.classes * float((o * which).sum() / o.sum())
            total += GAINS.box * float((o * where).sum() / o.sum())
        assert float(loss[picture]) == pytest.approx(total, rel=1e-4)


def test_a_teacher_that_sees_nothing_teaches_no_boxes():
    teacher = tuple(torch.full_like(o, -9.0) for o in outputs(0))
    assert losses(outputs(0), teacher)[2].tolist() == [0, 0]


def test_box_loss_is_the_overlap_weighted_by_the_teachers_objectness():
    mine, theirs = cells_of(HEAD, outputs(7)), cells_of(HEAD, outputs(8))
    loss = box_loss(mine, theirs)
    for picture in range(2):
        total = mass = 0.0
        for a, b in zip(mine, theirs, strict=True):
            for cell, logit in enumerate(b.objectness[picture].tolist()):
                weight = 1 / (1 + np.exp(-logit))
                if weight > LEAST:
                    pair = (a.boxes[picture, cell : cell + 1], b.boxes[picture, cell : cell + 1])
                    total += weight * (1 - float(complete_iou(*pair)))
                    mass += weight
        assert float(loss[picture]) == pytest.approx(total / mass, rel=1e-4)
