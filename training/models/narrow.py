# SPDX-License-Identifier: Apache-2.0
"""A small network's first weights, picked from those of a trained larger one.

Weight selection (Xu et al., Initializing Models with Larger Ones, ICLR 2024): of every layer
evenly spaced channels, of every row of bottlenecks the first ones. Whatever a YOLOv5 adds or
concatenates has the same share of its channels picked, so what fitted together still does.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .yolov5 import YOLOv5

HEAD_CONVOLUTIONS = 'model.24.m.'


def narrow(checkpoint: Checkpoint, size: str) -> Checkpoint:
    """Return the weights that a smaller network starts with; they have to be trained on.

    The sums of a convolution have fewer terms than before. Batch normalization makes up for it as
    soon as training has renewed its statistics; the head has none, so its weights are scaled.

    Args:
        checkpoint: of the larger network.
        size: of the smaller one.
    """
    with torch.device('meta'):
        wanted = YOLOv5(size, checkpoint.classes, masks=checkpoint.masks).state_dict()
    state = {name: _picked(checkpoint.state[name], like.shape) for name, like in wanted.items()}
    for name in state:
        if name.startswith(HEAD_CONVOLUTIONS) and name.endswith('.weight'):
            state[name] *= checkpoint.state[name].shape[1] / state[name].shape[1]
    return dataclasses.replace(checkpoint, state=state, size=size)


def _picked(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Return evenly spaced entries along every axis, as a copy."""
    for axis, count in enumerate(shape):
        tensor = tensor.index_select(axis, torch.arange(count) * tensor.shape[axis] // count)
    return tensor.clone()
