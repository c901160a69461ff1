# SPDX-License-Identifier: Apache-2.0
"""Writes the artifact of a checkpoint: its FP32 files, and where its weights come from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from kd_yolo_ros.artifact import Artifact, sha256_of, write_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.graphs import RUNTIMES
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
from ..models.yolov5 import YOLOv5
from .export import check_size, export_onnx

GRAPH, PROGRAM, TFLITE = 'model.onnx', 'model.pt2', 'model.tflite'

# By runtime, the file that it loads.
FILES = {**dict.fromkeys(RUNTIMES['.onnx'], GRAPH), 'torch': PROGRAM, 'tflite': TFLITE}
DEFAULT_RUNTIMES = ('onnxruntime', 'openvino')


def export_checkpoint(
    path: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    licence: str | None = None,
    runtimes: Sequence[str] = DEFAULT_RUNTIMES,
    decode_inside: bool = False,
) -> Artifact:
    """Export a checkpoint for one input size and write its artifact.

    Args:
        path: what `open_checkpoint` takes.
        out: folder of the artifact.
        size: (height, width) in pixels; None for what it was trained with, else 640.
        name: None for that of the file or the training run.
        class_names: None for the checkpoint's own.
        licence: of the weights.
        runtimes: keys of `FILES`; each file is written once, whoever else loads it.
        decode_inside: the ONNX graph ends with decoded boxes instead of raw head outputs.

    Raises:
        UserError: the checkpoint, its names or the size do not fit.
    """
    files = list(dict.fromkeys(FILES[runtime] for runtime in runtimes))
    if decode_inside and files != [GRAPH]:
        raise UserError(
            f'Only {GRAPH} is written with the decode inside; leave out the other runtimes.'
        )
    if size is not None:
        check_size(*size)
    checkpoint = open_checkpoint(path)
    if decode_inside and checkpoint.masks:
        raise UserError(f'{path} finds masks, for which no decode goes inside; leave it outside.')
    height, width = size or checkpoint.imgsz or DEFAULT_SIZE
    network = checkpoint.build()
    head = describe_head(checkpoint.anchors, checkpoint.masks)
    names = names_of(checkpoint, path, class_names)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        manifest = Manifest(
            name=name or model_name(path),
            task=checkpoint.task,
            class_names=names,
            head=head,
            files=tuple(_export(network, scratch / file, height, width) for file in files),
            licence=licence or 'unknown',
            provenance=_provenance(checkpoint, checkpoint_file(path)),
        )
        if decode_inside:
            manifest = _with_decode(manifest, scratch / GRAPH)
        return write_artifact(out, manifest, {file: scratch / file for file in files})


def _export(network: YOLOv5, path: Path, height: int, width: int) -> ModelFile:
    """Write one file, of the format that its name says, and describe it."""
    if path.name == PROGRAM:
        from .torch_program import export_torch

        return export_torch(network, path, height, width)
    if path.name == TFLITE:
        from .tflite import export_tflite

        return export_tflite(network, path, height, width)
    export_onnx(network, path, height, width)
    return ModelFile(path.name, RUNTIMES['.onnx'], 'fp32', InputSpec(width, height))


def _with_decode(manifest: Manifest, graph: Path) -> Manifest:
    """Have the ONNX graph, the only file, decode its boxes itself."""
    import onnx

    from .decode_inside import add_decode

    onnx.save(add_decode(onnx.load(graph), manifest.head, len(manifest.class_names)), graph)
    (file,) = manifest.files
    return replace(manifest, files=(replace(file, decode_inside=True),))


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
