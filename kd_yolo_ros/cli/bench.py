# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo bench`: latencies of models and runtimes, measured side by side."""

from __future__ import annotations

from dataclasses import asdict
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
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import PRECISIONS

# A model keeps the machine for a few pictures: alternating after each one would charge it for
# the cold caches and the still spinning threads that another runtime leaves behind.
WARM_UP, BLOCK = 3, 10


@click.command()
@click.argument('artifacts', nargs=-1, type=EXISTING)
@click.option('--runtime', 'runtimes', multiple=True, help='Only this one; may be repeated.')
@click.option(
    '--precision',
    'precisions',
    multiple=True,
    type=click.Choice(PRECISIONS),
    help='Only this one; may be repeated.',
)
@click.option('--threads', type=click.IntRange(min=1), help='Threads of one inference.')
@click.option(
    '--rounds',
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help=f'Each of {BLOCK} pictures through every model.',
)
@click.option('--source', type=EXISTING, help='Pictures to run on; without, one grey street.')
@click.option('--out', type=click.Path(path_type=Path), help='Folder for a report with plots.')
@csv_option
@common_options
def bench(
    artifacts: Tuple[Path, ...],
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    threads: Optional[int],
    rounds: int,
    source: Optional[Path],
    out: Optional[Path],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Time every runtime and precision of each ARTIFACT, in interleaved rounds.

    Without one, those of the bundled model.
    """
    from kd_yolo_ros.metrics.latency import MODEL_STAGES, StageTimes, percentiles
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_report

    if out is not None:
        check_out(out, ['report.json'])
    predictors = [
        predictor
        for artifact in artifacts or (None,)
        for predictor in _predictors(find_artifact(artifact), runtimes, precisions, threads)
    ]
    if not predictors:
        raise UserError('Nothing to time: no artifact offers the runtimes and precisions given.')
    pictures = _pictures(source)
    times = [StageTimes() for _ in predictors]
    # In turn: a machine that slows down slows all alike.
    for number in progress(range(rounds), 'bench'):
        for predictor, collected in zip(predictors, times):
            for step in range(-WARM_UP, BLOCK):
                predictor.predict(pictures[(number * BLOCK + step) % len(pictures)])
                if step >= 0:
                    collected.add(predictor.stages_ms)
    results: List[Dict[str, Any]] = []
    for predictor, collected in zip(predictors, times):
        stages = collected.summary()
        sums = collected.sum_ms(MODEL_STAGES)
        spec = predictor.file.input
        results.append(
            {
                'artifact': predictor.manifest.name,
                **asdict(predictor.running),
                'input': [spec.height, spec.width],
                'stages_ms': stages,
                'infer_ms': stages['infer'],
                'model_ms': percentiles(sums if sums is not None else []),
                'size_mb': predictor.size_bytes / 1e6,
            }
        )
    report = new_report('bench', rounds=rounds, block=BLOCK, results=results)
    if json_file:
        write_json(json_file, report)
    if out:
        click.echo(f'Report: {write_report(out, report)}')
    append_csv(csv_file, report)
    _print(results)


def _predictors(
    artifact: Path,
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    threads: Optional[int],
) -> List[Any]:
    """Load what the artifact offers of the wishes; what this machine cannot run is named."""
    from kd_yolo_ros.backends import backend_class, installed_runtimes
    from kd_yolo_ros.exports import open_model
    from kd_yolo_ros.predictor import Predictor

    for runtime in runtimes:
        backend_class(runtime)  # says so where there is no such runtime
    loaded = open_model(artifact)
    offered = {
        (runtime, file.precision) for file in loaded.manifest.files for runtime in file.runtimes
    }
    if ('openvino', 'fp32') in offered:
        offered.add(('openvino', 'bf16'))  # OpenVINO runs an FP32 file in bf16 when told to
    found = []
    for runtime in sorted(runtimes or installed_runtimes()):
        for precision in precisions or PRECISIONS:
            if (runtime, precision) not in offered:
                continue
            try:
                predictor = Predictor(loaded, runtime, precision, threads)
            except UserError as error:
                # A precision that nobody asked for by name is left out, but not in silence.
                if runtimes and precisions:
                    raise
                click.echo(f'Left out: {runtime} {precision}: {error}', err=True)
                continue
            found.append(predictor)
    return found


def _pictures(source: Optional[Path]) -> List[Any]:
    import itertools

    import numpy as np

    from kd_yolo_ros.frames import open_source

    if source is None:
        return [np.full((720, 1280, 3), 114, np.uint8)]
    # More would only fill memory; the models' work hardly depends on the picture.
    return [frame.image for frame in itertools.islice(open_source(source), 64)]


def _print(results: List[Dict[str, Any]]) -> None:
    best = min((r['model_ms']['p50'] for r in results if r['precision'] == 'fp32'), default=None)
    rows = [
        [
            r['artifact'],
            r['runtime'],
            r['precision'],
            f'{r["input"][0]}x{r["input"][1]}',
            r['threads'],
            *(r['infer_ms'][p] for p in ('p50', 'p95', 'p99')),
            r['model_ms']['p50'],
            r['model_ms']['p50'] / best if best else None,
            r['size_mb'],
        ]
        for r in results
    ]
    columns = ['artifact', 'runtime', 'precision', 'input', 'threads']
    columns += ['infer p50 ms', 'p95', 'p99', 'infer+decode+nms p50', '× best fp32', 'MB']
    print_table('bench', columns, rows)
