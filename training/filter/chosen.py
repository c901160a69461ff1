# SPDX-License-Identifier: Apache-2.0
"""The network that was taken as a checkpoint of its own, which says why it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine.run_folder import write_weights
from ..models.open import FORMAT, open_checkpoint
from .models import Model

CHOSEN = 'chosen.safetensors'


def write_chosen(file: Path, model: Model, selection: Mapping[str, Any]) -> None:
    """Write a network's weights, described as training describes them.

    Args:
        file: where to, a .safetensors; a .json with the description comes beside it.
        model: a checkpoint.
        selection: plain values that go to `provenance.selection` of the description, and so into
            the manifest of an artifact that is exported from it.

    Raises:
        UserError: it cannot be read or written.
    """
    checkpoint = open_checkpoint(model.path)
    training = dict(checkpoint.training)
    provenance = {**(training.get('provenance') or {}), 'selection': dict(selection)}
    info = {
        'format': FORMAT,
        'architecture': f'yolov5{checkpoint.size}',
        'task': checkpoint.task,
        'masks': checkpoint.masks,
        'names': list(model.class_names),
        'anchors_px': checkpoint.anchors.tolist(),
        'imgsz': list(model.imgsz),
        **({} if checkpoint.epoch is None else {'epoch': checkpoint.epoch}),
        **training,
        'provenance': provenance,
    }
    write_weights(file, checkpoint.state, info)
