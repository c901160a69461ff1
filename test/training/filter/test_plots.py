# SPDX-License-Identifier: Apache-2.0
"""The pictures of a comparison with three arms and with twenty."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.text import Text

from kd_yolo_training.filter import plots

CLASSES = ('car', 'person', 'traffic light')
INTERVAL = {'difference': 0.01, 'low': -0.01, 'high': 0.02}


def report(arms: int) -> dict:
    """A comparison of arms of two sizes of network; all but the last have the same AP."""
    names = ['plain', *(f'a-way-to-distil-{number}' for number in range(2, arms)), 'teacher']
    difference = {
        'level': 0.95,
        'map50_95': INTERVAL,
        'per_class': dict.fromkeys(CLASSES, INTERVAL),
    }
    rows = [
        {
            'name': name,
            'arm': name,
            'runs': 1,
            'map50_95': 0.3 if name == 'teacher' else 0.1,
            'gflops': 2.5 if name == 'teacher' else 0.7,
            'per_class': {key: {'map50_95': 0.1, 'instances': 9} for key in CLASSES},
        }
        for name in names
    ]
    return {
        'kind': 'compare',
        'data': 'scenes, val',
        'images': 50,
        'baseline': 'plain',
        'arms': rows,
        'results': rows,
        'differences': dict.fromkeys(names[1:], difference),
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """The figures, in the order in which they became PNGs: differences, runs, gflops."""
    figures: list = []
    to_png = plots.to_png
    monkeypatch.setattr(plots, 'to_png', lambda figure: figures.append(figure) or to_png(figure))
    return figures


@pytest.mark.parametrize('arms', [3, 20])
def test_all_is_inside_of_a_picture_of_some_size(drawn: list, arms: int) -> None:
    made = plots.comparison_plots(report(arms))
    for figure, (_, png) in zip(drawn, made.values(), strict=True):
        height, width, _ = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape
        assert width == 1080 and 300 < height < 1500
        box = figure.axes[0].get_tightbbox()
        assert min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.parametrize(
    ('arms', 'rows'), [(3, ['all', *(f'{name} (9)' for name in CLASSES)]), (20, None)]
)
def test_differences_of_many_arms_are_of_all_classes(
    drawn: list, arms: int, rows: list[str] | None
) -> None:
    given = report(arms)
    plots.comparison_plots(given)
    axes = drawn[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == (rows or list(given['differences']))
    assert (axes.get_legend() is None) == (rows is None)


def test_looks_of_twenty_arms_differ(drawn: list) -> None:
    given = report(20)
    plots.comparison_plots(given)
    points = [line for line in drawn[2].axes[0].lines if line.get_marker() != '_']
    assert len({(line.get_color(), line.get_marker()) for line in points}) == len(given['arms'])


@pytest.mark.parametrize('arms', [3, 20])
def test_labels_of_equal_arms_do_not_meet(drawn: list, arms: int) -> None:
    plots.comparison_plots(report(arms))
    axes = drawn[2].axes[0]
    assert len(axes.texts) == arms
    middles = sorted(
        (box.y0 + box.y1) / 2
        for text in axes.texts
        if text.get_text() != 'teacher'
        for box in [Text.get_window_extent(text)]  # without its line
    )
    assert np.diff(middles).min() > 8
