# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo evaluate`: a model's average precision on a labelled data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Optional

import click

from kd_yolo_ros.cli.common import (
    EXISTING,
    common_options,
    csv_option,
    model_options,
    print_table,
    progress,
)


@click.command()
@click.argument('artifact', type=EXISTING)
@click.option('--data', type=EXISTING, required=True, help='YOLO folder, COCO json or bag.')
@click.option('--images', type=EXISTING, help='Pictures of a COCO json.')
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the model's.")
@model_options
@csv_option
@common_options
def evaluate(
    artifact: Path,
    data: Path,
    images: Optional[Path],
    class_map: Optional[Path],
    runtime: str,
    precision: str,
    threads: Optional[int],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Measure ARTIFACT's AP (pycocotools, score > 0.001, 300 detections per picture)."""
    from kd_yolo_ros.manifest import AP_THRESHOLDS
    from kd_yolo_ros.metrics.dataset import open_dataset
    from kd_yolo_ros.metrics.evaluation import evaluate as measure
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json
    from kd_yolo_ros.predictor import Predictor

    predictor = Predictor(artifact, runtime, precision, threads, AP_THRESHOLDS)
    predictor.warm_up()
    source, truth = open_dataset(data, images)
    result = measure(predictor, progress(source, 'evaluate', len(source)), truth, class_map)
    running = predictor.running
    report = new_report(
        'evaluate',
        artifact=predictor.manifest.name,
        data=truth.description,
        **asdict(predictor.running),
        skipped=[list(skipped) for skipped in source.skipped],
        **result,
    )
    if json_file:
        write_json(json_file, report)
    append_csv(csv_file, report)
    rows = [
        [name, one['map50_95'], one['map50'], one['instances']]
        for name, one in result['per_class'].items()
    ]
    rows.append(['all', result['map50_95'], result['map50'], sum(row[3] for row in rows)])
    title = (
        f'{predictor.manifest.name}, {running.runtime} {running.precision}, '
        f'{result["images"]} pictures'
    )
    print_table(title, ['class', 'AP50-95', 'AP50', 'objects'], rows)
    if result['missing_classes']:
        click.echo(f'Not counted, the model lacks them: {", ".join(result["missing_classes"])}')
