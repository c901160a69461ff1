# SPDX-License-Identifier: Apache-2.0
"""Size n from scratch on generated scenes at 320 px, within 15 minutes on two cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from processes import run_python

RECIPE = Path(__file__).resolve().parents[2] / 'training' / 'recipes' / 'scenes-n.yaml'
MINUTES = 15


@pytest.mark.slow
def test_scenes_from_scratch(tmp_path):
    def kd_yolo(*words: object) -> None:
        done = run_python(
            '-m', 'kd_yolo_ros.cli.main', *words, cwd=tmp_path, timeout_s=2 * MINUTES * 60
        )
        assert done.returncode == 0, done.stderr[-2000:]

    kd_yolo('data', 'scenes', '--out', 'scenes', '--train', 2000, '--val', 500)
    kd_yolo('data', 'cityscapes', 'scenes', '--out', 'set')
    kd_yolo('train', '--config', RECIPE, '--data', 'set', '--out', 'run', '--json', 'train.json')
    epochs = json.loads((tmp_path / 'train.json').read_text())['epochs']
    assert len(epochs) == yaml.safe_load(RECIPE.read_text())['epochs']
    minutes = sum(row['train_s'] + row['evaluate_s'] for row in epochs) / 60
    kd_yolo('evaluate', 'run', '--data', 'set/val.json', '--json', 'val.json')
    ap = json.loads((tmp_path / 'val.json').read_text())
    print(f'{minutes:.1f} minutes, AP50-95 {ap["map50_95"]:.3f}, AP50 {ap["map50"]:.3f}')
    assert ap['map50'] > 0.2 and ap['map50_95'] > 0.1
