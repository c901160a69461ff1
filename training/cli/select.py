# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo select`: a distilled network is taken where it is surely better than a plain one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kd_yolo_ros.cli.common import EXISTING, common_options
from kd_yolo_ros.errors import UserError

from .filter_result import (
    PACKAGES,
    Compared,
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
    '--data', type=EXISTING, required=True, help='A prepared data set; its select split is used.'
)
@click.option(
    '--plain',
    type=EXISTING,
    multiple=True,
    required=True,
    metavar='RUN',
    help='Trained without a teacher; one for each seed.',
)
@click.option(
    '--distilled',
    multiple=True,
    required=True,
    metavar='[NAME=]RUN',
    help='Trained with one; one for each seed. Ways of distillation are told apart by NAME.',
)
@filter_options
@common_options
def select(
    data: Path,
    plain: tuple[Path, ...],
    distilled: tuple[str, ...],
    weights: str | None,
    resamples: int,
    level: float,
    seed: int,
    out: Path,
    threads: int | None,
    csv_file: Path,
    json_file: Path | None,
) -> None:
    """Choose between networks trained with and without a teacher, on the select split.

    RUN is the folder of a training run or a checkpoint; all have to be trained alike but for the
    seed and the distillation. A way of distillation is taken if the
    lower end of its interval of AP50-95 over plain is above zero, of several the best; else
    plain is. Its run with the best AP is written to OUT/chosen.safetensors, ready to export.
    Networks that segment are judged by AP50-95 of their masks.
    """
    from ..filter.decision import DISTILLED, PLAIN, corrected_level, decide

    candidates = named_paths(distilled, DISTILLED, taken=[PLAIN])
    how = How(weights, resamples, corrected_level(level, len(candidates)), seed, threads)
    arms = {PLAIN: list(plain), **candidates}
    for path in (path for paths in arms.values() for path in paths):
        _check_checkpoint(path)
    compared = compare_arms('select', arms, data, 'select', out, how, deciding=True)
    counts = {name: len(models) for name, models in compared.models.items()}
    decision = decide(compared.differences, counts, compared.remarks)
    selection = _write(out, compared, decision)
    report = {**compared.report, 'level': level, 'decision': selection}
    write_comparison(report, 'Plain or distilled', out, csv_file, json_file)
    if min(counts.values()) == 1:
        click.echo('One run says nothing of the chance in training; give 3 seeds of each.')
    click.echo(decision.sentence)


def _check_checkpoint(path: Path) -> None:
    """Refuse what cannot be written as a checkpoint, before anything is opened."""
    from kd_yolo_ros.checkpoints import is_checkpoint

    if path.exists() and not is_checkpoint(path):
        raise UserError(
            f'{path} is neither a training run nor a checkpoint; kd-yolo compare takes other '
            'models too.'
        )


def _write(out: Path, compared: Compared, decision: Any) -> dict[str, Any]:
    """Write the chosen checkpoint; return the decision as plain values."""
    from kd_yolo_ros.metrics.judged import MASK, judged_by

    from ..filter.chosen import CHOSEN, write_chosen

    report = compared.report
    rows = [row for row in report['results'] if row['arm'] == decision.arm]
    figure = judged_by(rows)
    best = max(range(len(rows)), key=lambda number: rows[number][figure])
    taken = {
        'sentence': decision.sentence,
        'arm': decision.arm,
        'run': {
            key: rows[best][key]
            for key in dict.fromkeys(('artifact', 'seed', 'sha256', 'map50_95', figure))
        },
    }
    kept = ('data', 'data_hash', 'images', 'unjudged_classes', 'resamples', 'seed')
    evidence = {key: report[key] for key in kept}
    arms = [
        {
            'name': arm['name'],
            'seeds': [row['seed'] for row in report['results'] if row['arm'] == arm['name']],
            **{key: arm[key] for key in ('unlike', 'map50_95', 'map50_95_sd', 'map50')},
            'per_class': arm['per_class'],
            **{key: arm[key] for key in (MASK, f'{MASK}_sd') if key in arm},
        }
        for arm in report['arms']
    ]
    selection = {**taken, **evidence, 'arms': arms, 'differences': report['differences']}
    write_chosen(out / CHOSEN, compared.models[decision.arm][best], selection)
    return taken
