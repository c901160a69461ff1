# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo quantize`: adds INT8 files to an artifact, and what they cost in accuracy."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.artifact import Artifact, write_artifact
from kd_yolo_ros.backends import backend_class, installed_runtimes
from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    csv_option,
    print_table,
    progress,
)
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.manifest import MANIFEST, Manifest, ModelFile
from kd_yolo_ros.metrics.report import append_csv, new_report, write_json

from .requirements import needs, require

if TYPE_CHECKING:
    from ..compression.picture_sets import Labelled, PictureSets

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
PACKAGES = ('nncf', 'onnx', 'onnxruntime', 'onnxslim', 'openvino')

# Of how a file was made, what is shown once and not kept in the manifest.
SHOWN_ONCE = ('layers', 'damage')


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
    '--calibration', type=EXISTING, help='Folder, video or bag of pictures to set ranges on.'
)
@click.option(
    '--select', type=EXISTING, help='Labelled pictures to choose on: YOLO folder, COCO json, bag.'
)
@click.option('--data', type=EXISTING, help='Labelled pictures to report AP on.')
@click.option('--images', type=EXISTING, help='Pictures of a COCO json given as --data.')
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the model's.")
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
    help="How ranges are chosen for ONNX Runtime; auto: by AP on --select's pictures.",
)
@click.option(
    '--max-drop',
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help='AP50-95 that accuracy-aware may lose, of 1.',
)
@click.option(
    '--limit',
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help='Calibrate on at most so many pictures, spread over the source.',
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
    calibration: Path | None,
    select: Path | None,
    data: Path | None,
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
    chosen by AP on those pictures. With --data, AP of FP32 and INT8 is measured on pictures that
    served neither calibration nor choice, and written into the manifest.
    """
    from ..compression.picture_sets import open_picture_sets
    from ..compression.quantize import ORDER, OVERFLOW, TARGETS, overflows_here, refuse_overflow

    runtimes = tuple(r for r in RUNTIMES if r in (runtimes or {*USUAL} & {*TARGETS[method]}))
    _check_wish(method, runtimes, TARGETS[method], calibration or dataset)
    for runtime in runtimes:
        refuse_overflow(method, runtime)
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
    )
    if method == 'accuracy-aware' and sets.choices is None:
        raise UserError('accuracy-aware looks at AP; give labelled pictures as --select.')

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files, records = [], {}
        for runtime in runtimes:
            source = floats.get(runtime, fp32)
            file, record = _make(
                original, source, runtime, sets, folder, method, calibrator, max_drop, class_map
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
            provenance=_provenance(original.manifest, kept, records, sets),
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
            manifest = _measured(result, right, here, sets.report, class_map)
            for path in sorted(wrong):
                click.echo(f'{OVERFLOW}: none is measured of {path}.')
        result = write_artifact(out, manifest, sources)

    rows = table_rows(result, measured, served, sets.report)
    left_out = sets.report.pictures.left_out if sets.report else None
    report = new_report(
        'quantize',
        artifact=manifest.name,
        method=method,
        calibration_pictures=len(sets.calibration.digests) if sets.calibration else 0,
        left_out=left_out,
        pictures=_described(sets),
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
    _show(report, out)
    if left_out:
        click.echo(f'{left_out} pictures of {data or dataset} served otherwise and were left out.')


def _check_wish(
    method: str, runtimes: tuple[str, ...], known: Collection[str], calibration: Path | None
) -> None:
    """Refuse what cannot be done before anything is opened."""
    for runtime in runtimes:
        if runtime not in known:
            raise UserError(
                f'The method {method} is not for {runtime}, only for {", ".join(known)}.'
            )
    if calibration is None and method != 'dynamic':
        raise UserError('Ranges are set on pictures; give --calibration or --dataset.')


def float_onnx(artifact: Artifact) -> ModelFile:
    """Return the artifact's FP32 ONNX file, which quantization starts from.

    Raises:
        UserError: there is none.
    """
    for file in artifact.manifest.files:
        if file.precision == 'fp32' and file.path.endswith('.onnx'):
            return file
    raise UserError(
        f'{artifact.folder} has no FP32 ONNX file to quantize; import the model from its '
        f'checkpoint or ONNX export.'
    )


def float_tflite(artifact: Artifact) -> ModelFile:
    """Return the artifact's float .tflite, of which the INT8 file for TFLite is made.

    Raises:
        UserError: there is none.
    """
    for file in artifact.manifest.files:
        raw = not file.decode_inside and file.output_layout == 'nhwc'
        if raw and file.precision == 'fp32' and file.path.endswith('.tflite'):
            return file
    raise UserError(
        f'{artifact.folder} has no FP32 file for TFLite, of which the INT8 one is made; export '
        f'the checkpoint with --runtime tflite too.'
    )


def _in_order(files: Iterable[ModelFile], order: Sequence[str]) -> tuple[ModelFile, ...]:
    """Return the files with those that are made here last, and in their order."""
    places = {path: place for place, path in enumerate(order)}
    return tuple(sorted(files, key=lambda file: places.get(file.path, -1)))


def _make(
    original: Artifact,
    source: ModelFile,
    runtime: str,
    sets: PictureSets,
    folder: Path,
    method: str,
    calibrator: str,
    max_drop: float,
    class_map: Path | None,
) -> tuple[ModelFile, dict[str, Any]]:
    """Make one INT8 file; return it, and how it was made."""
    from ..compression.judge import Judge
    from ..compression.quantize import quantize as make_int8

    judge = None
    if sets.choices is not None:
        judge = Judge(original.manifest, sets.choices.pictures, sets.choices.truth, class_map)
    pictures: Collection = sets.calibration or ()
    click.echo(f'Quantizing for {runtime} on {len(pictures)} pictures …')

    def show(items: Iterable, what: str) -> Iterable:
        return progress(items, what, len(items))  # type: ignore[arg-type]

    return make_int8(
        *(original.folder / source.path, source, runtime, pictures, folder),
        *(method, judge, calibrator, max_drop, click.echo, show),
    )


def _provenance(
    manifest: Manifest,
    kept: Iterable[ModelFile],
    records: dict[str, dict[str, Any]],
    sets: PictureSets,
) -> dict[str, Any]:
    """Return the provenance with how each INT8 file was made, those that stay included."""
    before = (manifest.provenance.get('quantization') or {}).get('files') or {}
    stay = {file.path for file in kept}
    new = {}
    for path, record in records.items():
        shown = {key: value for key, value in record.items() if key not in SHOWN_ONCE}
        looked_at = _described(sets)
        if not (record.get('candidates') or record.get('steps')):
            looked_at.pop('select', None)  # nothing was chosen
        new[path] = {**shown, **looked_at, 'versions': _versions()}
    return {
        **manifest.provenance,
        'quantization': {
            'files': {**{path: one for path, one in before.items() if path in stay}, **new}
        },
    }


def _described(sets: PictureSets) -> dict[str, Any]:
    named = {'calibration': sets.calibration, 'select': sets.choices, 'report': sets.report}
    return {name: one.describe() for name, one in named.items() if one is not None}


def _versions() -> dict[str, str]:
    runtimes = {name: backend_class(name).version() for name in ('onnxruntime', 'openvino')}
    others = {name: metadata.version(name) for name in PACKAGES if name not in runtimes}
    return {**runtimes, **others}


def _measured(
    result: Artifact,
    paths: Collection[str],
    runtimes: Collection[str],
    report: Labelled,
    class_map: Path | None,
) -> Manifest:
    """Return the manifest with the AP of some of its files on the pictures of the report."""
    files = []
    for file in result.manifest.files:
        if file.path in paths:
            accuracy = tuple(
                measure(result, file, runtime, report, class_map)
                for runtime in file.runtimes
                if runtime in runtimes
            )
            new = {(e['pictures_sha256'], e['runtime']) for e in accuracy}
            others = tuple(
                e for e in file.accuracy if (e.get('pictures_sha256'), e['runtime']) not in new
            )
            file = dataclasses.replace(file, accuracy=(*others, *accuracy))
        files.append(file)
    return dataclasses.replace(result.manifest, files=tuple(files))


def measure(
    artifact: Artifact, file: ModelFile, runtime: str, report: Labelled, class_map: Path | None
) -> dict[str, Any]:
    """Return the AP entry for the manifest of one model file on one runtime."""
    from ..compression.judge import Judge

    def show(frames: Iterable) -> Iterable:
        return progress(frames, f'evaluate {runtime} {file.precision}', len(report.pictures))

    judge = Judge(artifact.manifest, report.pictures, report.truth, class_map, show)
    verdict = judge(artifact.model_path(file), file, runtime)
    described = report.describe()
    return {
        'data': described['data'],
        'pictures_sha256': described['pictures_sha256'],
        'images': verdict.images,
        'left_out': report.pictures.left_out,
        'runtime': runtime,
        'version': verdict.version,
        'map50_95': round(verdict.map50_95, 5),
        'map50': round(verdict.map50, 5),
    }


def table_rows(
    artifact: Artifact, paths: Collection[str], runtimes: Collection[str], report: Labelled | None
) -> list[dict[str, Any]]:
    """Return one row for each runtime and file: size and, if measured on `report`, AP."""
    pictures = report.describe()['pictures_sha256'] if report else None
    rows = []
    for file in artifact.manifest.files:
        if file.path not in paths:
            continue
        size = sum((artifact.folder / name).stat().st_size for name in file.sha256)
        accuracy = {
            entry['runtime']: entry
            for entry in file.accuracy
            if report and entry.get('pictures_sha256') == pictures
        }
        for runtime in file.runtimes:
            if runtime in runtimes:
                entry = accuracy.get(runtime, {})
                rows.append(
                    {
                        'runtime': runtime,
                        'precision': file.precision,
                        'file': file.path,
                        'size_mb': round(size / 1e6, 2),
                        'map50_95': entry.get('map50_95'),
                        'map50': entry.get('map50'),
                    }
                )
    return rows


def _show(report: dict[str, Any], out: Path) -> None:
    files = report['files']
    print_table(
        f'{report["artifact"]} in {out}, calibrated on {report["calibration_pictures"]} pictures',
        ['runtime', 'precision', 'file', 'calibrator', 'float layers', 'MB', 'AP50-95', 'AP50'],
        [
            [
                *(row['runtime'], row['precision'], row['file']),
                files.get(row['file'], {}).get('calibrator'),
                _count(files.get(row['file'], {}).get('kept_in_float')),
                *(row['size_mb'], row['map50_95'], row['map50']),
            ]
            for row in report['results']
        ],
    )


def _count(names: Collection[str] | None) -> int | None:
    return None if names is None else len(names)
