# SPDX-License-Identifier: Apache-2.0
"""The plain task: frozen layers stay what they are, the rest learns."""

from __future__ import annotations

import torch

from kd_yolo_training.engine.optimizer import make_optimizer
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.task import DetectionTask
from kd_yolo_training.losses.detection import DetectionLoss
from kd_yolo_training.models.yolov5 import YOLOv5


def test_frozen_layers_keep_weights_and_statistics():
    torch.manual_seed(0)
    model = YOLOv5('n', 3)
    task = DetectionTask(model, DetectionLoss(model.head, 64), freeze=10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = make_optimizer([task], Settings())
    task.train()
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.3], [1, 2, 0.3, 0.6, 0.2, 0.4]])
    task(torch.rand(2, 3, 64, 64), targets)['loss'].backward()
    optimizer.step()
    changed = {
        name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])
    }
    assert not any(int(name.split('.')[1]) < 10 for name in changed)
    assert {int(name.split('.')[1]) for name in changed} >= {10, 13, 17, 23, 24}
