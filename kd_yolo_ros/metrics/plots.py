# SPDX-License-Identifier: Apache-2.0
"""The figures of a report, as PNG: times here, accuracy in accuracy_plots.py."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy as np

from kd_yolo_ros.metrics.accuracy_plots import accuracy_plots
from kd_yolo_ros.metrics.figure import GREY, GRID, legend, make_figure, to_png
from kd_yolo_ros.metrics.latency import RECEIVE, STAGES, TOTAL
from kd_yolo_ros.metrics.text import labels
from kd_yolo_ros.metrics.variant_plots import variant_plots

Report = Mapping[str, Any]
Summary = Mapping[str, float]

# One hue, from sure to rare.
_LATENCY = {'p99': '#c6dbef', 'p95': '#6baed6', 'p50': '#08519c'}


def plots(report: Report) -> Dict[str, Tuple[str, bytes]]:
    """Return {file name: (title, PNG)} for what a report holds; none for what it does not."""
    figures: Dict[str, Tuple[str, bytes]] = {}
    stages = _with_samples(report.get('stages_ms'))
    if stages:
        title = 'Time per stage'
        rows = [(stage, stages[stage]) for stage in STAGES if stage in stages]
        figures['stages.png'] = title, _bars(title, subtitle(report), rows)
    results = [r for r in report.get('results', []) if (r.get('infer_ms') or {}).get('p50')]
    if results:
        title = 'Inference time'
        rows = [(name, result['infer_ms']) for name, result in zip(labels(results), results)]
        figures['infer.png'] = title, _bars(title, report['host']['cpu'], rows)
    figures.update(variant_plots(report))
    series = report.get('latency_series')
    if series and series['latency_ms']:
        title = 'Latency from sending a picture to its detections'
        figures['latency.png'] = title, _over_time(title, subtitle(report), series)
    figures.update(accuracy_plots(report.get('ap') or report, subtitle(report)))
    return figures


def subtitle(report: Report) -> str:
    """Return what was measured in one line: artifact, runtime, precision, mode, CPU."""
    parts = [report.get(key) for key in ('artifact', 'runtime', 'precision', 'mode')]
    return ' · '.join([str(part) for part in parts if part] + [report['host']['cpu']])


def _with_samples(stages: Any) -> Dict[str, Summary]:
    return {k: v for k, v in (stages or {}).items() if v.get('p50') is not None}


def _bars(title: str, below: str, rows: Sequence[Tuple[str, Summary]]) -> bytes:
    """Draw nested horizontal bars of p50, p95 and p99, with their numbers."""
    figure, axes = make_figure(title, below, 1.9 + 0.38 * len(rows))
    names = [name for name, _ in rows]
    positions = np.arange(len(rows))
    for key, colour in _LATENCY.items():
        values = [summary[key] for _, summary in rows]
        axes.barh(positions, values, height=0.68, color=colour, label=key)
    furthest = max(summary['p99'] for _, summary in rows)
    for position, (_, summary) in zip(positions, rows):
        text = '  '.join(_number(summary[key]) for key in ('p50', 'p95', 'p99'))
        x = summary['p99'] + 0.012 * furthest
        axes.text(x, position, text, va='center', fontsize=8, color=GREY)
    axes.set_xlim(0, furthest * 1.22 or 1)
    axes.set_yticks(positions, names)
    axes.invert_yaxis()
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color=GRID)
    axes.set_xlabel('ms (numbers: p50  p95  p99)')
    legend(axes, ['p50', 'p95', 'p99'])
    if TOTAL in names and RECEIVE in names:
        axes.axhline(names.index(TOTAL) - 0.5, color='#bbbbbb', linewidth=0.8)
    return to_png(figure)


def _over_time(title: str, below: str, series: Mapping[str, Sequence[float]]) -> bytes:
    figure, axes = make_figure(title, below, 4.2)
    time_s, latency = np.asarray(series['time_s']), np.asarray(series['latency_ms'])
    labels = ['one frame']
    axes.plot(time_s, latency, '.', markersize=4, color=_LATENCY['p95'], label=labels[0])
    for percent, style in ((50, '-'), (99, '--')):
        value = float(np.percentile(latency, percent))
        labels.append(f'p{percent} {_number(value)} ms')
        colour = _LATENCY['p50']
        axes.axhline(value, color=colour, linewidth=1.2, linestyle=style, label=labels[-1])
    axes.set_ylim(0, float(latency.max()) * 1.08 or 1)
    axes.set_xlabel('time since the first frame (s)')
    axes.set_ylabel('latency (ms)')
    axes.grid(color=GRID)
    legend(axes, labels)
    return to_png(figure)


def _number(value: float) -> str:
    return f'{value:.2f}' if value < 10 else f'{value:.1f}'
