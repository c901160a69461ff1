# SPDX-License-Identifier: Apache-2.0
"""The figures of accuracy, as PNG: AP by class and size, curves, confusion matrix.

Each takes what `CocoAP.evaluate` returns.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from kd_yolo_ros.metrics.figure import GREY, GRID, legend, make_figure, to_png

AP = Mapping[str, Any]

_AP = {'map50': '#c7e9c0', 'map50_95': '#238b45'}
_TITLES = {'map50': 'AP50', 'map50_95': 'AP50-95'}
_MEAN = '#08519c'
MAX_CLASSES = 30  # bars that stay readable
MAX_LINES = 10  # lines that can be told apart
MAX_NUMBERS = 20  # classes whose cells hold a number


def accuracy_plots(ap: AP, below: str) -> Dict[str, Tuple[str, bytes]]:
    """Return {file name: (title, PNG)} for what was measured; `below` is the subtitle."""
    figures: Dict[str, Tuple[str, bytes]] = {}
    if ap.get('per_class'):
        title = 'Average precision by class'
        figures['per_class.png'] = title, _by_class(title, below, ap['per_class'])
    if any(one['instances'] for one in (ap.get('by_size') or {}).values()):
        title = 'Average precision by size of the object'
        figures['by_size.png'] = title, _by_size(title, below, ap)
    if (ap.get('curves') or {}).get('precision'):
        title = 'Precision, recall and F1 at IoU 0.5'
        figures['curves.png'] = title, _curves(title, below, ap)
    if (ap.get('confusion') or {}).get('classes'):
        title = 'What the objects were taken for'
        figures['confusion.png'] = title, _confusion(title, below, ap['confusion'])
    return figures


def _by_class(title: str, below: str, per_class: AP) -> bytes:
    frequent = sorted(per_class, key=lambda name: -per_class[name]['instances'])[:MAX_CLASSES]
    names = sorted(frequent, key=lambda name: -per_class[name]['map50_95'])
    if len(names) < len(per_class):
        below = f'the {len(names)} most frequent of {len(per_class)} classes · {below}'
    return _bars(title, below, [(name, per_class[name]) for name in names])


def _by_size(title: str, below: str, ap: AP) -> bytes:
    areas = {'small': 'small, below 32²', 'medium': 'medium', 'large': 'large, above 96²'}
    rows = [(areas[size], one) for size, one in ap['by_size'].items() if one['instances']]
    total = sum(one['instances'] for one in ap['per_class'].values())
    return _bars(title, below, [('all', {**ap, 'instances': total}), *rows])


def _bars(title: str, below: str, rows: Sequence[Tuple[str, AP]]) -> bytes:
    """Draw nested horizontal bars of AP50 and AP50-95, with the latter's numbers."""
    figure, axes = make_figure(title, below, 1.9 + 0.27 * len(rows))
    positions = np.arange(len(rows))
    for key, colour in _AP.items():
        values = [one[key] for _, one in rows]
        axes.barh(positions, values, height=0.68, color=colour, label=_TITLES[key])
    for position, (_, one) in zip(positions, rows):
        x = max(one[key] for key in _AP) + 0.008
        axes.text(x, position, f'{one["map50_95"]:.3f}', va='center', fontsize=8, color=GREY)
    axes.set_yticks(positions, [f'{name} ({one["instances"]})' for name, one in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.06)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis='y', length=0, labelsize=9)
    axes.grid(axis='x', color=GRID)
    axes.set_xlabel('AP (numbers: AP50-95; in brackets: objects)')
    legend(axes, ['AP50-95', 'AP50'])
    return to_png(figure)


def _curves(title: str, below: str, ap: AP) -> bytes:
    """Draw precision over recall and F1 over the score: each class thin, the mean thick."""
    curves = ap['curves']
    figure, (left, right) = make_figure(title, below, 5.2, width=11, panels=2)
    for axes, x, kind in ((left, 'recall', 'precision'), (right, 'score', 'f1')):
        _lines(axes, curves[x], curves[kind], ap)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.grid(color=GRID)
    left.set_xlabel('recall')
    left.set_ylabel('precision')
    right.set_xlabel('score threshold')
    right.set_ylabel('F1')
    best = ap.get('best_f1')
    if best:
        right.plot(best['score'], best['f1'], 'o', color=_MEAN, zorder=4)
        text = f'best mean F1 {best["f1"]:.3f} at score {best["score"]:.3f}'
        right.set_title(text, loc='left', fontsize=9, color=GREY)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower left', ncols=4, frameon=False, fontsize=9)
    return to_png(figure)


def _lines(axes: Any, x: Sequence[float], by_class: Mapping[str, List[float]], ap: AP) -> None:
    few = len(by_class) <= MAX_LINES
    for number, (name, values) in enumerate(by_class.items()):
        look = {'color': f'C{number}', 'alpha': 0.9} if few else {'color': GREY, 'alpha': 0.25}
        label = f'{name}, AP50 {ap["per_class"][name]["map50"]:.3f}' if few else None
        axes.plot(x, values, linewidth=0.9, label=label, **look)
    if len(by_class) > 1:
        mean = np.mean(list(by_class.values()), axis=0)
        label = f'mean of {len(by_class)} classes, AP50 {ap["map50"]:.3f}'
        axes.plot(x, mean, linewidth=2.6, color=_MEAN, label=label)


def _confusion(title: str, below: str, confusion: AP) -> bytes:
    """Draw each row's shares: of a class' objects, and of all false alarms."""
    from matplotlib.colors import PowerNorm

    matrix = np.array(confusion['matrix'], np.float64)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [*confusion['classes'], 'background']
    count = len(names)
    numbers = count <= MAX_NUMBERS + 1
    side = (0.55 if numbers else 0.15) * count
    below = f'score ≥ {confusion["score"]}, IoU ≥ {confusion["iou"]} · {below}'
    figure, axes = make_figure(title, below, max(side, 2) + 2.4, width=max(side + 3, 7.5))
    # The square root, so that rare confusions can be seen.
    picture = axes.imshow(shares, cmap='Blues', norm=PowerNorm(0.5, vmin=0, vmax=1))
    size = 8 if numbers else 5.5
    totals = matrix.sum(axis=1).astype(int)
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(
        range(count),
        [f'{name} ({total})' for name, total in zip(names, totals)],
        fontsize=size,
    )
    axes.set_xlabel('detected as (background: missed)')
    axes.set_ylabel('object, how many (background: false alarms)')
    axes.tick_params(length=0)
    for row, column in zip(*np.nonzero(matrix)) if numbers else ():
        colour = 'white' if shares[row, column] > 0.3 else GREY
        text = f'{shares[row, column]:.2f}'
        axes.text(column, row, text, ha='center', va='center', fontsize=8, color=colour)
    bar = figure.colorbar(picture, ax=axes, fraction=0.03, label='share of the row')
    bar.outline.set_visible(False)
    figure.get_layout_engine().set(w_pad=0.15)
    return to_png(figure)
