# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo evaluate`: a model's average precision on a labelled data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Optional, Tuple

import click

from kd_yolo_ros.cli.accuracy import print_accuracy
from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    csv_option,
    find_artifact,
    model_options,
    progress,
)
from kd_yolo_ros.cli.image_size import ImageSize, TwoNumberCommand


@click.command(cls=TwoNumberCommand)
@click.argument('model', required=False, type=EXISTING)
@click.option('--data', type=EXISTING, required=True, help='YOLO folder, COCO json or bag.')
@click.option('--images', type=EXISTING, help='Pictures of a COCO json.')
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the model's.")
@click.option('--out', type=EXISTING, help='Folder for a report with plots.')
@click.option(
    '--imgsz',
    type=ImageSize(),
    metavar='SIDE | HEIGHT WIDTH',
    help="Input of a checkpoint in pixels.  [default: its training's, or 640]",
)
@model_options
@csv_option
@common_options
def evaluate(
    model: Optional[Path],
    data: Path,
    images: Optional[Path],
    class_map: Optional[Path],
    out: Optional[Path],
    imgsz: Optional[Tuple[int, int]],
    runtime: str,
    provider: Optional[str],
    precision: str,
    threads: Optional[int],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Measure MODEL's AP (pycocotools, score > 0.001, 300 detections per picture).

    Of a segmentation model the masks are judged too, where the data has some.

    MODEL is an artifact, a plain export, a checkpoint (.pt, .safetensors) or the folder of a
    training run; without one, the bundled model.
    """
    from kd_yolo_ros.checkpoints import open_predictor
    from kd_yolo_ros.manifest import AP_THRESHOLDS
    from kd_yolo_ros.metrics.dataset import open_dataset
    from kd_yolo_ros.metrics.evaluation import evaluate as measure
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_report

    if out is not None:
        check_out(out, ['report.json'])
    predictor = open_predictor(
        find_artifact(model), runtime, precision, threads, AP_THRESHOLDS, imgsz, provider
    )
    predictor.warm_up()
    source, truth = open_dataset(data, images)
    if predictor.manifest.task == 'segment':
        truth.check_masks()  # refuses now, not after the work
    frames = progress(source, 'evaluate', len(source))
    score = predictor.manifest.thresholds.score
    result = measure(predictor, frames, truth, class_map, details=True, score=score)
    running, spec = predictor.running, predictor.file.input
    report = new_report(
        'evaluate',
        artifact=predictor.manifest.name,
        data=truth.description,
        **asdict(running),
        input=[spec.height, spec.width],
        skipped=[list(skipped) for skipped in source.skipped],
        **result,
    )
    if json_file:
        write_json(json_file, report)
    title = (
        f'{predictor.manifest.name}, {running.runtime} {running.precision}, '
        f'{result["images"]} pictures'
    )
    print_accuracy(title, result)
    if predictor.manifest.task == 'segment' and 'miou' not in result:
        click.echo(f'{truth.description} has no masks: the boxes were judged.')
    best = result['best_f1']
    if best:
        click.echo(f'Best mean F1 {best["f1"]:.3f} at score {best["score"]:.3f}.')
    if result['missing_classes']:
        click.echo(f'Not counted, the model lacks them: {", ".join(result["missing_classes"])}')
    if out is not None:
        click.echo(f'Report: {write_report(out, report)}')
    append_csv(csv_file, report)
