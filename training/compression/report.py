# SPDX-License-Identifier: Apache-2.0
"""The report of a quantization: JSON, a page of tables, and plots of what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kd_yolo_ros.metrics.figure import GREY, GRID, legend, make_figure, to_png
from kd_yolo_ros.metrics.judged import BOX, MASK, TITLES, judged_by
from kd_yolo_ros.metrics.markdown_table import score, table
from kd_yolo_ros.metrics.report import write_json, write_whole

BLUE, ORANGE = '#08519c', '#d95f0e'
NAME = 'quantize'
WORST = 15  # layers that are listed

Record = Mapping[str, Any]


def write_quantize_report(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write quantize.json, quantize.md and its plots; return the path of the page.

    Args:
        folder: made if need be.
        report: what the verb gives with --json.

    Raises:
        UserError: the folder cannot be written.
    """
    parts = [f'# {report["artifact"]} in INT8, {report["method"]}', _results(report)]
    for path, record in report['files'].items():
        parts.append(f'## {path}')
        runtime = record['runtime']
        if record.get('candidates'):
            name = f'{NAME}-candidates-{runtime}.png'
            write_whole(folder / name, _plot_candidates(record))
            parts += [f'![AP of each calibrator]({name})', _candidates(record)]
        if record.get('steps'):
            name = f'{NAME}-layers-{runtime}.png'
            write_whole(folder / name, _plot_steps(record))
            parts += [_sentence(record), f'![AP over layers in float]({name})', _steps(record)]
        if record.get('damage'):
            parts.append(_damage(record))
    page = folder / f'{NAME}.md'
    write_whole(page, '\n\n'.join([*parts, '']).encode())
    write_json(folder / f'{NAME}.json', report)
    return page


def _results(report: Mapping[str, Any]) -> str:
    rows = report['results']
    keys = ('runtime', 'precision', 'file', 'size_mb')
    aps = {BOX: TITLES[BOX], 'map50': 'AP50'}
    if any(MASK in row for row in rows):
        aps.update({MASK: TITLES[MASK], 'mask_map50': 'mask AP50'})
    return table(
        ['runtime', 'precision', 'file', 'MB', *aps.values()],
        [[*(row[key] for key in keys), *(score(row.get(key)) for key in aps)] for row in rows],
    )


def _candidates(record: Record) -> str:
    figures = _figures(record['candidates'])
    return table(
        ['calibrator', 'floor under SiLU', *(f'{TITLES[name]} on select' for name in figures), ''],
        [
            [
                *(one['calibrator'], one['silu_floor'], *(score(one[name]) for name in figures)),
                'taken' if _taken(record, one) else '',
            ]
            for one in record['candidates']
        ],
    )


def _figures(rows: Sequence[Record]) -> list[str]:
    """Return what was measured of each; the last decides."""
    return [name for name in (BOX, MASK) if name in rows[0]]


def _taken(record: Record, candidate: Record) -> bool:
    return all(record[key] == candidate[key] for key in ('calibrator', 'silu_floor'))


def _sentence(record: Record) -> str:
    figure = judged_by([record])
    lost = record[f'fp32_{figure}'] - record[figure]
    text = (
        f'{len(record["kept_in_float"])} layers in float: {TITLES[figure]} '
        f'{score(record[figure])} on select, {lost:.4f} below FP32, where {record["max_drop"]} '
        f'were allowed.'
    )
    return text if record['met'] else f'{text} This is the best that was found.'


def _steps(record: Record) -> str:
    keys = ('kept', BOX, MASK, 'infer_ms', 'seconds')
    present = [key for key in keys if key in record['steps'][0]]
    heads = {
        'kept': 'layers in float',
        **{name: f'{title} on select' for name, title in TITLES.items()},
        'infer_ms': 'infer p50, ms',
        'seconds': 'took, s',
    }
    return table(
        [heads[key] for key in present],
        [[step[key] for key in present] for step in record['steps']],
    )


def _damage(record: Record) -> str:
    kept = set(record['kept_in_float'])
    return table(
        ['layer', 'share of the error', 'float'],
        [
            [layer, f'{share:.1%}', 'yes' if layer in kept else '']
            for layer, share in list(record['damage'].items())[:WORST]
        ],
    )


def _plot_candidates(record: Record) -> bytes:
    """Draw a dot for each candidate, the one taken in another colour."""
    rows = record['candidates'][::-1]
    key = judged_by(rows)
    title = f'Calibrators for {record["runtime"]}'
    figure, axes = make_figure(
        title, f'{TITLES[key]} on the pictures for choices', 1.6 + 0.35 * len(rows)
    )
    names = [
        one['calibrator']
        + (', no floor' if one['silu_floor'] is None else f', floor {one["silu_floor"]:g}')
        for one in rows
    ]
    values = [one[key] for one in rows]
    colours = [ORANGE if _taken(record, one) else BLUE for one in rows]
    axes.scatter(values, names, color=colours, s=70)
    for value, name in zip(values, names, strict=True):
        axes.text(value, name, f'   {value:.4f}', va='center', color=GREY)
    axes.margins(x=0.15)
    axes.grid(color=GRID)
    return to_png(figure)


def _plot_steps(record: Record) -> bytes:
    """Draw AP over the number of layers in float, with what FP32 has and what may be lost."""
    steps = sorted(record['steps'], key=lambda step: step['kept'])
    counts = [step['kept'] for step in steps]
    key = judged_by(steps)
    below = f'{TITLES[key]} on the pictures for choices, {record["runtime"]}'
    figure, axes = make_figure('Layers left in float', below, 4.0)
    axes.plot(counts, [s[key] for s in steps], color=BLUE, marker='o', label='tried', linewidth=2)
    axes.axhline(record[f'fp32_{key}'], color=GREY, linewidth=1.5, label='FP32')
    least = record[f'fp32_{key}'] - record['max_drop']
    axes.axhline(least, color=GREY, linewidth=1.5, linestyle='--', label='allowed')
    taken = len(record['kept_in_float']), record[key]
    axes.scatter(*taken, s=120, color=ORANGE, zorder=3, label='taken')
    axes.set_xlabel('layers in float')
    axes.grid(color=GRID)
    legend(axes, ['tried', 'taken', 'FP32', 'allowed'])
    return to_png(figure)
