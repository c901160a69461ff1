# SPDX-License-Identifier: Apache-2.0
"""A comparison as pictures: differences with their intervals, AP of every run, AP over cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_yolo_ros.metrics.accuracy_plots import MAX_CLASSES
from kd_yolo_ros.metrics.figure import GREY, GRID, label_points, legend, make_figure, to_png
from kd_yolo_ros.metrics.judged import TITLES, judged_by, of_classes

from .decision import in_points, percent

Report = Mapping[str, Any]
Interval = Mapping[str, float]

BASELINE = '#737373'
COLOURS, MARKERS = 10, 'os^D'
BY_CLASS = 5  # arms beside the baseline that can be told apart at every class
LABEL_ROW = 0.18  # inches
LABEL_LINE = 30.0  # points, so that many lines from one column can be told apart
NONE = dict.fromkeys(('difference', 'low', 'high'), np.nan)  # of a class without masks


def comparison_plots(report: Report) -> dict[str, tuple[str, bytes]]:
    """Return {file name: (title, PNG)} of a report of the kind select or compare."""
    below = f'{report["data"]} · {report["images"]} pictures'
    figures, kind = {}, report['kind']
    what = TITLES[judged_by(report['arms'])]
    title = f'Difference of {what} to {report["baseline"]}'
    figures[f'{kind}-differences.png'] = title, _differences(title, below, report)
    title = f'{what} of every run'
    figures[f'{kind}-runs.png'] = title, _runs(title, below, report)
    if len({arm['gflops'] for arm in report['arms'] if arm['gflops']}) > 1:
        title = f'{what} over operations of a picture'
        figures[f'{kind}-gflops.png'] = title, _gflops(title, below, report)
    return figures


def _looks(report: Report) -> dict[str, dict[str, str]]:
    """Return each arm's colour and marker; forty arms look different."""
    looks = {report['baseline']: {'color': BASELINE, 'marker': 'o'}}
    others = (arm['name'] for arm in report['arms'] if arm['name'] != report['baseline'])
    for number, name in enumerate(others):
        marker = MARKERS[number // COLOURS % len(MARKERS)]
        looks[name] = {'color': f'C{number % COLOURS}', 'marker': marker}
    return looks


def _differences(title: str, below: str, report: Report) -> bytes:
    """Draw a point with its interval: for all classes and each, or of many arms for all alone."""
    found = report['differences']
    draw = _differences_by_class if len(found) <= BY_CLASS else _differences_by_arm
    return draw(
        title, f'{percent(next(iter(found.values()))["level"])} intervals · {below}', report
    )


def _differences_by_class(title: str, below: str, report: Report) -> bytes:
    """Draw all arms at each class, one below the other."""
    classes = report['arms'][0]['per_class']
    frequent = sorted(classes, key=lambda name: -classes[name]['instances'])[:MAX_CLASSES]
    names = [name for name in classes if name in frequent]
    if len(names) < len(classes):
        below = f'the {len(names)} most frequent of {len(classes)} classes · {below}'
    found, looks = report['differences'], _looks(report)
    judged = judged_by(report['arms'])
    height = 2.0 + (len(names) + 1) * max(0.3, 0.17 * len(found))
    figure, axes = make_figure(title, below, height)
    axes.axhline(0.5, color=GRID, linewidth=1)
    rows = np.arange(len(names) + 1)
    for number, (arm, one) in enumerate(found.items()):
        by_class = of_classes(one, judged)
        every = [one[judged], *(by_class.get(name, NONE) for name in names)]
        at = rows + 0.6 * ((number + 0.5) / len(found) - 0.5)
        _draw_intervals(axes, every, at, looks[arm], arm)
        _write_difference(axes, every[0], at[0])
    labels = [f'{name} ({classes[name]["instances"]})' for name in names]
    _finish_rows(axes, ['all', *labels])
    axes.set_xlabel(f'points of {TITLES[judged]} over {report["baseline"]} (in brackets: objects)')
    legend(axes, list(found))
    return to_png(figure)


def _differences_by_arm(title: str, below: str, report: Report) -> bytes:
    """Draw a row for each arm."""
    found, looks = report['differences'], _looks(report)
    judged = judged_by(report['arms'])
    figure, axes = make_figure(title, f'all classes · {below}', 1.9 + 0.3 * len(found))
    for row, (arm, one) in enumerate(found.items()):
        _draw_intervals(axes, [one[judged]], np.array([row]), looks[arm], arm)
        _write_difference(axes, one[judged], row)
    _finish_rows(axes, list(found))
    axes.set_xlabel(f'points of {TITLES[judged]} over {report["baseline"]}')
    return to_png(figure)


def _draw_intervals(
    axes: Any, values: Sequence[Interval], at: np.ndarray, look: Mapping[str, str], label: str
) -> None:
    points = 100 * np.array([value['difference'] for value in values])
    ends = 100 * np.array([[value['low'], value['high']] for value in values])
    axes.hlines(at, *ends.T, color=look['color'], linewidth=1.5)
    axes.plot(points, at, linestyle='none', markersize=5, label=label, **look)


def _write_difference(axes: Any, value: Interval, at: float) -> None:
    axes.annotate(
        in_points(value['difference']),
        (100 * value['high'], at),
        (5, 0),
        textcoords='offset points',
        va='center',
        fontsize=8,
        color=GREY,
        bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1},
    )


def _finish_rows(axes: Any, labels: Sequence[str]) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis='y', length=0, labelsize=9)
    axes.grid(axis='x', color=GRID)


def _runs(title: str, below: str, report: Report) -> bytes:
    """Draw a dot for each run and a line at the mean of each arm."""
    arms, looks = report['arms'], _looks(report)
    judged = judged_by(arms)
    figure, axes = make_figure(title, below, 1.9 + 0.45 * len(arms))
    for row, arm in enumerate(arms):
        values = _values_of(report, arm['name'])
        look = looks[arm['name']]
        axes.plot(values, np.full(len(values), row), linestyle='none', alpha=0.7, **look)
        axes.vlines(arm[judged], row - 0.25, row + 0.25, color=look['color'], linewidth=2.5)
        text = f'{arm[judged]:.3f}'
        axes.annotate(
            text,
            (arm[judged], row - 0.25),
            (0, 2),
            textcoords='offset points',
            ha='center',
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(range(len(arms)), [f'{arm["name"]} ({arm["runs"]})' for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.75)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color=GRID)
    axes.margins(x=0.1)
    axes.set_xlabel(f'{TITLES[judged]}; the line is the mean of the arm (in brackets: runs)')
    return to_png(figure)


def _gflops(title: str, below: str, report: Report) -> bytes:
    """Draw every run over what its network costs, and name each arm at its mean."""
    looks = _looks(report)
    judged = judged_by(report['arms'])
    known = [arm for arm in report['arms'] if arm['gflops']]
    below = f'the line is the mean of the arm · {below}'
    figure, axes = make_figure(title, below, 2.4 + max(2.4, LABEL_ROW * len(known)))
    for arm in known:
        values, look = _values_of(report, arm['name']), looks[arm['name']]
        at = np.full(len(values), arm['gflops'])
        axes.plot(at, values, linestyle='none', alpha=0.7, **look)
        axes.plot(arm['gflops'], arm[judged], '_', color=look['color'], markersize=16)
    costs = sorted({arm['gflops'] for arm in known})
    axes.set_xscale('log')
    room = costs[-1] / costs[0]
    axes.set_xlim(costs[0] / room**0.15, costs[-1] * room**0.3)
    ticks = [c for c, less in zip(costs, [0, *costs], strict=False) if c > less * room**0.07]
    axes.set_xticks(ticks, [f'{cost:.3g}' for cost in ticks])
    axes.set_xticks([], minor=True)
    axes.margins(y=0.1)
    axes.grid(color=GRID)
    axes.set_xlabel('GFLOPs of a picture')
    axes.set_ylabel(TITLES[judged])
    names = [arm['name'] for arm in known]
    means = [(arm['gflops'], arm[judged]) for arm in known]
    label_points(axes, means, names, [looks[name]['color'] for name in names], LABEL_LINE)
    return to_png(figure)


def _values_of(report: Report, arm: str) -> Sequence[float]:
    judged = judged_by(report['results'])
    return [row[judged] for row in report['results'] if row['arm'] == arm]
