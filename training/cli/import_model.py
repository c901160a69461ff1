# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo import`: a checkpoint or another tool's export becomes an artifact."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import click
import yaml

from kd_yolo_ros.artifact import Artifact, write_artifact
from kd_yolo_ros.checkpoints import is_checkpoint
from kd_yolo_ros.cli.common import EXISTING, check_out, common_options
from kd_yolo_ros.cli.image_size import ImageSize, TwoNumberCommand
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import describe_export
from kd_yolo_ros.manifest import MANIFEST
from kd_yolo_ros.predictor import Predictor

from .artifact_result import report_artifact
from .export_options import DEFAULT, file_options
from .requirements import EXPORT, require, require_for


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
@file_options
@common_options
def import_model(
    model: Path,
    out: Path,
    imgsz: tuple[int, int] | None,
    name: str | None,
    names: Path | None,
    licence: str | None,
    runtimes: tuple[str, ...],
    decode_inside: bool,
    json_file: Path | None,
) -> None:
    """Turn MODEL into an artifact that the nodes load.

    MODEL is a YOLOv5 checkpoint, an .onnx or .tflite file, or an OpenVINO export folder or .xml.
    --runtime and --decode-inside are for checkpoints: an export stays what it is.
    """
    class_names = read_names(names) if names else None
    check_out(out, [MANIFEST])
    if is_checkpoint(model):
        require(*EXPORT)
        require_for(runtimes)
        from ..compression.artifact import export_checkpoint

        artifact = export_checkpoint(
            model, out, imgsz, name, class_names, licence, runtimes, decode_inside
        )
    elif decode_inside or runtimes != DEFAULT:
        raise UserError(
            f'{model} is an export of another tool, and stays in its format; leave out --runtime '
            f'and --decode-inside.'
        )
    else:
        artifact = import_export(model, out, imgsz, name, class_names, licence)
    report_artifact('import', artifact, json_file)


def import_export(
    path: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] | None = None,
    licence: str | None = None,
) -> Artifact:
    """Write the artifact of another tool's export, after running it on a blank picture.

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
