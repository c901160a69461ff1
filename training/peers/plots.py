# SPDX-License-Identifier: Apache-2.0
"""Two trainers side by side as pictures: their speed, and the AP of what they trained."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import OURS, THEIRS

COLOURS = {OURS: '#08519c', THEIRS: '#9ecae1'}
BAR = 0.38
GREY = '#555555'


def speed_plot(rows: Sequence[Mapping[str, Any]], below: str) -> bytes:
    """Return a PNG of images per second: bars to the median, whiskers from p10 to p90.

    Args:
        rows: `speed.summary`'s, a pair for each network size and picture size.
        below: one line under the title.
    """
    cases = list(dict.fromkeys(row['case'] for row in rows))
    figure, axes = _figure('Training speed', below, 1.7 + 0.62 * len(cases))
    for number, (trainer, colour) in enumerate(COLOURS.items()):
        own = {row['case']: row for row in rows if row['trainer'] == trainer}
        chosen = [own[case] for case in cases]
        at = np.arange(len(cases)) + (number - 0.5) * BAR
        medians = np.array([row['median'] for row in chosen])
        spread = np.array(
            [[row['median'] - row['p10'], row['p90'] - row['median']] for row in chosen]
        )
        axes.barh(at, medians, BAR, color=colour, label=trainer)
        axes.errorbar(medians, at, xerr=spread.T, fmt='none', ecolor=GREY, elinewidth=1, capsize=2)
        for y, row in zip(at, chosen, strict=True):
            ratio = f'  {row["ratio"]:.2f}×' if row.get('ratio') else ''
            text = f'{row["median"]:.1f}{ratio}'
            write_beside(axes, text, (row['p90'], y), (5, 0), va='center')
    axes.set_yticks(np.arange(len(cases)), cases)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(row['p90'] for row in rows))
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color='#e5e5e5')
    axes.set_xlabel('images per second, median of epochs; whiskers p10 to p90')
    axes.legend(frameon=False, fontsize=9, loc='lower right', bbox_to_anchor=(1, 1), ncol=2)
    return _png(figure)


def accuracy_plot(rows: Sequence[Mapping[str, Any]], below: str) -> bytes:
    """Return a PNG of AP50-95 by class: bars to the mean over seeds, a dot for each seed.

    Args:
        rows: one for each trainer and seed, of `accuracy.compare`.
        below: one line under the title.
    """
    names = ['all', *rows[0]['per_class']]
    figure, axes = _figure('Accuracy after training', below, 4.2)
    for number, (trainer, colour) in enumerate(COLOURS.items()):
        own = [row for row in rows if row['trainer'] == trainer]
        if not own:
            continue
        values = np.array([[ap_of(row, name) for name in names] for row in own])
        at = np.arange(len(names)) + (number - 0.5) * BAR
        means = values.mean(0)
        axes.bar(at, means, BAR, color=colour, label=trainer)
        if len(own) > 1:
            axes.plot(np.tile(at, len(own)), values.ravel(), '.', color=GREY, markersize=5)
        for x, mean, highest in zip(at, means, values.max(0), strict=True):
            write_beside(axes, f'{mean:.3f}', (x, highest), (0, 3), ha='center')
    axes.set_xticks(np.arange(len(names)), names, rotation=0 if len(names) < 8 else 45)
    axes.set_ylim(0, min(1.05, 1.2 * max(ap_of(row, name) for row in rows for name in names)) or 1)
    axes.tick_params(axis='x', length=0)
    axes.grid(axis='y', color='#e5e5e5')
    axes.set_ylabel('AP50-95')
    axes.legend(frameon=False, fontsize=9, loc='lower right', bbox_to_anchor=(1, 1), ncol=2)
    return _png(figure)


def ap_of(row: Mapping[str, Any], name: str) -> float:
    """Return AP50-95 of a class, or of all for 'all'; 0 where it is undefined."""
    value = row['map50_95'] if name == 'all' else row['per_class'][name]['map50_95']
    return float(value) if value is not None and np.isfinite(value) else 0.0


def write_beside(
    axes: Any, text: str, at: tuple[float, float], offset: tuple[float, float], **align: str
) -> None:
    """Write a number so many points away from the end of its bar."""
    axes.annotate(text, at, offset, textcoords='offset points', fontsize=8, color=GREY, **align)


def _figure(title: str, below: str, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle(title, x=0.01, ha='left', fontsize=14, fontweight='bold')
    axes.set_title(below, loc='left', fontsize=9, color=GREY)
    axes.spines[['top', 'right']].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
