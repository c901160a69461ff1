# SPDX-License-Identifier: Apache-2.0
"""A comparison as tables: for a Markdown page, and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kd_yolo_ros.metrics.bootstrap import BEYOND, Interval
from kd_yolo_ros.metrics.judged import MASK, TITLES, judged_by, of_classes
from kd_yolo_ros.metrics.markdown import machine, table

from .decision import in_points, interval_text, percent

Report = Mapping[str, Any]

FEW = 4  # arms whose table of classes fits a terminal


class Table(NamedTuple):
    """A table with its title."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def to_markdown(report: Report, heading: str, pictures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: of the kind select or compare.
        heading: its first line.
        pictures: {file name: title} of the plots beside it.
    """
    parts = [f'# {heading}', f'{report["created"]}: {report["data"]}.']
    if report.get('decision'):
        parts.append(f'**{report["decision"]["sentence"]}**')
    arms, classes = _arms(report), _classes(report)
    parts += [f'## {arms.title}', table(arms.head, arms.rows)]
    if len({arm['runs'] for arm in report['arms']}) > 1:
        parts.append(
            'Arms have different numbers of runs: where one run was chosen for its AP, as that of '
            'an artifact often is, some of its difference to the mean of others is that choice.'
        )
    parts += [f'## {classes.title}', table(classes.head, classes.rows)]
    if report['unjudged_classes']:
        parts.append(
            f'Not judged, without a labelled {_labelled(report)} in these pictures: '
            f'{", ".join(report["unjudged_classes"])}.'
        )
    parts.append(_method(report))
    parts += [f'![{title}]({name})' for name, title in pictures.items()]
    parts += ['## How they were trained', table(*_trained(report))]
    parts += ['## Networks', table(*_networks(report)), '## Measured on', *machine(report)]
    return '\n\n'.join(parts) + '\n'


def shown_tables(report: Report) -> list[Table]:
    """Return what a terminal has room for: the table of arms, of few that of classes too."""
    return [_arms(report), *([_classes(report)] if len(report['arms']) <= FEW else [])]


def _arms(report: Report) -> Table:
    baseline = report['baseline']
    figures = {'map50_95': 'AP50-95', 'map50': 'AP50'}
    if judged_by(report['arms']) == MASK:
        figures = {**figures, MASK: TITLES[MASK], 'mask_map50': 'mask AP50', 'miou': 'mIoU'}
    compared = [key for key in figures if key != 'miou']
    ran_on: dict[str, dict[str, None]] = {}  # what of, by arm, in order
    for row in report['results']:
        ran_on.setdefault(row['arm'], {})[_ran_on(row)] = None
    rows = []
    for arm in report['arms']:
        found = report['differences'].get(arm['name'])
        parameters = arm['parameters']
        rows.append(
            [
                arm['name'],
                arm['runs'],
                ', '.join(ran_on[arm['name']]),
                *(_with_sd(arm, key) for key in figures),
                *(_delta(found and found[key]) for key in compared),
                _number(arm['train_minutes'], 1),
                _number(arm['gflops'], 2),
                _number(parameters and parameters / 1e6, 2),
            ]
        )
    delta = f'over {baseline}, points'
    head = ['arm', 'runs', 'ran on', *figures.values()]
    head += [f'{figures[key]} {delta}' for key in compared]
    return Table(
        f'{report["data"]}, {report["images"]} pictures ({_intervals(report)})',
        [*head, 'train min', 'GFLOPs', 'M parameters'],
        rows,
    )


def _classes(report: Report) -> Table:
    arms, found = report['arms'], report['differences']
    figure = judged_by(arms)
    rows = [
        [
            name,
            one['instances'],
            *(_number(arm['per_class'][name][figure], 3) for arm in arms),
            *(_delta(of_classes(values, figure).get(name)) for values in found.values()),
        ]
        for name, one in arms[0]['per_class'].items()
    ]
    head = ['class', 'objects', *(arm['name'] for arm in arms)]
    deltas = [f'{name} over {report["baseline"]}, points' for name in found]
    return Table(f'{TITLES[figure]} by class', [*head, *deltas], rows)


def _labelled(report: Report) -> str:
    return 'mask' if judged_by(report['arms']) == MASK else 'object'


def _trained(report: Report) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for arm in report['arms']:
        unlike = arm['unlike']
        if arm['name'] != report['baseline'] or unlike:
            told = 'not recorded' if unlike is None else ', '.join(unlike) or 'nothing'
            rows.append([arm['name'], told])
    return ['arm', f'unlike {report["baseline"]} in (but for the seed)'], rows


def _networks(report: Report) -> tuple[list[str], list[list[Any]]]:
    masks = [MASK] if judged_by(report['results']) == MASK else []
    rows = [
        [
            row['arm'],
            row['artifact'],
            row['seed'],
            None if row['epoch'] is None else row['epoch'] + 1,
            row['input'],
            _ran_on(row),
            *(_number(row[key], 3) for key in ['map50_95', 'map50', *masks]),
            _number(row['train_minutes'], 1),
            row['sha256'][:16],
        ]
        for row in report['results']
    ]
    head = ['arm', 'run', 'seed', 'epoch', 'input', 'ran on', 'AP50-95', 'AP50']
    return [*head, *(TITLES[key] for key in masks), 'train min', 'sha256'], rows


def _ran_on(row: Mapping[str, Any]) -> str:
    return f'{row["runtime"]} {row["precision"]}'


def _intervals(report: Report) -> str:
    level = next(iter(report['differences'].values()))['level']
    return f'{percent(level)} intervals of {report["resamples"]} resamples of the pictures'


def _method(report: Report) -> str:
    return (
        'Differences are of means over the runs of an arm, in points (0.01 of AP), with '
        f'{_intervals(report)} (paired, seed {report["seed"]}; {BEYOND} or more of them beyond '
        'each end). That is the chance in the pictures, taken as independent; the chance in '
        'training shows between the runs of an arm, whose standard deviation is behind ±.'
    )


def _with_sd(arm: Mapping[str, Any], key: str) -> str:
    sd = arm[f'{key}_sd']
    return _number(arm[key], 3) + ('' if sd is None else f' ± {sd:.3f}')


def _delta(values: Mapping[str, float] | None) -> str | None:
    if values is None:
        return None
    return f'{in_points(values["difference"])} ({interval_text(Interval(**values))})'


def _number(value: float | None, digits: int) -> str:
    return '–' if value is None else f'{value:.{digits}f}'
