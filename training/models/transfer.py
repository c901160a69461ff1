# SPDX-License-Identifier: Apache-2.0
"""Starting from another network's weights: the trunk, and what still fits of the head."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .checkpoint import Checkpoint
from .yolov5 import YOLOv5

HEAD = 'model.24.'
BOX_VALUES = 5  # x, y, w, h, objectness


@torch.no_grad()
def transfer(
    model: YOLOv5,
    names: Sequence[str],
    checkpoint: Checkpoint,
    head: bool = True,
    source: str | None = None,
) -> str:
    """Copy weights into a model of the same size; return one sentence that says what came along.

    Of the head, boxes and objectness are taken where both have the same anchors, the classes
    that have the same names. Where both have as many coefficients of masks, the prototypes are
    taken always, and the coefficients with the boxes.

    Args:
        model: whose weights are replaced.
        names: its class names.
        checkpoint: of the same size.
        head: False leaves the head as it is.
        source: size of the network that was trained, where the checkpoint is a part of it.
    """
    state = model.state_dict()
    trunk = {k: v for k, v in checkpoint.state.items() if not k.startswith(HEAD)}
    masks = model.head.masks
    same_masks = 0 < masks == checkpoint.masks
    state.update(trunk)
    if head and same_masks:
        protos = f'{HEAD}proto.'
        state.update({k: v for k, v in checkpoint.state.items() if k.startswith(protos)})
    model.load_state_dict(state)
    said = f'The trunk ({len(trunk)} tensors) comes from '
    if source in (None, checkpoint.size):
        said += f'a trained {checkpoint.size}'
    else:
        said += f'evenly spaced channels of a trained {source}'
    if not head:
        return f'{said}; the head is new.'
    mine = model.head.anchors_px
    if not torch.allclose(mine, checkpoint.anchors.to(mine), rtol=1e-3):
        said = f'{said}; the head has other anchors and is new'
        return f'{said}, except the prototypes of masks.' if same_masks else f'{said}.'
    same = {
        names.index(name): index
        for index, name in enumerate(checkpoint.names)
        if name in names and len(names) > 1  # the row of an only class stays untrained
    }
    for level, conv in enumerate(model.head.m):
        for part in ('weight', 'bias'):
            anchors = model.head.anchors.shape[1]
            new = getattr(conv, part).view(anchors, BOX_VALUES + len(names) + masks, -1)
            old = checkpoint.state[f'{HEAD}m.{level}.{part}'].to(new)
            old = old.view(anchors, BOX_VALUES + checkpoint.classes + checkpoint.masks, -1)
            new[:, :BOX_VALUES] = old[:, :BOX_VALUES]
            for to, source in same.items():
                new[:, BOX_VALUES + to] = old[:, BOX_VALUES + source]
            if same_masks:
                new[:, -masks:] = old[:, -masks:]
    said = f'{said}, the head too, with {len(same)} of {len(names)} classes'
    if not masks:
        return f'{said}.'
    return f'{said} and its masks.' if same_masks else f'{said}; its masks are new.'
