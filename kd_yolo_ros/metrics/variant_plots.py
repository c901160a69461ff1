# SPDX-License-Identifier: Apache-2.0
"""Models in every precision and runtime as PNG: AP over latency, and what precision costs."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from kd_yolo_ros.metrics.figure import GREY, GRID, label_points, make_figure, to_png
from kd_yolo_ros.metrics.judged import TITLES, judged_by
from kd_yolo_ros.metrics.text import interval_text, labels

Result = Mapping[str, Any]

_MARKERS = {'fp32': 'o', 'bf16': 'D', 'fp16': 's', 'int8': '^'}
AREA_PER_MB = 25.0  # points² of a marker
LEAST_AREA = 20.0
LEAST_POINTS = 2.0  # of AP on the axis, or noise looks like a mountain range


def variant_plots(report: Mapping[str, Any]) -> Dict[str, Tuple[str, bytes]]:
    """Return {file name: (title, PNG)} for what a report's results hold."""
    results: Sequence[Result] = report.get('results') or []
    below = report['host']['cpu']
    runtimes = sorted({result['runtime'] for result in results})
    colours = {runtime: f'C{number}' for number, runtime in enumerate(runtimes)}
    figures: Dict[str, Tuple[str, bytes]] = {}
    placed = [
        result
        for result in results
        if result.get('map50_95') is not None and (result.get('model_ms') or {}).get('p50')
    ]
    if placed:
        figure = judged_by(placed)
        title = f'{TITLES[figure]} over latency'
        plot = _over_latency(title, below, placed, colours, figure)
        figures['ap_over_latency.png'] = title, plot
    found = [result['difference'] for result in results if result.get('difference')]
    if found:
        figure = judged_by(found)
        compared = [
            (name, result['difference'][figure], result)
            for name, result in zip(labels(results), results)
            if result.get('difference')
        ]
        title = f'{TITLES[figure]} against the best FP32 of the network'
        below = f'{report["level"]:.0%} intervals · {report["images"]} pictures'
        plot = _differences(title, below, compared, colours, TITLES[figure])
        figures['differences.png'] = title, plot
    return figures


def _over_latency(
    title: str, below: str, results: Sequence[Result], colours: Mapping[str, str], judged: str
) -> bytes:
    """Draw a marker for each: colour by runtime, form by precision, area by size."""
    figure, axes = make_figure(title, f'area: size of the file · {below}', 5.2)
    several = len({result['artifact'] for result in results}) > 1
    points: List[Tuple[float, float]] = []
    texts: List[str] = []
    for result in results:
        x, y = result['model_ms']['p50'], 100 * result[judged]
        axes.scatter(
            x,
            y,
            s=max(LEAST_AREA, AREA_PER_MB * result['size_mb']),
            marker=_MARKERS[result['precision']],
            color=colours[result['runtime']],
            alpha=0.55,
            linewidths=0,
        )
        text = f'{result["size_mb"]:.1f} MB'
        texts.append(f'{result["artifact"]}, {text}' if several else text)
        points.append((x, y))
    heights = [100 * result[judged] for result in results]
    middle = (min(heights) + max(heights)) / 2
    reach = max(0.65 * (max(heights) - min(heights)), LEAST_POINTS / 2)
    axes.set_ylim(middle - reach, middle + reach)
    axes.set_xlim(0, 1.2 * max(result['model_ms']['p50'] for result in results))
    axes.grid(color=GRID)
    axes.set_xlabel('infer + decode + nms, p50 in ms')
    axes.set_ylabel(f'{TITLES[judged]} in points')
    _legend(axes, colours, [result['precision'] for result in results])
    label_points(axes, points, texts, [colours[result['runtime']] for result in results])
    return to_png(figure)


def _differences(
    title: str,
    below: str,
    rows: Sequence[Tuple[str, Mapping[str, float], Result]],
    colours: Mapping[str, str],
    what: str,
) -> bytes:
    """Draw a point with its interval for each."""
    figure, axes = make_figure(title, below, 1.9 + 0.4 * len(rows))
    axes.axvline(0, color=GREY, linewidth=1)
    for row, (_, interval, result) in enumerate(rows):
        colour = colours[result['runtime']]
        middle, low, high = (100 * interval[key] for key in ('difference', 'low', 'high'))
        axes.hlines(row, low, high, color=colour, linewidth=1.5)
        axes.plot(middle, row, _MARKERS[result['precision']], color=colour, markersize=6)
        axes.annotate(
            interval_text(interval),
            (high, row),
            (6, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(np.arange(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis='y', length=0, labelsize=9)
    axes.grid(axis='x', color=GRID)
    axes.margins(x=0.25)
    axes.set_xlabel(f'points of {what}')
    return to_png(figure)


def _legend(axes: Any, colours: Mapping[str, str], precisions: Sequence[str]) -> None:
    """Name the colours and forms, each once."""
    from matplotlib.lines import Line2D

    look: Dict[str, Any] = {'linestyle': 'none', 'markersize': 7}
    handles: List[Any] = [
        Line2D([], [], marker='s', color=colour, label=runtime, **look)
        for runtime, colour in colours.items()
    ]
    handles += [
        Line2D([], [], marker=marker, color=GREY, label=precision, **look)
        for precision, marker in _MARKERS.items()
        if precision in precisions
    ]
    axes.legend(
        handles=handles,
        loc='lower left',
        bbox_to_anchor=(-0.01, 0.99),
        ncol=len(handles),
        frameon=False,
        fontsize=9,
    )
