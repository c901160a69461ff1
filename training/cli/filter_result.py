# SPDX-License-Identifier: Apache-2.0
"""What `select` and `compare` share: options, the way to a report, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kd_yolo_ros.cli.common import EXISTING, check_out, csv_option, print_table, progress
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_whole

if TYPE_CHECKING:
    from kd_yolo_ros.metrics.bootstrap import Difference

    from ..filter.models import Model

PACKAGES = ('torch', 'safetensors', 'scipy')
MADE = ('select.json', 'compare.json', 'detections', 'problems.csv')


@dataclass(frozen=True)
class How:
    """How networks are compared: the options of `filter_options`, and artifacts' precision."""

    weights: str | None
    resamples: int
    level: float
    seed: int
    threads: int | None
    precision: str = 'auto'


@dataclass(frozen=True)
class Compared:
    """Networks that were compared.

    Attributes:
        models: by name of their arm.
        differences: to the baseline, by name of the arm.
        report: all of it.
        remarks: sentences on what could not be checked, where something is to be decided.
    """

    models: Mapping[str, Sequence[Model]]
    differences: Mapping[str, Difference]
    report: dict[str, Any]
    remarks: Sequence[str]


def filter_options(command: Callable) -> Callable:
    """Add the fields of `How`, --out and --csv."""
    for option in (
        csv_option,
        click.option('--threads', type=click.IntRange(min=1), help='Threads of one inference.'),
        click.option(
            '--out',
            type=EXISTING,
            required=True,
            help='Folder for the result; what was run on pictures is kept there, not repeated.',
        ),
        click.option(
            '--seed',
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help='Of the resamples.',
        ),
        click.option(
            '--level',
            type=click.FloatRange(0.5, 1, max_open=True),
            default=0.95,
            show_default=True,
            help='Of the intervals.',
        ),
        click.option(
            '--resamples',
            type=click.IntRange(min=100),
            default=1000,
            show_default=True,
            help='Of the pictures; more are drawn where --level, or many arms, need more.',
        ),
        click.option(
            '--weights',
            type=click.Choice(['best', 'last']),
            help='Of a training run.  [default: best if it has any, else last]',
        ),
    ):
        command = option(command)
    return command


def named_paths(
    values: Sequence[str], default: str | None = None, taken: Sequence[str] = ()
) -> dict[str, list[Path]]:
    """Return the paths of NAME=PATH by name; what has no name has the default, if there is one.

    Raises:
        UserError: a name is missing or taken.
    """
    named: dict[str, list[Path]] = {}
    for value in values:
        name, separator, path = value.partition('=')
        if not separator or Path(value).exists():  # a path may hold the sign too
            if default is None:
                raise UserError(f'{value} has no name; give NAME=PATH.')
            name, path = default, value
        if not name or not path or name in taken:
            raise UserError(f'{value} does not name its arm; give NAME=PATH, with another NAME.')
        named.setdefault(name, []).append(Path(path).expanduser())
    return named


def compare_arms(
    kind: str,
    arms: Mapping[str, Sequence[Path]],
    data: Path,
    split: str | None,
    out: Path,
    how: How,
    deciding: bool = False,
) -> Compared:
    """Measure all arms on a split and compare them with the first; show the progress.

    Args:
        kind: of the report, 'select' or 'compare'.
        arms: paths of networks by name of their arm.
        data: what `read_dataset` takes.
        split: of it.
        out: folder for the result.
        how: the options.
        deciding: whether the distillation is to be judged: all arms have to be of one size of
            network and input, and trained alike in all else.

    Raises:
        UserError: something cannot be read or compared.
    """
    check_out(out, MADE)
    from kd_yolo_ros.metrics.bootstrap import enough_resamples

    from ..data.fingerprint import fingerprint
    from ..data.read import read_dataset
    from ..engine.outlets import Outlets
    from ..engine.usable import usable
    from ..filter.arms import differences, measure
    from ..filter.fairness import check_fair
    from ..filter.models import check_alike, describe_model
    from ..filter.report import arm_rows, result_rows, unjudged

    models = {
        name: [describe_model(path, how.weights, how.precision) for path in paths]
        for name, paths in arms.items()
    }
    pictures = read_dataset(data, split)
    check_alike(models, pictures, deciding)
    remarks = check_fair(models) if deciding else []
    pictures = usable(pictures, out, False, Outlets(click.echo, _progress))
    baseline = next(iter(models))
    measured = measure(models, pictures, out, how.threads, _progress)
    resamples = max(how.resamples, enough_resamples(how.level))
    found = differences(measured, baseline, resamples, how.level, how.seed, _progress)
    results = result_rows(models, measured)
    report = new_report(
        kind,
        data=pictures.description,
        data_hash=fingerprint(pictures),
        images=len(pictures.pictures),
        resamples=resamples,
        seed=how.seed,
        baseline=baseline,
        unjudged_classes=unjudged(measured[baseline][0], results),
        arms=arm_rows(models, results),
        differences={name: one.to_dict() for name, one in found.items()},
        results=results,
    )
    return Compared(models, found, report, remarks)


def write_comparison(
    report: dict[str, Any], heading: str, out: Path, csv_file: Path, json_file: Path | None
) -> None:
    """Write KIND.json, KIND.md and the plots to the folder, and print the tables."""
    from ..filter.page import shown_tables, to_markdown
    from ..filter.plots import comparison_plots

    pictures = comparison_plots(report)
    for name, (_, png) in pictures.items():
        write_whole(out / name, png)
    titles = {name: title for name, (title, _) in pictures.items()}
    page = out / f'{report["kind"]}.md'
    write_whole(page, to_markdown(report, heading, titles).encode())
    write_json(out / f'{report["kind"]}.json', report)
    if json_file:
        write_json(json_file, report)
    append_csv(csv_file, report)
    for table in shown_tables(report):
        print_table(*table)
    click.echo(f'Report: {page}')


def _progress(items: Iterable, title: str, count: int, unit: str = ' pictures') -> Iterable:
    return progress(items, title, count, unit)
