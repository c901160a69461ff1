# SPDX-License-Identifier: Apache-2.0
"""The folder of a training run: its settings, weights, figures and pictures.

`settings.yaml` repeats the run with `kd-yolo train --config`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.figure import GRID, make_figure, to_png
from kd_yolo_ros.metrics.report import write_json, write_whole

from ..models.tensor_file import write_tensors

SETTINGS = 'settings.yaml'
RESULTS = 'results.csv'
CURVES = 'curves.png'
PROBLEMS = 'problems.csv'
BEST = 'weights/best.safetensors'
LAST = 'weights/last.safetensors'
RESUME = 'weights/resume.safetensors'


def write_settings(folder: Path, options: Mapping[str, Any]) -> None:
    """Write the options that give this run, by their names on the command line."""
    text = yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True)
    write_whole(folder / SETTINGS, text.encode())


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what `write_settings` wrote; UserError where there is no run."""
    file = folder / SETTINGS
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise UserError(f'{folder} is no training run: it has no {SETTINGS}.') from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f'{file} cannot be read ({str(error).splitlines()[0]}).') from None
    if not isinstance(content, dict):
        raise UserError(f'{file} holds no settings.')
    return content


def write_weights(path: Path, state: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write a network's weights, with a copy of `info` beside them for people: a .json."""
    write_tensors(path, state, info)
    write_json(path.with_suffix('.json'), info)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of one form as CSV; numbers with six digits."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()})
    write_whole(path, text.getvalue().encode())


def write_curves(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Draw losses, AP and learning rate over the epochs."""
    titles = {
        'mask_map50_95': 'masks AP50-95',
        'mask_map50': 'masks AP50',
        'miou': 'mean IoU',
        'map50_95': 'AP50-95',
        'map50': 'AP50',
    }
    losses = [name for name in history[0] if name == 'masks' or name.startswith('distil_')]
    panels = (
        ('Training loss of a picture', ('box', 'objectness', 'classes', *losses)),
        ('On the select split', tuple(titles)),
        ('Learning rate', ('lr',)),
    )
    figure, every = make_figure('Training', '', 4.2, 11.0, len(panels))
    for axes, (title, keys) in zip(every, panels, strict=True):
        for key in keys:
            points = [(row['epoch'], row[key]) for row in history if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), '.-', label=titles.get(key, key))
        axes.set_title(title, loc='left', fontsize=10, fontweight='bold', pad=6)
        axes.set_xlabel('epoch')
        axes.set_ylim(bottom=0)
        axes.grid(color=GRID)
        if len(keys) > 1 and axes.lines:
            axes.legend(frameon=False, fontsize=8)
    write_whole(path, to_png(figure))
