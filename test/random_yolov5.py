# SPDX-License-Identifier: Apache-2.0
"""A small seeded YOLOv5 whose layers all answer to the picture, for tests without real weights."""

from __future__ import annotations

import torch
from torch import nn

from kd_yolo_training.models.yolov5 import YOLOv5


@torch.no_grad()
def random_yolov5(classes: int = 4, size: str = 'n', seed: int = 0, masks: int = 0) -> YOLOv5:
    """Return a network in eval mode, its normalizations set to the statistics of noise."""
    torch.manual_seed(seed)
    model = YOLOv5(size, classes, masks=masks)
    normalizations = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in normalizations:
        module.momentum = 1.0
    model.train()
    model(torch.rand(4, 3, 128, 128))
    for module in normalizations:
        module.running_mean += 0.1 * torch.randn_like(module.running_mean)
        module.weight += 0.1 * torch.randn_like(module.weight)
        module.bias += 0.1 * torch.randn_like(module.bias)
    return model.eval()
