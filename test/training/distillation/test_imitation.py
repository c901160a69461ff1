# SPDX-License-Identifier: Apache-2.0
"""The mask and the loss of fine-grained imitation against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kd_yolo_training.distillation.imitation import imitation_loss, imitation_mask

ANCHORS = torch.tensor([[8.0, 8.0], [30.0, 12.0], [14.0, 60.0]])


def by_loops(targets, anchors, batch, cells, imgsz, psi):
    rows, columns = cells
    height, width = imgsz
    mask = np.zeros((batch, rows, columns), bool)
    for picture, _, x, y, w, h in targets.tolist():
        left, right = (x - w / 2) * width, (x + w / 2) * width
        top, bottom = (y - h / 2) * height, (y + h / 2) * height
        ious = np.zeros((len(anchors), rows, columns))
        for k, (aw, ah) in enumerate(anchors.tolist()):
            for row in range(rows):
                for column in range(columns):
                    cx, cy = (column + 0.5) * width / columns, (row + 0.5) * height / rows
                    wide = min(right, cx + aw / 2) - max(left, cx - aw / 2)
                    high = min(bottom, cy + ah / 2) - max(top, cy - ah / 2)
                    common = max(wide, 0) * max(high, 0)
                    union = (right - left) * (bottom - top) + aw * ah - common
                    ious[k, row, column] = common / union
        if ious.any():
            mask[int(picture)] |= (ious.max(0) >= psi * ious.max()) & (ious.max(0) > 0)
        else:
            mask[int(picture), int(y * rows), int(x * columns)] = True
    return mask


@pytest.mark.parametrize('psi', [0.3, 0.5, 0.9])
def test_mask_equals_that_of_a_plain_loop_on_non_square_pictures(psi):
    random = torch.Generator().manual_seed(3)
    count = 90  # more than are handled at a time
    sizes = torch.rand(count, 2, generator=random) * 0.4 + 0.02
    centres = torch.rand(count, 2, generator=random)
    pictures = torch.randint(0, 40, (count, 1), generator=random).float()
    targets = torch.cat((pictures, pictures * 0, centres, sizes), 1)
    arguments = (targets, ANCHORS, 40, (6, 11), (96, 176), psi)
    assert np.array_equal(imitation_mask(*arguments).numpy(), by_loops(*arguments))


def test_a_wide_object_marks_a_wide_part_of_its_own_picture():
    targets = torch.tensor([[1, 0, 0.25, 0.5, 0.4, 0.1]])
    mask = imitation_mask(targets, torch.tensor([[64.0, 16.0]]), 2, (8, 16), (128, 256), 0.5)
    rows, columns = mask[1].nonzero(as_tuple=True)
    assert not mask[0].any()
    assert columns.max() - columns.min() > rows.max() - rows.min()
    assert abs(columns.float().mean() - 3.5) < 1 and abs(rows.float().mean() - 3.5) < 1


@pytest.mark.parametrize('centre', [(0.001, 0.001), (0.999, 0.999), (0.5, 0.999), (0.001, 0.5)])
def test_objects_on_borders_are_not_lost(centre):
    targets = torch.tensor([[0, 2, *centre, 0.002, 0.002]])
    mask = imitation_mask(targets, ANCHORS, 1, (8, 8), (128, 128), 0.5)
    row, column = min(int(centre[1] * 8), 7), min(int(centre[0] * 8), 7)
    assert mask[0, row, column]


def test_without_objects_the_loss_is_zero_and_has_gradients():
    mask = imitation_mask(torch.zeros(0, 6), ANCHORS, 2, (4, 4), (64, 64), 0.5)
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = imitation_loss(student, torch.randn(2, 3, 4, 4), mask)
    loss.mean().backward()
    assert loss.tolist() == [0, 0]
    assert student.grad.abs().sum() == 0


def test_loss_is_half_the_mean_over_masked_cells_of_the_squared_distance():
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    mask = torch.rand(2, 4, 5) > 0.5
    wanted, cells = 0.0, 0
    for picture in range(2):
        for row in range(4):
            for column in range(5):
                if mask[picture, row, column]:
                    cells += 1
                    difference = (
                        student[picture, :, row, column] - teacher[picture, :, row, column]
                    )
                    wanted += float((difference**2).sum())
    loss = imitation_loss(student, teacher, mask).mean()
    assert float(loss) == pytest.approx(wanted / (2 * cells), rel=1e-5)
