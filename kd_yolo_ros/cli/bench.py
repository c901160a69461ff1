# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo bench`: latencies of models and runtimes, measured side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    csv_option,
    find_artifact,
    print_table,
    progress,
)
from kd_yolo_ros.cli.variants import (
    Loaded,
    describe,
    load_variants,
    say_left_out,
    variant_options,
)

PICTURES = 64  # more would only fill memory; the models' work hardly depends on the picture


@click.command()
@click.argument('artifacts', nargs=-1, type=EXISTING)
@variant_options
@click.option(
    '--rounds',
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help='Turns; in each, ten pictures go through every model.',
)
@click.option('--source', type=EXISTING, help='Pictures to run on; without, one grey street.')
@click.option('--out', type=click.Path(path_type=Path), help='Folder for a report with plots.')
@csv_option
@common_options
def bench(
    artifacts: Tuple[Path, ...],
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    provider: Optional[str],
    threads: Optional[int],
    rounds: int,
    source: Optional[Path],
    out: Optional[Path],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Time every runtime and precision of each ARTIFACT, in interleaved rounds.

    Memory and the time to the first detections are those of a process of its own for each.
    Without an ARTIFACT, the bundled model is timed.
    """
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_report
    from kd_yolo_ros.metrics.speed import BLOCK

    if out is not None:
        check_out(out, ['report.json'])
    models = [find_artifact(artifact) for artifact in artifacts or (None,)]
    loaded, failed = load_variants(models, runtimes, precisions, provider, threads)
    left_out = say_left_out(failed, named=bool(runtimes and precisions))
    pictures = read_pictures(source)
    results = [describe(one) for one in loaded]
    add_start_up(results, loaded, threads)
    add_speed(results, loaded, pictures, rounds)
    report = new_report('bench', rounds=rounds, block=BLOCK, results=results, left_out=left_out)
    _print(results)
    if json_file:
        write_json(json_file, report)
    if out:
        click.echo(f'Report: {write_report(out, report)}')
    append_csv(csv_file, report)


def add_speed(
    results: List[Dict[str, Any]], loaded: List[Loaded], pictures: List[Any], rounds: int
) -> None:
    """Add times and their ratios to results of `describe`."""
    from kd_yolo_ros.metrics.speed import add_ratios, interleaved, speed_values

    predictors = [one.predictor for one in loaded]
    times = interleaved(predictors, pictures, rounds, lambda rounds: progress(rounds, 'bench'))
    for result, collected in zip(results, times):
        result.update(speed_values(collected))
    add_ratios(results)


def add_start_up(
    results: List[Dict[str, Any]], loaded: List[Loaded], threads: Optional[int]
) -> None:
    """Add the time to the first detections and the peak memory to results of `describe`."""
    from kd_yolo_ros.cli.start_up import start_up

    for result, one in progress(list(zip(results, loaded)), 'start'):
        result.update(start_up(one.variant, threads))


def read_pictures(source: Optional[Path]) -> List[Any]:
    """Return the first pictures of a source, or without one a grey picture of 720p."""
    import itertools

    import numpy as np

    from kd_yolo_ros.frames import open_source

    if source is None:
        return [np.full((720, 1280, 3), 114, np.uint8)]
    return [frame.image for frame in itertools.islice(open_source(source), PICTURES)]


def _print(results: List[Dict[str, Any]]) -> None:
    from kd_yolo_ros.metrics.text import labels

    masks = any('masks' in result['stages_ms'] for result in results)
    rows = [
        [
            label,
            result['infer_ms']['p50'],
            *(result['model_ms'][p] for p in ('p50', 'p95')),
            *([result['stages_ms'].get('masks', {}).get('p50')] if masks else []),
            result['ratio'],
            result['start_s'],
            result['peak_rss_mb'] and round(result['peak_rss_mb']),
            result['size_mb'],
        ]
        for label, result in zip(labels(results), results)
    ]
    of_masks = ['masks'] if masks else []
    columns = ['', 'infer', 'model', 'p95', *of_masks, '×fp32', 'start', 'RSS', 'MB']
    names = ', '.join(dict.fromkeys(result['artifact'] for result in results))
    print_table(f'{names}: {results[0]["threads"]} threads', columns, rows)
    click.echo(
        'infer, model (infer + decode + nms): p50, ms. p95: of model. '
        + ('masks: p50, ms, at the size of the pictures. ' if masks else '')
        + '×fp32: model against the fastest FP32 of the network. start: s to the first '
        'detections. RSS: peak, MB.'
    )
