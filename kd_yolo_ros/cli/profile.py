# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo profile`: where a model's time goes, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click

from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    find_artifact,
    print_table,
    progress,
)
from kd_yolo_ros.cli.variants import LeftOut, say_left_out, variant_options
from kd_yolo_ros.errors import UserError

PICTURE = 'operators.png'


@click.command()
@click.argument('artifact', required=False, type=EXISTING)
@variant_options
@click.option('--runs', type=click.IntRange(min=1), default=100, show_default=True)
@click.option('--out', type=click.Path(path_type=Path), help='Folder for a picture of it.')
@common_options
def profile(
    artifact: Optional[Path],
    runtimes: Tuple[str, ...],
    precisions: Tuple[str, ...],
    provider: Optional[str],
    threads: Optional[int],
    runs: int,
    out: Optional[Path],
    json_file: Optional[Path],
) -> None:
    """Show what each kind of operator takes of an inference of ARTIFACT.

    By the runtimes' own counters, which slow them down a little; `kd-yolo bench` has the times
    of use. Those runtimes that have counters are shown.
    """
    from kd_yolo_ros.backends.profiled import PROFILED
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole
    from kd_yolo_ros.variants import find_variants

    if out is not None:
        check_out(out, [PICTURE])
    strange = sorted({*runtimes} - {*PROFILED})
    if strange:
        raise UserError(
            f'{strange[0]} has no counters to read; {" and ".join(PROFILED)} have them.'
        )
    model = find_artifact(artifact)
    variants = [
        variant
        for variant in find_variants(model, runtimes, precisions, provider)
        if variant.runtime in PROFILED
    ]
    results: List[Dict[str, Any]] = []
    left_out = []
    for variant in progress(variants, 'profile'):
        try:
            results.append(measure(variant, threads, runs))
        except UserError as error:
            left_out.append(LeftOut(variant, variant.artifact.manifest.name, error))
    absent = say_left_out(left_out, named=bool(runtimes and precisions) or not results)
    if not results:
        raise UserError(f'{model} offers nothing that {" or ".join(PROFILED)} can run here.')
    report = new_report('profile', runs=runs, results=results, left_out=absent)
    if json_file:
        write_json(json_file, report)
    if out:
        from kd_yolo_ros.metrics.operator_plot import operator_plot

        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / PICTURE, operator_plot(report))
        click.echo(f'Picture: {out / PICTURE}')
    for result in results:
        _print(result)


def measure(variant: Any, threads: Optional[int], runs: int) -> Dict[str, Any]:
    """Return what a variant took for each kind of operator.

    Raises:
        UserError: it does not run here.
    """
    import numpy as np

    from kd_yolo_ros.backends.profiled import PROFILED
    from kd_yolo_ros.letterbox import to_network_input

    file = variant.file
    backend = PROFILED[variant.runtime](
        variant.artifact.model_path(file), file, variant.precision, threads, variant.provider
    )
    rng = np.random.default_rng(0)  # no operator here minds what the picture shows
    picture = rng.integers(0, 256, (file.input.height, file.input.width, 3), np.uint8)
    operators = backend.operator_times(to_network_input(picture, file.input), runs)
    return {
        'artifact': variant.artifact.manifest.name,
        'file': file.path,
        'runtime': variant.runtime,
        'precision': backend.running.precision,
        'threads': backend.running.threads,
        'input': [file.input.height, file.input.width],
        'operators': [operator._asdict() for operator in operators],
    }


def _print(result: Dict[str, Any]) -> None:
    total = sum(operator['ms'] for operator in result['operators'])
    rows = [
        [operator['kind'], operator['nodes'], operator['ms'], f'{operator["ms"] / total:.0%}']
        for operator in result['operators']
        if operator['ms'] > total / 200
    ]
    rows.append(['all', sum(o['nodes'] for o in result['operators']), total, '100%'])
    height, width = result['input']
    title = f'{result["runtime"]} {result["precision"]} · {result["artifact"]} · {height}x{width}'
    print_table(f'{title} · {result["threads"]} threads', ['operator', 'nodes', 'ms', ''], rows)
