# SPDX-License-Identifier: Apache-2.0
"""CWD and PKD against their formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kd_yolo_training.distillation.adapters import Adapters, normalized
from kd_yolo_training.distillation.channel_wise import channel_wise_loss
from kd_yolo_training.distillation.pearson import pearson_loss


def maps(seed, shape=(4, 5, 6, 7)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_channel_wise_loss_is_the_divergence_of_every_channel(tau):
    student, teacher = maps(0), maps(1)
    loss = channel_wise_loss(student, teacher, tau)
    mine, theirs = normalized(student).double().numpy(), normalized(teacher).double().numpy()
    for picture in range(4):
        total = 0.0
        for channel in range(5):
            p = np.exp(theirs[picture, channel] / tau)
            q = np.exp(mine[picture, channel] / tau)
            p, q = p / p.sum(), q / q.sum()
            total += (p * np.log(p / q)).sum()
        assert float(loss[picture]) == pytest.approx(tau**2 * total / 5, rel=1e-4)


def test_pearson_loss_is_one_minus_the_mean_correlation():
    student, teacher = maps(2), maps(3)
    correlations = [
        np.corrcoef(student[:, c].flatten().numpy(), teacher[:, c].flatten().numpy())[0, 1]
        for c in range(5)
    ]
    loss = pearson_loss(student, teacher).mean()
    assert float(loss) == pytest.approx(1 - np.mean(correlations), abs=1e-4)


@pytest.mark.parametrize('loss', [channel_wise_loss, pearson_loss])
def test_scale_and_shift_of_the_teacher_do_not_matter(loss):
    student = maps(4)
    assert loss(student, student * 3 + 2).abs().max() < 1e-4
    assert loss(student, maps(5)).min() > 0.1


@pytest.mark.parametrize('loss', [channel_wise_loss, pearson_loss])
def test_a_silent_channel_gives_numbers(loss):
    student, teacher = maps(6).requires_grad_(), maps(7)
    teacher[:, 2] = 0
    loss(student, teacher).sum().backward()
    assert student.grad.isfinite().all()


def test_adapters_leave_the_students_random_numbers_alone():
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    first = Adapters({17: (4, 8)}, seed=1)
    assert torch.rand(3).equal(wanted)
    assert first(17, torch.rand(1, 4, 2, 3)).shape == (1, 8, 2, 3)
    again, other = Adapters({17: (4, 8)}, seed=1), Adapters({17: (4, 8)}, seed=2)
    assert again.layers['17'].weight.equal(first.layers['17'].weight)
    assert not other.layers['17'].weight.equal(first.layers['17'].weight)
