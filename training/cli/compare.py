# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo compare`: accuracy and cost of several networks, with the chance in the pictures."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import PRECISIONS

from .filter_result import (
    PACKAGES,
    How,
    compare_arms,
    filter_options,
    named_paths,
    write_comparison,
)
from .requirements import needs


@needs(*PACKAGES)
@click.command()
@click.option(
    '--data', type=EXISTING, required=True, help='A prepared data set, COCO json or YOLO folder.'
)
@click.option('--split', help='Of a prepared data set.  [default: val]')
@click.option(
    '--arm',
    'arms',
    multiple=True,
    required=True,
    metavar='NAME=MODEL',
    help='A network; several of one NAME are its seeds.',
)
@click.option('--baseline', required=True, metavar='NAME', help='What the others are compared to.')
@click.option(
    '--precision',
    type=click.Choice(['auto', *PRECISIONS]),
    default='auto',
    show_default=True,
    help='Of artifacts and exports; checkpoints are FP32.',
)
@filter_options
@common_options
def compare(
    data: Path,
    split: str | None,
    arms: tuple[str, ...],
    baseline: str,
    precision: str,
    weights: str | None,
    resamples: int,
    level: float,
    seed: int,
    out: Path,
    threads: int | None,
    csv_file: Path,
    json_file: Path | None,
) -> None:
    """Compare arms with a baseline on one split, by default the one that is only reported.

    MODEL is the folder of a training run, a checkpoint, an artifact or a plain export; all need
    the classes of the data. Nothing is decided here, and no interval is corrected for the number
    of arms.
    """
    from ..data.prepared import is_prepared

    named = named_paths(arms)
    if baseline not in named:
        raise UserError(f'no --arm is named {baseline}; there are {", ".join(named)}.')
    if len(named) < 2:
        raise UserError(f'{baseline} has nothing to be compared with; give another --arm.')
    ordered = {baseline: named.pop(baseline), **named}
    split = 'val' if split is None and is_prepared(data) else split
    how = How(weights, resamples, level, seed, threads, precision)
    compared = compare_arms('compare', ordered, data, split, out, how)
    report = {**compared.report, 'level': level}
    write_comparison(report, f'Compared with {baseline}', out, csv_file, json_file)
