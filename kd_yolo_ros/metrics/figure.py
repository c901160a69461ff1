# SPDX-License-Identifier: Apache-2.0
"""The look that all plots of a report share: heading, axes, legend, colours."""

from __future__ import annotations

import io
import textwrap
from typing import Any, Sequence, Tuple

GREY = '#555555'
GRID = '#e5e5e5'


def make_figure(
    title: str, below: str, height: float, width: float = 9.0, panels: int = 1
) -> Tuple[Any, Any]:
    """Return a figure of width x height inches and its axes, an array of several panels.

    Uses matplotlib's objects, not pyplot: no display, no state shared with the caller.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels)
    figure.suptitle(title, x=0.01, ha='left', fontsize=14, fontweight='bold')
    first = axes if panels == 1 else axes[0]
    first.set_title(
        textwrap.shorten(below, 110, placeholder=' …'), loc='left', fontsize=9, color=GREY, pad=28
    )
    for one in figure.axes:
        one.spines[['top', 'right']].set_visible(False)
        one.set_axisbelow(True)
    return figure, axes


def legend(axes: Any, order: Sequence[str]) -> None:
    """Put the legend between the subtitle and the axes, clear of the data."""
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles))
    axes.legend(
        [by_label[name] for name in order],
        order,
        loc='lower left',
        bbox_to_anchor=(-0.01, 0.99),
        ncol=len(order),
        frameon=False,
        fontsize=9,
    )


def to_png(figure: Any) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
