# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo quantize`: adds INT8 files to an artifact, and what they cost in accuracy."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.artifact import Artifact, write_artifact
from kd_yolo_ros.backends import installed_runtimes
from kd_yolo_ros.cli.common import EXISTING, check_out, common_options, csv_option, progress
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.manifest import MANIFEST, ModelFile
from kd_yolo_ros.metrics.report import append_csv, new_report, write_json

from ..compression.provenance import PACKAGES
from .quantize_result import show_result, table_rows, with_accuracy
from .requirements import needs, require

if TYPE_CHECKING:
    from ..compression.judge import Judge
    from ..compression.picture_sets import PictureSets

METHODS = ('default', 'accuracy-aware', 'dynamic')
RUNTIMES = (
    'onnxruntime-vnni',
    'onnxruntime',
    'onnxruntime-arm64',
    'openvino',
    'tensorrt',
    'tflite',
)
USUAL = ('onnxruntime', 'openvino')
CALIBRATORS = (
    *('auto', 'minmax', 'moving-average', 'picture-quantile'),
    *('percentile-99.9', 'percentile-99.99', 'percentile-99.999', 'entropy', 'mse'),
)
LABELLED = 'DATA[=CLASS_MAP]'


@needs(*PACKAGES)
@click.command()
@click.argument('artifact', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the new artifact.')
@click.option(
    '--dataset',
    type=EXISTING,
    help='Prepared data set: its splits calibrate, select and val serve as the three below.',
)
@click.option(
    '--calibration',
    type=EXISTING,
    multiple=True,
    help='Folder, video or bag of pictures to set ranges on; may be repeated.',
)
@click.option(
    '--select',
    multiple=True,
    metavar=LABELLED,
    help='Labelled pictures to choose on: YOLO folder, COCO json or bag, and a YAML of its '
    "classes to the model's; may be repeated: all pictures are judged together.",
)
@click.option(
    '--data', multiple=True, metavar=LABELLED, help='Labelled pictures to report AP on, likewise.'
)
@click.option('--images', type=EXISTING, help='Pictures of a COCO json given as --data.')
@click.option(
    '--class-map', type=EXISTING, help='Of the labelled pictures that name no CLASS_MAP.'
)
@click.option(
    '--method',
    type=click.Choice(METHODS),
    default=METHODS[0],
    show_default=True,
    help='accuracy-aware: layers go back into float until AP is good enough. dynamic: no '
    'calibration, every picture sets its own ranges.',
)
@click.option(
    '--runtime',
    'runtimes',
    type=click.Choice(RUNTIMES),
    multiple=True,
    help='Runtime to quantize for; may be given several times.  [default: onnxruntime, openvino]',
)
@click.option(
    '--calibrator',
    type=click.Choice(CALIBRATORS),
    default='auto',
    show_default=True,
    help="How ranges are chosen; auto: by AP on --select's pictures.",
)
@click.option(
    '--max-drop',
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help='AP50-95 that accuracy-aware may lose, of 1; of masks where the model finds them.',
)
@click.option(
    '--limit',
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help='Calibrate on at most so many pictures, spread over all.',
)
@click.option(
    '--report',
    'report_folder',
    type=click.Path(file_okay=False, path_type=Path),
    help='Also write tables and plots to this folder.',
)
@csv_option
@common_options
def quantize(
    artifact: Path,
    out: Path,
    dataset: Path | None,
    calibration: tuple[Path, ...],
    select: tuple[str, ...],
    data: tuple[str, ...],
    images: Path | None,
    class_map: Path | None,
    method: str,
    runtimes: tuple[str, ...],
    calibrator: str,
    max_drop: float,
    limit: int,
    report_folder: Path | None,
    csv_file: Path,
    json_file: Path | None,
) -> None:
    """Add INT8 files to ARTIFACT, calibrated on pictures like those of its use.

    The head convolutions and the decode stay in float. With --select, whatever can be chosen is
    chosen by AP on those pictures, of masks where the model finds them. With --data, AP of FP32
    and INT8 is measured on pictures that served neither calibration nor choice, and written into
    the manifest.
    """
    from ..compression.judge import Judge
    from ..compression.picture_sets import open_picture_sets
    from ..compression.provenance import describe_sets, with_records
    from ..compression.sources import float_onnx, float_tflite
    from ..compression.targets import (
        ORDER,
        OVERFLOW,
        TARGETS,
        find_target,
        overflows_here,
        refuse_overflow,
    )

    runtimes = tuple(r for r in RUNTIMES if r in (runtimes or {*USUAL} & {*TARGETS[method]}))
    for runtime in runtimes:
        find_target(method, runtime)
        refuse_overflow(method, runtime)
    if not (calibration or dataset or method == 'dynamic'):
        raise UserError('Ranges are set on pictures; give --calibration or --dataset.')
    if 'tflite' in runtimes:
        require('ai_edge_quantizer', extra='tflite-quantize')
    check_out(out, [MANIFEST])
    original = open_model(artifact)
    fp32 = float_onnx(original)
    floats = {'tflite': float_tflite(original)} if 'tflite' in runtimes else {}
    for file in (fp32, *floats.values()):
        original.model_path(file)  # its hash
    sets = open_picture_sets(
        *(fp32.input, limit, calibration, select, data, images, dataset),
        calibrate=method != 'dynamic',
        class_map=class_map,
    )
    if method == 'accuracy-aware' and sets.choices is None:
        raise UserError('accuracy-aware looks at AP; give labelled pictures as --select.')
    judge = Judge(original.manifest, sets.choices.sets) if sets.choices else None
    if judge and original.manifest.task == 'segment' and not judge.masks:
        raise UserError(
            f'{original.manifest.name} segments, and {sets.choices.describe()["data"]} says of no '
            f'object which pixels it covers; choose on pictures with outlines, or on none.'
        )
    if sets.report:
        Judge(original.manifest, sets.report.sets)  # refuses now, not after the work

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files, records = [], {}
        for runtime in runtimes:
            source = floats.get(runtime, fp32)
            file, record = _make(
                original, source, runtime, sets, judge, folder, method, calibrator, max_drop
            )
            files.append(file)
            records[file.path] = record
        made = {name for file in files for name in file.sha256}
        kept = [file for file in original.manifest.files if not made & {*file.sha256}]
        for file in kept:
            original.model_path(file)
        manifest = dataclasses.replace(
            original.manifest,
            files=_in_order([*kept, *files], ORDER),
            provenance=with_records(original.manifest, kept, records, sets),
        )
        sources = {name: original.folder / name for file in kept for name in file.sha256}
        sources.update({name: folder / name for name in made})
        measured = [fp32.path, *(file.path for file in files)]
        wrong = {
            file.path
            for runtime, file in zip(runtimes, files, strict=True)
            if overflows_here(runtime)
        }
        served = {TARGETS[method][runtime].runtime for runtime in runtimes}
        here = served & {*installed_runtimes()}
        if sets.report is not None:
            result = write_artifact(folder / 'artifact', manifest, sources)
            right = {*measured} - wrong
            manifest = with_accuracy(result, right, here, sets.report)
            for path in sorted(wrong):
                click.echo(f'{OVERFLOW}: none is measured of {path}.')
        result = write_artifact(out, manifest, sources)

    rows = table_rows(result, measured, served, sets.report)
    left_out = sets.report.left_out if sets.report else None
    report = new_report(
        'quantize',
        artifact=manifest.name,
        method=method,
        calibration_pictures=len(sets.calibration.digests) if sets.calibration else 0,
        left_out=left_out,
        pictures=describe_sets(sets),
        files=records,
        results=rows,
    )
    if json_file:
        write_json(json_file, report)
    if report_folder:
        from ..compression.report import write_quantize_report

        click.echo(f'Report in {write_quantize_report(report_folder, report)}')
    if sets.report is not None:
        append_csv(csv_file, report)
    show_result(report, out)
    if left_out:
        click.echo(f'{left_out} pictures of the report served otherwise and were left out.')


def _in_order(files: Iterable[ModelFile], order: Sequence[str]) -> tuple[ModelFile, ...]:
    """Return the files with those that are made here last, and in their order."""
    places = {path: place for place, path in enumerate(order)}
    return tuple(sorted(files, key=lambda file: places.get(file.path, -1)))


def _make(
    original: Artifact,
    source: ModelFile,
    runtime: str,
    sets: PictureSets,
    judge: Judge | None,
    folder: Path,
    method: str,
    calibrator: str,
    max_drop: float,
) -> tuple[ModelFile, dict[str, Any]]:
    """Make one INT8 file; return it, and how it was made."""
    from ..compression.quantize import quantize as make_int8

    pictures: Collection = sets.calibration or ()
    click.echo(f'Quantizing for {runtime} on {len(pictures)} pictures …')

    def show(items: Iterable, what: str) -> Iterable:
        return progress(items, what, len(items))  # type: ignore[arg-type]

    return make_int8(
        *(original.folder / source.path, source, runtime, pictures, folder),
        *(method, judge, calibrator, max_drop, click.echo, show),
    )
