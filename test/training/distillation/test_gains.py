# SPDX-License-Identifier: Apache-2.0
"""Whether gains, teachers and epochs fit together is known before a checkpoint is opened."""

from __future__ import annotations

import pytest
from processes import run_python

from kd_yolo_ros.errors import UserError
from kd_yolo_training.distillation.gains import check_gains
from kd_yolo_training.engine.settings import Settings

CWD = {'distil_cwd': 1.0}


@pytest.mark.parametrize(
    ('values', 'teachers'),
    [
        ({}, 0),
        ({'epochs': 1, 'close_mosaic': 9}, 0),
        (CWD, 1),
        ({'distil_cwd': 0.0}, 2),  # only measured
        ({**CWD, 'teacher_weights': '2,1'}, 2),
        ({**CWD, 'epochs': 3, 'close_mosaic': 3, 'distil_close': 2}, 1),
    ],
)
def test_what_can_be_followed_passes(values, teachers):
    check_gains(Settings.from_dict(values), teachers)


@pytest.mark.parametrize(
    ('values', 'teachers', 'said'),
    [
        (CWD, 0, 'distil_cwd has a gain, .*--teacher'),
        ({}, 1, 'nothing to learn from it'),
        ({**CWD, 'teacher_weights': '2,1'}, 3, '2 teacher_weights for 3 teachers'),
        ({**CWD, 'epochs': 3, 'close_mosaic': 3}, 1, 'no epoch is left'),
        ({**CWD, 'epochs': 3, 'distil_close': 5}, 1, 'no epoch is left'),
    ],
)
def test_what_cannot_is_refused(values, teachers, said):
    with pytest.raises(UserError, match=said):
        check_gains(Settings.from_dict(values), teachers)


def test_it_needs_no_torch():
    """So that `recipe run` has checked everything in a moment."""
    code = 'import sys, kd_yolo_training.distillation.gains; print("torch" in sys.modules)'
    assert run_python('-c', code).stdout == 'False\n'
