# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo import`: a checkpoint or another tool's export becomes an artifact."""

from __future__ import annotations

import dataclasses
import tempfile
from importlib import metadata
from pathlib import Path

import click
import yaml

from kd_yolo_ros.artifact import Artifact, sha256_of, write_artifact
from kd_yolo_ros.cli.common import EXISTING, common_options, print_table
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import describe_export
from kd_yolo_ros.manifest import Head, InputSpec, Manifest, ModelFile
from kd_yolo_ros.metrics.report import new_report, write_json
from kd_yolo_ros.predictor import Predictor

from .image_size import ImageSize, TwoNumberCommand
from .requirements import require

DEFAULT_SIZE = (640, 640)


@click.command('import', cls=TwoNumberCommand)
@click.argument('model', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the artifact.')
@click.option(
    '--imgsz',
    type=ImageSize(),
    metavar='SIDE | HEIGHT WIDTH',
    help='Input of the network in pixels, multiples of 32.  [default: 640; the size of an export]',
)
@click.option('--name', help="Short name for tables and logs.  [default: the file's]")
@click.option('--names', type=EXISTING, help='Class names: one a line, or YAML.')
@click.option('--licence', help='Licence of the weights, noted in the manifest.')
@common_options
def import_model(
    model: Path,
    out: Path,
    imgsz: tuple[int, int] | None,
    name: str | None,
    names: Path | None,
    licence: str | None,
    json_file: Path | None,
) -> None:
    """Turn MODEL into an artifact that the nodes load.

    MODEL is a YOLOv5 checkpoint (.pt), an .onnx file, or an OpenVINO export folder or .xml.
    """
    class_names = read_names(names) if names else None
    if model.suffix == '.pt':
        artifact = import_checkpoint(model, out, imgsz or DEFAULT_SIZE, name, class_names, licence)
    else:
        artifact = import_export(model, out, imgsz, name, class_names, licence)
    manifest = artifact.manifest
    file = manifest.files[0]
    size_mb = sum((artifact.folder / part).stat().st_size for part in file.sha256) / 1e6
    if json_file:
        write_json(
            json_file,
            new_report(
                'import',
                artifact=manifest.name,
                task=manifest.task,
                classes=len(manifest.class_names),
                imgsz=[file.input.height, file.input.width],
                files=[one.path for one in manifest.files],
                size_mb=size_mb,
            ),
        )
    print_table(
        f'{out}',
        ['name', 'task', 'classes', 'input', 'file', 'MB', 'runs on'],
        [
            [
                manifest.name,
                manifest.task,
                len(manifest.class_names),
                f'{file.input.height}x{file.input.width}',
                file.path,
                size_mb,
                ', '.join(file.runtimes),
            ]
        ],
    )


def import_checkpoint(
    path: Path,
    out: Path,
    size: tuple[int, int],
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    licence: str | None = None,
) -> Artifact:
    """Export a YOLOv5 checkpoint for an input of `size` (height, width) and write its artifact.

    Raises:
        UserError: the training extra is missing, or the checkpoint or the size does not fit.
    """
    require('torch', 'onnx', 'onnxscript', 'onnxruntime')
    from ..compression.export import check_size, export_onnx
    from ..models.checkpoint import read_checkpoint

    height, width = size
    check_size(height, width)
    checkpoint = read_checkpoint(path)
    class_names = class_names or checkpoint.names
    class_names = class_names or tuple(f'class_{i}' for i in range(checkpoint.classes))
    if len(class_names) != checkpoint.classes:
        raise UserError(
            f'{path} has {checkpoint.classes} classes, but {len(class_names)} names were given.'
        )
    manifest = Manifest(
        name=name or path.stem,
        task=checkpoint.task,
        class_names=class_names,
        head=Head(
            layout='anchor_grid',
            strides=checkpoint.strides,
            anchors=tuple(
                tuple((w, h) for w, h in level) for level in checkpoint.anchors.tolist()
            ),
        ),
        files=(
            ModelFile(
                path='model.onnx',
                runtimes=('onnxruntime', 'openvino'),
                precision='fp32',
                input=InputSpec(width, height),
            ),
        ),
        licence=licence or 'unknown',
        provenance={
            'checkpoint': {
                'file': path.name,
                'sha256': sha256_of(path),
                'architecture': f'yolov5{checkpoint.size}',
                'epoch': checkpoint.epoch,
                'ema': checkpoint.ema,
            },
            'versions': {name: metadata.version(name) for name in ('torch', 'onnx')},
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / 'model.onnx'
        export_onnx(checkpoint.build(), graph, height, width)
        return write_artifact(out, manifest, {'model.onnx': graph})


def import_export(
    path: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    licence: str | None = None,
) -> Artifact:
    """Write the artifact of an ONNX or OpenVINO export, after running it on a blank picture.

    Raises:
        UserError: it is no detector that can be decoded here, or does not run.
    """
    export = describe_export(path, class_names)
    (file,) = export.manifest.files
    if size not in (None, (file.input.height, file.input.width)):
        raise UserError(
            f'{path} takes {file.input.height}x{file.input.width} pictures; '
            f'leave --imgsz out, or export the model again in the other size.'
        )
    Predictor(export).warm_up(1)
    # The parts keep their suffixes: OpenVINO finds the .bin by the name of the .xml.
    renamed = {part: f'model{Path(part).suffix}' for part in file.sha256}
    manifest = dataclasses.replace(
        export.manifest,
        name=name or export.manifest.name,
        licence=licence or export.manifest.licence,
        files=(
            dataclasses.replace(
                file, path=renamed[file.path], sha256=dict.fromkeys(renamed.values(), '')
            ),
        ),
    )
    sources = {new: export.folder / part for part, new in renamed.items()}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            Predictor(write_artifact(Path(scratch) / 'artifact', manifest, sources)).warm_up(1)
        except UserError:
            raise UserError(
                f'{path} does not run without other files of its folder (external data); '
                f'export it as one file.'
            ) from None
    return write_artifact(out, manifest, sources)


def read_names(path: Path) -> tuple[str, ...]:
    """Read class names: one a line, a YAML list, or YAML with `names` (a data set's).

    Raises:
        UserError: nothing of that.
    """
    try:
        text = path.read_text(encoding='utf-8')
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'{path} holds no class names ({str(error).splitlines()[0]}).') from None
    if isinstance(content, dict) and 'names' in content:
        content = content['names']
    if isinstance(content, dict) and sorted(map(str, content)) == sorted(
        str(i) for i in range(len(content))
    ):
        content = [content.get(i, content.get(str(i))) for i in range(len(content))]
    if isinstance(content, str):
        content = [line.strip() for line in text.splitlines() if line.strip()]
    if not isinstance(content, list) or not content:
        raise UserError(f'{path} holds no class names; write one a line.')
    return tuple(str(name) for name in content)
