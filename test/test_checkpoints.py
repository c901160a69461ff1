# SPDX-License-Identifier: Apache-2.0
"""Models by form: what is opened here, what by training, and what without it."""

from __future__ import annotations

import pytest

from kd_yolo_ros import checkpoints
from kd_yolo_ros.checkpoints import is_checkpoint, open_predictor
from kd_yolo_ros.errors import UserError


def test_forms(tmp_path):
    (tmp_path / 'run' / 'weights').mkdir(parents=True)
    for name in ('a.pt', 'run/weights/best.safetensors', 'run'):
        assert is_checkpoint(tmp_path / name)
    for name in ('a.onnx', 'a.xml', 'artifact', 'run/weights'):
        assert not is_checkpoint(tmp_path / name)


def test_an_artifact_is_opened_here(tiny_artifact):
    predictor = open_predictor(tiny_artifact, 'onnxruntime', 'fp32', 1)
    running = predictor.running
    assert (running.runtime, running.precision, running.threads) == ('onnxruntime', 'fp32', 1)


class Broken:
    """An entry point whose package is there, but not what it imports."""

    def load(self):
        raise ModuleNotFoundError("No module named 'torch'", name='torch')


@pytest.mark.parametrize(
    ('points', 'reason'),
    [({}, 'kd_yolo_training is not there'), ({'checkpoint': Broken()}, "No module named 'torch'")],
)
def test_a_checkpoint_without_training(points, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, 'entry_points', lambda group: points)
    with pytest.raises(UserError) as caught:
        open_predictor(tmp_path / 'a.pt')
    assert f'needs PyTorch ({reason})' in str(caught.value)
    assert "pip install 'kd_yolo_ros[training]'" in str(caught.value)
