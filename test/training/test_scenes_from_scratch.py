# SPDX-License-Identifier: Apache-2.0
"""Size n from scratch on generated scenes at 320 px, within 15 minutes on two cores."""

from __future__ import annotations

import json

import pytest
from processes import run_python

MINUTES = 15


@pytest.mark.slow
def test_scenes_from_scratch(tmp_path):
    done = run_python(
        *('-m', 'kd_yolo_ros.cli.main', 'recipe', 'run', 'scenes-n', '--out', 'out'),
        cwd=tmp_path,
        timeout_s=2 * MINUTES * 60,
    )
    assert done.returncode == 0, done.stderr
    train, val = (
        json.loads((tmp_path / 'out' / 'steps' / f'{step}.report.json').read_text())
        for step in ('train', 'evaluate')
    )
    epochs = train['epochs']
    assert len(epochs) == train['settings']['epochs']
    minutes = sum(row['train_s'] + row['evaluate_s'] for row in epochs) / 60
    print(f'{minutes:.1f} minutes, AP50-95 {val["map50_95"]:.3f}, AP50 {val["map50"]:.3f}')
    assert val['map50'] > 0.2 and val['map50_95'] > 0.1
