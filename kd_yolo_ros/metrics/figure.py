# SPDX-License-Identifier: Apache-2.0
"""The look that all plots of a report share: heading, axes, legend, colours."""

from __future__ import annotations

import io
import textwrap
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

GREY = '#555555'
GRID = '#e5e5e5'
BELOW: Dict[str, Any] = {'loc': 'left', 'fontsize': 9, 'color': GREY}  # of the subtitle
LEGEND_ROW = 15.0  # points
LEGEND_WIDTH = 0.84  # of the figure; the rest is left to the axis' labels
LABEL_GAP = 9.0  # points between a label and what it names


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
    first.set_title(textwrap.shorten(below, 110, placeholder=' …'), pad=28, **BELOW)
    for one in figure.axes:
        one.spines[['top', 'right']].set_visible(False)
        one.set_axisbelow(True)
    return figure, axes


def legend(axes: Any, order: Sequence[str]) -> None:
    """Put the legend between the subtitle and the axes, clear of the data.

    It has as many rows as it takes; the subtitle makes room for them.
    """
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles))
    figure = axes.figure
    for columns in range(len(order), 0, -1):
        drawn = axes.legend(
            [by_label[name] for name in order],
            order,
            loc='lower left',
            bbox_to_anchor=(-0.01, 0.99),
            ncol=columns,
            frameon=False,
            fontsize=9,
        )
        width = drawn.get_window_extent(figure.canvas.get_renderer()).width
        if width <= LEGEND_WIDTH * figure.bbox.width:
            break
    rows = -(-len(order) // columns)
    axes.set_title(axes.get_title(loc='left'), pad=28 + (rows - 1) * LEGEND_ROW, **BELOW)


def label_points(
    axes: Any,
    points: Sequence[Tuple[float, float]],
    texts: Sequence[str],
    colours: Sequence[str],
    gap: float = LABEL_GAP,
) -> None:
    """Write a label right of each point; those that would meet move apart, up and down.

    Call it last, since later changes of limits or layout would move the points alone.

    Args:
        axes: with their final limits.
        points: (x, y) of each label, in the axes' data.
        texts: the labels.
        colours: of the lines from labels to points.
        gap: length of such a line, in 1/72 inch.
    """
    figure = axes.figure
    labels = [
        axes.annotate(
            text,
            point,
            (gap, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
            color=GREY,
            arrowprops={
                'arrowstyle': '-',
                'color': colour,
                'linewidth': 0.7,
                'relpos': (0, 0.5),
                'shrinkA': 0,
                'shrinkB': 0,
            },
        )
        for text, point, colour in zip(texts, points, colours)
    ]
    figure.draw_without_rendering()  # settles the layout, labels included
    boxes = [label.get_window_extent() for label in labels]
    order = sorted(range(len(boxes)), key=lambda number: boxes[number].x0)
    groups: List[List[int]] = []  # labels that meet, one after the other, from left to right
    end = -np.inf
    for number in order:
        if boxes[number].x0 > end:
            groups.append([])
        groups[-1].append(number)
        end = max(end, boxes[number].x1)
    for group in groups:
        height = max(boxes[number].height for number in group)
        at = np.array([(boxes[number].y0 + boxes[number].y1) / 2 for number in group])
        low, high = axes.bbox.y0 + height / 2, axes.bbox.y1 - height / 2
        for number, moved in zip(group, spread(at, height, low, high) - at):
            labels[number].xyann = (gap, moved * 72 / figure.dpi)


def spread(at: np.ndarray, apart: float, low: float, high: float) -> np.ndarray:
    """Return (N,) numbers near `at`, in its order, `apart` from each other and in low..high.

    The sum of squared moves is the least (isotonic regression by pooling); where there is too
    little room they begin at `low`.
    """
    order = np.argsort(at, kind='stable')
    steps = apart * np.arange(len(at))
    pools: List[Tuple[float, int]] = []  # the mean of neighbours that move together, how many
    for value in at[order] - steps:
        pool = (float(value), 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, count = pools.pop()
            both = count + pool[1]
            pool = ((mean * count + pool[0] * pool[1]) / both, both)
        pools.append(pool)
    flat = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    top = max(low, high - apart * (len(at) - 1))
    placed = np.empty(len(at))
    placed[order] = np.clip(flat, low, top) + steps
    return placed


def to_png(figure: Any) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
