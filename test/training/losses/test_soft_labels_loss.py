# SPDX-License-Identifier: Apache-2.0
"""The detection loss with weights: labels that count less, and cells that are asked for less."""

from __future__ import annotations

import pytest
import torch

from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.models.detect import Detect

CLASSES, IMGSZ = 3, 64
TARGETS = torch.tensor(
    [
        [0, 1, 0.40, 0.40, 0.30, 0.25],
        [0, 2, 0.72, 0.61, 0.20, 0.35],
        [1, 0, 0.31, 0.55, 0.45, 0.50],
        [1, 2, 0.33, 0.52, 0.40, 0.55],
    ]
)


def loss(targets, seed=0, classes=CLASSES, **settings):
    """Return the parts and the gradients of random outputs."""
    torch.manual_seed(seed)
    head = Detect(classes, (4, 4, 4))
    outputs = tuple(
        torch.randn(2, 3 * (5 + classes), IMGSZ // s, IMGSZ // s, requires_grad=True)
        for s in (8, 16, 32)
    )
    parts = DetectionLoss(head, IMGSZ, **settings)(outputs, targets)
    parts['loss'].backward()
    return parts, [output.grad for output in outputs]


def weighted(*weights: float) -> torch.Tensor:
    return torch.cat((TARGETS, torch.tensor(weights)[:, None]), 1)


@pytest.mark.parametrize('settings', [{}, {'class_weights': torch.tensor((0.5, 1.0, 1.5))}])
def test_weights_of_one_change_no_bit(settings):
    plain, ones = loss(TARGETS, **settings), loss(weighted(1, 1, 1, 1), **settings)
    for name in plain[0]:
        assert torch.equal(plain[0][name], ones[0][name]), name
    assert all(map(torch.equal, plain[1], ones[1]))


def test_only_proportions_count_for_boxes_and_classes():
    whole, half = loss(weighted(1, 0.5, 1, 0.2))[0], loss(weighted(0.5, 0.25, 0.5, 0.1))[0]
    for name in ('box', 'classes'):
        torch.testing.assert_close(whole[name], half[name])
    assert half['objectness'] != whole['objectness']


@pytest.mark.parametrize('part', ['box', 'classes'])
def test_the_mean_is_weighted(part):
    """Two objects alone and together: (a n1 w1 + b n2 w2) / (n1 w1 + n2 w2), level by level.

    The objects are of one size and place within their cells, and so have as many claims.
    """
    pair = torch.tensor([[0, 1, 0.31, 0.31, 0.3, 0.3], [1, 2, 0.31, 0.31, 0.3, 0.3]])
    alone = [loss(pair[row : row + 1])[0][part] for row in (0, 1)]
    both = loss(torch.cat((pair, torch.tensor([[1.0], [0.25]])), 1))[0][part]
    torch.testing.assert_close(both, (alone[0] + 0.25 * alone[1]) / 1.25)


def test_a_cell_is_asked_for_the_score():
    """With every logit at 0 and a box of anchor size in a cell's middle, CIoU is 1."""
    head = Detect(
        2, (4, 4, 4), torch.full((3, 3, 2), 8.0) * torch.tensor((1, 40, 80))[:, None, None]
    )
    outputs = tuple(torch.zeros(1, 21, 64 // s, 64 // s, requires_grad=True) for s in (8, 16, 32))
    target = torch.tensor([[0, 1, 3.5 / 8, 2.5 / 8, 1 / 8, 1 / 8, 0.3]])
    DetectionLoss(head, IMGSZ)(outputs, target)['loss'].backward()
    # (sigmoid(0) - w · CIoU) by the cell's share: balance 4, area (64/640)², 3 · 64 cells.
    share = 4 * 0.01 / (3 * 64)
    gradient = outputs[0].grad
    assert gradient is not None
    assert gradient[0, 4, 2, 3].item() == pytest.approx(share * (0.5 - 0.3), rel=1e-4)
    assert gradient[0, 4, 0, 0].item() == pytest.approx(share * 0.5, rel=1e-4)


def test_of_a_cell_with_both_kinds_the_surer_one_is_asked():
    same = TARGETS[:1].repeat(2, 1)
    both = torch.cat((same, torch.tensor([[1.0], [0.2]])), 1)
    assert torch.equal(loss(both)[0]['objectness'], loss(TARGETS[:1])[0]['objectness'])


def test_nothing_to_weigh():
    parts, _ = loss(torch.zeros(0, 7))
    assert parts['box'] == parts['classes'] == 0 < parts['objectness']
