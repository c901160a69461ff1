# SPDX-License-Identifier: Apache-2.0
"""A comparison as pictures: differences with their intervals, AP of every run, AP over cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_yolo_ros.metrics.accuracy_plots import MAX_CLASSES
from kd_yolo_ros.metrics.figure import GREY, GRID, legend, make_figure, to_png
from kd_yolo_ros.metrics.judged import TITLES, judged_by, of_classes

from .decision import in_points, percent

Report = Mapping[str, Any]

BASELINE = '#737373'
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


def _colours(report: Report) -> dict[str, str]:
    others = (arm['name'] for arm in report['arms'] if arm['name'] != report['baseline'])
    return {report['baseline']: BASELINE, **{name: f'C{i}' for i, name in enumerate(others)}}


def _differences(title: str, below: str, report: Report) -> bytes:
    """Draw a point with its interval for all classes and each, one below the other."""
    classes = report['arms'][0]['per_class']
    frequent = sorted(classes, key=lambda name: -classes[name]['instances'])[:MAX_CLASSES]
    names = [name for name in classes if name in frequent]
    if len(names) < len(classes):
        below = f'the {len(names)} most frequent of {len(classes)} classes · {below}'
    found, colours = report['differences'], _colours(report)
    judged = judged_by(report['arms'])
    level = percent(next(iter(found.values()))['level'])
    height = 2.0 + (len(names) + 1) * max(0.3, 0.17 * len(found))
    figure, axes = make_figure(title, f'{level} intervals · {below}', height)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axhline(0.5, color=GRID, linewidth=1)
    rows = np.arange(len(names) + 1)
    for number, (arm, one) in enumerate(found.items()):
        by_class = of_classes(one, judged)
        every = [one[judged], *(by_class.get(name, NONE) for name in names)]
        points = 100 * np.array([value['difference'] for value in every])
        ends = 100 * np.array([[value['low'], value['high']] for value in every])
        at = rows + 0.6 * ((number + 0.5) / len(found) - 0.5)
        axes.hlines(at, *ends.T, color=colours[arm], linewidth=1.5)
        axes.plot(points, at, 'o', color=colours[arm], markersize=5, label=arm)
        axes.annotate(
            in_points(every[0]['difference']),
            (ends[0, 1], at[0]),
            (5, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color=GREY,
            bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1},
        )
    labels = [f'{name} ({classes[name]["instances"]})' for name in names]
    axes.set_yticks(rows, ['all', *labels])
    axes.set_ylim(len(names) + 0.6, -0.6)
    axes.tick_params(axis='y', length=0, labelsize=9)
    axes.grid(axis='x', color=GRID)
    axes.set_xlabel(f'points of {TITLES[judged]} over {report["baseline"]} (in brackets: objects)')
    legend(axes, list(found))
    return to_png(figure)


def _runs(title: str, below: str, report: Report) -> bytes:
    """Draw a dot for each run and a line at the mean of each arm."""
    arms, colours = report['arms'], _colours(report)
    judged = judged_by(arms)
    figure, axes = make_figure(title, below, 1.9 + 0.45 * len(arms))
    for row, arm in enumerate(arms):
        values = _values_of(report, arm['name'])
        colour = colours[arm['name']]
        axes.plot(values, np.full(len(values), row), 'o', color=colour, alpha=0.7)
        axes.vlines(arm[judged], row - 0.25, row + 0.25, color=colour, linewidth=2.5)
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
    """Draw every run over what its network costs."""
    colours = _colours(report)
    figure, axes = make_figure(title, below, 4.4)
    known = [arm for arm in report['arms'] if arm['gflops']]
    for arm in known:
        values = _values_of(report, arm['name'])
        at = np.full(len(values), arm['gflops'])
        axes.plot(at, values, 'o', color=colours[arm['name']], alpha=0.7, label=arm['name'])
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1.1 * max(arm['gflops'] for arm in known))
    axes.grid(color=GRID)
    axes.set_xlabel('GFLOPs of a picture')
    axes.set_ylabel(TITLES[judged_by(report['arms'])])
    legend(axes, [arm['name'] for arm in known])
    return to_png(figure)


def _values_of(report: Report, arm: str) -> Sequence[float]:
    judged = judged_by(report['results'])
    return [row[judged] for row in report['results'] if row['arm'] == arm]
