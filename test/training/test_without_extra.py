# SPDX-License-Identifier: Apache-2.0
"""What of `kd_yolo_training` works where nothing of the extra `training` is installed."""

from __future__ import annotations

from pathlib import Path

from extras import TRAINING_ONLY
from processes import kd_yolo, run_python, without

from kd_yolo_ros.frames import open_source
from kd_yolo_ros.metrics.ground_truth import read_bag


def test_a_generated_drive_becomes_a_bag_with_ground_truth(tmp_path: Path) -> None:
    assert {'torch', 'ultralytics', 'scipy'} <= set(TRAINING_ONLY)
    path = [without(tmp_path / 'without', *TRAINING_ONLY)]
    done = run_python('-c', 'import torch', path=path)
    assert 'ModuleNotFoundError' in done.stderr
    scenes = ('data', 'scenes', '--out', 'drive', '--train', 0, '--val', 1, '--sequences', 1)
    kd_yolo(*scenes, '--frames', 2, '--size', '256x128', cwd=tmp_path, path=path).succeeded()
    bag = ('data', 'bag', 'drive', '--split', 'val', '--out', 'bag')
    assert '/ground_truth/detections' in kd_yolo(*bag, cwd=tmp_path, path=path).succeeded()
    assert [frame.image.shape for frame in open_source(tmp_path / 'bag')] == [(128, 256, 3)] * 2
    assert len(read_bag(tmp_path / 'bag', '/ground_truth/detections')) == 2


def test_a_recipe_says_so_before_its_first_step(tmp_path: Path) -> None:
    path = [without(tmp_path / 'without', *TRAINING_ONLY)]
    run = ('recipe', 'run', 'scenes-tiny', '--out', 'out')
    sentence = kd_yolo(*run, cwd=tmp_path, path=path).refused()
    assert sentence.startswith("Error: step '") and 'training' in sentence
    assert not (tmp_path / 'out').exists()
