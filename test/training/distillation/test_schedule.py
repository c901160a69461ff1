# SPDX-License-Identifier: Apache-2.0
"""The teacher's strength over a run."""

from __future__ import annotations

import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.distillation.schedule import strength
from kd_yolo_training.distillation.settings import Distillation
from kd_yolo_training.engine.settings import Settings


def test_it_rises_in_warm_up_and_is_off_at_the_end():
    assert [strength(e, 8, 2, 'constant') for e in (0, 1, 2, 7.9, 8, 9)] == [0, 0.5, 1, 1, 0, 0]
    assert strength(0, 8, 0, 'constant') == 1


def test_cosine_falls_to_nothing_at_the_end():
    values = [strength(e, 8, 0, 'cosine') for e in range(9)]
    assert values[0] == 1 and values[4] == pytest.approx(0.5) and values[8] == 0
    assert values == sorted(values, reverse=True)


def test_by_default_the_teacher_is_off_when_the_mosaics_are():
    assert Settings(epochs=30, close_mosaic=4).teacher_epochs == 26
    given = Settings.from_dict({'epochs': 30, 'distil_close': 0})
    assert given.teacher_epochs == 30


def test_teachers_share_the_gains():
    assert Distillation().shares(2) == (0.5, 0.5)
    assert Distillation(teacher_weights='3,1').shares(2) == (0.75, 0.25)
    with pytest.raises(UserError, match='2 teacher_weights for 3 teachers'):
        Distillation(teacher_weights='3,1').shares(3)


@pytest.mark.parametrize(
    ('name', 'value', 'sentence'),
    [
        ('distil_cwd', -1.0, 'distil_cwd'),
        ('imitation_psi', 0.0, 'imitation_psi'),
        ('imitation_layers', '24', '0 to 23'),
        ('feature_layers', 'neck', "feature_layers is 'neck'"),
        ('feature_layers', '', '0 to 23'),
        ('cwd_tau', 0.0, 'cwd_tau'),
        ('teacher_weights', '1,-1', 'teacher_weights'),
        ('teacher_choice', 'both', 'weighted, best'),
        ('distil_schedule', 'linear', 'constant, cosine'),
    ],
)
def test_impossible_values_are_refused(name, value, sentence):
    with pytest.raises(UserError, match=sentence):
        Settings.from_dict({name: value})
