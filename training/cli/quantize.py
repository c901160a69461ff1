# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo quantize`: adds INT8 files to an artifact, and what they cost in accuracy."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.artifact import Artifact, write_artifact
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
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import AP_THRESHOLDS, MANIFEST, ModelFile
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_ros.metrics.evaluation import evaluate
from kd_yolo_ros.metrics.report import append_csv, new_report, write_json
from kd_yolo_ros.predictor import Predictor

from .requirements import needs

if TYPE_CHECKING:
    from ..compression.calibration import HeldOut

RUNTIMES = ('onnxruntime', 'openvino')
PACKAGES = ('nncf', 'onnx', 'onnxruntime', 'openvino')


@needs(*PACKAGES)
@click.command()
@click.argument('artifact', type=EXISTING)
@click.option(
    '--calibration', type=EXISTING, required=True, help='Folder, video or bag of pictures.'
)
@click.option('--out', type=EXISTING, required=True, help='Folder of the new artifact.')
@click.option(
    '--runtime',
    'runtimes',
    type=click.Choice(RUNTIMES),
    multiple=True,
    default=RUNTIMES,
    show_default=True,
    help='Runtime to quantize for; may be given several times.',
)
@click.option(
    '--limit',
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help='Calibrate on at most so many pictures, spread over the source.',
)
@click.option('--data', type=EXISTING, help='Measure AP on this YOLO folder, COCO json or bag.')
@click.option('--images', type=EXISTING, help='Pictures of a COCO json.')
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the model's.")
@csv_option
@common_options
def quantize(
    artifact: Path,
    calibration: Path,
    out: Path,
    runtimes: tuple[str, ...],
    limit: int,
    data: Path | None,
    images: Path | None,
    class_map: Path | None,
    csv_file: Path,
    json_file: Path | None,
) -> None:
    """Add static INT8 files to ARTIFACT, calibrated on pictures like those of its use.

    The decode is never quantized. With --data, AP of FP32 and INT8 is measured on pictures that
    were not calibrated on, and written into the manifest.
    """
    from ..compression.calibration import Calibration, HeldOut, fingerprint
    from ..compression.quantize import FILES
    from ..compression.quantize import quantize as make_int8

    check_out(out, [MANIFEST])
    original = open_model(artifact)
    fp32 = float_onnx(original)
    source = original.model_path(fp32)
    pictures = Calibration(open_source(calibration), fp32.input, limit)
    pictures.read()
    held_out = None
    if data:
        dataset, truth = open_dataset(data, images)
        held_out = HeldOut(dataset, pictures.digests)
        next(iter(held_out))  # refuses now, not after the work, when no picture is left

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        new_files = []
        for runtime in dict.fromkeys(runtimes):
            click.echo(f'Quantizing for {runtime} on {len(pictures)} pictures …')
            shown = pictures
            if runtime == 'onnxruntime':  # NNCF shows its own progress
                shown = progress(pictures, 'calibrate', len(pictures))
            new_files.append(make_int8(source, fp32, runtime, shown, folder))
        made = {name for runtime in runtimes for name in FILES[runtime]}
        kept = [file for file in original.manifest.files if not made & {*file.sha256}]
        manifest = dataclasses.replace(
            original.manifest,
            files=(*kept, *new_files),
            provenance={
                **original.manifest.provenance,
                'quantization': {
                    'pictures': len(pictures.digests),
                    'pictures_sha256': fingerprint(pictures.digests),
                    'versions': {name: metadata.version(name) for name in PACKAGES},
                },
            },
        )
        for file in kept:
            original.model_path(file)
        sources = {name: original.folder / name for file in kept for name in file.sha256}
        sources.update({name: folder / name for name in made})
        result = write_artifact(folder / 'artifact', manifest, sources)
        if held_out is not None:
            measured = []
            for file in result.manifest.files:
                if file.path == fp32.path or file.path in made:
                    runs = tuple(r for r in file.runtimes if r in runtimes)
                    accuracy = tuple(
                        measure(result, file, runtime, held_out, truth, class_map, data.name)
                        for runtime in runs
                    )
                    others = tuple(e for e in file.accuracy if e.get('data') != data.name)
                    file = dataclasses.replace(file, accuracy=(*others, *accuracy))
                measured.append(file)
            manifest = dataclasses.replace(result.manifest, files=tuple(measured))
        sources = {n: result.folder / n for file in manifest.files for n in file.sha256}
        result = write_artifact(out, manifest, sources)

    rows = table_rows(result, fp32, made, runtimes)
    report = new_report(
        'quantize',
        artifact=manifest.name,
        calibration_pictures=len(pictures.digests),
        left_out=held_out.left_out if held_out else None,
        results=rows,
    )
    if json_file:
        write_json(json_file, report)
    if held_out is not None:
        append_csv(csv_file, report)
    print_table(
        f'{manifest.name} in {out}, calibrated on {len(pictures.digests)} pictures',
        ['runtime', 'precision', 'file', 'MB', 'AP50-95', 'AP50'],
        [
            [r['runtime'], r['precision'], r['file'], r['size_mb'], r['map50_95'], r['map50']]
            for r in rows
        ],
    )
    if held_out and held_out.left_out:
        click.echo(f'{held_out.left_out} pictures of {data} were calibrated on and left out.')


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


def measure(
    artifact: Artifact,
    file: ModelFile,
    runtime: str,
    held_out: HeldOut,
    truth: Any,
    class_map: Path | None,
    data_name: str,
) -> dict[str, Any]:
    """Return the AP entry for the manifest of one model file on one runtime."""
    from ..compression.calibration import fingerprint

    alone = dataclasses.replace(
        artifact, manifest=dataclasses.replace(artifact.manifest, files=(file,))
    )
    predictor = Predictor(alone, runtime, file.precision, thresholds=AP_THRESHOLDS)
    frames: Iterable = progress(held_out, f'evaluate {runtime} {file.precision}', len(held_out))
    result = evaluate(predictor, frames, truth, class_map)
    # The name alone: a path would tell where this machine keeps its data.
    return {
        'data': data_name,
        'pictures_sha256': fingerprint(held_out.kept),
        'images': result['images'],
        'left_out': held_out.left_out,
        'runtime': runtime,
        'version': predictor.running.runtime_version,
        'map50_95': round(float(result['map50_95']), 5),
        'map50': round(float(result['map50']), 5),
    }


def table_rows(
    artifact: Artifact, fp32: ModelFile, made: set[str], runtimes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return one row for each runtime and precision: file, size and, if measured, AP."""
    rows = []
    for file in artifact.manifest.files:
        if file.path != fp32.path and file.path not in made:
            continue
        size = sum((artifact.folder / name).stat().st_size for name in file.sha256)
        accuracy = {entry['runtime']: entry for entry in file.accuracy}
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
