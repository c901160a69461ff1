# SPDX-License-Identifier: Apache-2.0
"""How many objects of each class a data set's splits have: as numbers, a table and a plot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .dataset import Picture

_COLOURS = {'fit': '#08519c', 'calibrate': '#bdbdbd', 'select': '#6baed6', 'val': '#238b45'}
_OTHER = '#756bb1'
_GREY = '#555555'
MAX_CLASSES = 30  # bars that stay readable

Counts = dict[str, dict[str, Any]]


def count(splits: Mapping[str, Sequence[Picture]], names: Sequence[str]) -> Counts:
    """Return pictures, background, crowd, soft and instances by class name for each split.

    Crowd regions are counted apart and are no instances; soft labels are.
    """
    counts: Counts = {}
    for split, pictures in splits.items():
        ids = [picture.class_ids[~picture.crowd] for picture in pictures]
        per_class = np.bincount(np.concatenate([*ids, np.zeros(0, int)]), minlength=len(names))
        counts[split] = {
            'pictures': len(pictures),
            'background': sum(not len(picture.class_ids) for picture in pictures),
            'crowd': sum(int(picture.crowd.sum()) for picture in pictures),
            'soft': sum(int(picture.soft.sum()) for picture in pictures),
            'instances': dict(zip(names, per_class.tolist(), strict=True)),
        }
    return counts


def table(counts: Counts) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows for `print_table`: classes down, splits across."""
    splits = list(counts)
    names = counts[splits[0]]['instances']
    rows = [[name, *(counts[split]['instances'][name] for split in splits)] for name in names]
    rows.append(['all', *(sum(counts[split]['instances'].values()) for split in splits)])
    if any(counts[split]['soft'] for split in splits):
        rows.append(['of them soft labels', *(counts[split]['soft'] for split in splits)])
    for key, title in (
        ('crowd', 'crowd regions'),
        ('pictures', 'pictures'),
        ('background', 'of them without objects'),
    ):
        rows.append([title, *(counts[split][key] for split in splits)])
    return ['class', *splits], rows


def plot(counts: Counts, title: str) -> bytes:
    """Return instances per class and split as bars on a logarithmic scale, a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    splits = list(counts)
    totals = {
        name: sum(counts[split]['instances'][name] for split in splits)
        for name in counts[splits[0]]['instances']
    }
    names = sorted(totals, key=lambda name: -totals[name])[:MAX_CLASSES]
    if len(names) < len(totals):
        title = f'the {len(names)} most frequent of {len(totals)} classes · {title}'
    figure = Figure(figsize=(9, 1.9 + 0.16 * len(names) * (1 + len(splits))), dpi=120)
    figure.set_layout_engine('constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle('Instances per class', x=0.01, ha='left', fontsize=14, fontweight='bold')
    axes.set_title(title, loc='left', fontsize=9, color=_GREY, pad=28)
    height = 0.84 / len(splits)
    positions = np.arange(len(names))
    for number, split in enumerate(splits):
        values = [counts[split]['instances'][name] for name in names]
        offsets = positions + (number - (len(splits) - 1) / 2) * height
        colour = _COLOURS.get(split, _OTHER)
        label = f'{split} ({counts[split]["pictures"]} pictures)'
        axes.barh(offsets, values, height=height * 0.92, color=colour, label=label)
        for offset, value in zip(offsets, values, strict=True):
            axes.text(max(value, 1) * 1.05, offset, value, va='center', fontsize=7, color=_GREY)
    axes.set_xscale('log')
    axes.set_xlim(0.8, max([*totals.values(), 1]) * 2)
    axes.set_yticks(positions, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis='y', length=0)
    axes.spines[['top', 'right']].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis='x', color='#e5e5e5')
    axes.set_xlabel('objects (logarithmic)')
    axes.legend(
        loc='lower left', bbox_to_anchor=(-0.01, 0.99), ncol=len(splits), frameon=False, fontsize=9
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()
