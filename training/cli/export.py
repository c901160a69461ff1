# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo export`: a trained network becomes an artifact that the nodes load."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, check_out, common_options
from kd_yolo_ros.cli.image_size import ImageSize, TwoNumberCommand
from kd_yolo_ros.manifest import MANIFEST

from .export_options import file_options
from .requirements import EXPORT, needs, require_for


@needs(*EXPORT)
@click.command(cls=TwoNumberCommand)
@click.argument('checkpoint', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the artifact.')
@click.option(
    '--imgsz',
    type=ImageSize(),
    metavar='SIDE | HEIGHT WIDTH',
    help="Input of the network in pixels, multiples of 32.  [default: the training's, or 640]",
)
@click.option('--name', help="Short name for tables and logs.  [default: the run's or file's]")
@click.option('--licence', help='Licence of the weights, noted in the manifest.')
@file_options
@common_options
def export(
    checkpoint: Path,
    out: Path,
    imgsz: tuple[int, int] | None,
    name: str | None,
    licence: str | None,
    runtimes: tuple[str, ...],
    decode_inside: bool,
    json_file: Path | None,
) -> None:
    """Write CHECKPOINT as an artifact with FP32 files, one ONNX file if nothing else is asked for.

    CHECKPOINT is the folder of a training run (its best weights), or one .safetensors or .pt
    file. Where it tells how it was trained, the manifest says so too.
    """
    check_out(out, [MANIFEST])
    require_for(runtimes)
    from ..compression.artifact import export_checkpoint
    from .artifact_result import report_artifact

    artifact = export_checkpoint(
        checkpoint,
        out,
        imgsz,
        name,
        licence=licence,
        runtimes=runtimes,
        decode_inside=decode_inside,
    )
    report_artifact('export', artifact, json_file)
