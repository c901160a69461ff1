# SPDX-License-Identifier: Apache-2.0
"""A `Predictor` over a PyTorch network: validation in training, and AP of checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from kd_yolo_ros.manifest import AP_THRESHOLDS, InputSpec, Manifest, ModelFile, Thresholds
from kd_yolo_ros.predictor import Predictor

from ..compression.export import check_size
from ..models.detect import describe_head
from ..models.open import DEFAULT_SIZE, model_name, names_of, open_checkpoint
from ..models.yolov5 import YOLOv5
from .module_backend import ModuleBackend


def module_predictor(
    model: YOLOv5,
    names: Sequence[str],
    imgsz: tuple[int, int],
    device: str | torch.device | None = None,
    precision: str = 'fp32',
    thresholds: Thresholds = AP_THRESHOLDS,
    name: str | None = None,
) -> Predictor:
    """Return a predictor over the network's present and future weights.

    The network is not fused, and its mode is the same after each prediction as before.

    Args:
        model: the network, or its moving average.
        names: its class names by class id.
        imgsz: (height, width) of its input in pixels, multiples of 32.
        device: where to run; None for where the network is. Anywhere else is a copy of the
            network, with the weights of now.
        precision: 'fp32', or 'bf16' or 'fp16' for autocast.
        thresholds: by default those of AP.
        name: for tables; by default the architecture's.

    Raises:
        UserError: names or size do not fit the network.
    """
    # An empty tensor tells which 'cuda' is meant.
    wanted = device and torch.empty(0, device=device).device
    if wanted not in (None, next(model.parameters()).device):
        model = copy.deepcopy(model).to(wanted)
    height, width = imgsz
    manifest = Manifest(
        name=name or f'yolov5{model.size}',
        task='segment' if model.head.masks else 'detect',
        class_names=tuple(names),
        head=describe_head(model.head.anchors_px, model.head.masks),
        files=(ModelFile('weights', ('torch',), precision, InputSpec(width, height)),),
    )
    manifest.validate(manifest.name)
    backend = ModuleBackend(model, precision)
    return Predictor.around(backend, manifest, manifest.files[0], thresholds)


def checkpoint_predictor(
    path: Path,
    precision: str = 'fp32',
    threads: int | None = None,
    thresholds: Thresholds | None = None,
    imgsz: tuple[int, int] | None = None,
) -> Predictor:
    """Return a predictor over a checkpoint, on CUDA where there is one; see `open_predictor`.

    `threads` counts for the whole process: PyTorch has one number for all networks.
    """
    checkpoint = open_checkpoint(path)
    size = imgsz or checkpoint.imgsz or DEFAULT_SIZE
    check_size(*size)
    if threads is not None:
        torch.set_num_threads(threads)
    model = checkpoint.build().fuse()
    return module_predictor(
        model.to('cuda' if torch.cuda.is_available() else 'cpu'),
        names_of(checkpoint, path),
        size,
        precision=precision,
        thresholds=thresholds or Thresholds(),
        name=model_name(path),
    )
