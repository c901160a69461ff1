# SPDX-License-Identifier: Apache-2.0
"""Writes the artifact of a checkpoint: the FP32 ONNX graph, and where its weights come from."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from kd_yolo_ros.artifact import Artifact, sha256_of, write_artifact
from kd_yolo_ros.manifest import InputSpec, Manifest, ModelFile

from ..models.checkpoint import Checkpoint
from ..models.detect import describe_head
from ..models.open import (
    DEFAULT_SIZE,
    checkpoint_file,
    model_name,
    names_of,
    open_checkpoint,
)
from .export import check_size, export_onnx

GRAPH = 'model.onnx'


def export_checkpoint(
    path: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    licence: str | None = None,
) -> Artifact:
    """Export a checkpoint for one input size and write its artifact.

    Args:
        path: what `open_checkpoint` takes.
        out: folder of the artifact.
        size: (height, width) in pixels; None for what it was trained with, else 640.
        name: None for that of the file or the training run.
        class_names: None for the checkpoint's own.
        licence: of the weights.

    Raises:
        UserError: the checkpoint, its names or the size do not fit.
    """
    if size is not None:
        check_size(*size)
    checkpoint = open_checkpoint(path)
    height, width = size or checkpoint.imgsz or DEFAULT_SIZE
    manifest = Manifest(
        name=name or model_name(path),
        task=checkpoint.task,
        class_names=names_of(checkpoint, path, class_names),
        head=describe_head(checkpoint.anchors),
        files=(ModelFile(GRAPH, ('onnxruntime', 'openvino'), 'fp32', InputSpec(width, height)),),
        licence=licence or 'unknown',
        provenance=_provenance(checkpoint, checkpoint_file(path)),
    )
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / GRAPH
        export_onnx(checkpoint.build(), graph, height, width)
        return write_artifact(out, manifest, {GRAPH: graph})


def _provenance(checkpoint: Checkpoint, file: Path) -> dict[str, Any]:
    provenance: dict[str, Any] = {
        'checkpoint': {
            'file': file.name,
            'sha256': sha256_of(file),
            'architecture': f'yolov5{checkpoint.size}',
            'epoch': checkpoint.epoch,
            'ema': checkpoint.ema,
        },
        'versions': {name: metadata.version(name) for name in ('torch', 'onnx')},
    }
    if checkpoint.training:
        provenance['training'] = dict(checkpoint.training)
    return provenance
