# SPDX-License-Identifier: Apache-2.0
"""Legends and labels that have room, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from kd_yolo_ros.metrics import variant_plots
from kd_yolo_ros.metrics.figure import legend, make_figure, spread, to_png


@pytest.mark.parametrize(('entries', 'rows'), [(3, 1), (20, 5)])
def test_a_legend_has_as_many_rows_as_it_takes(entries, rows):
    figure, axes = make_figure('Many arms', 'on some pictures', 4.0)
    names = [f'one-of-many-arms-{number}' for number in range(entries)]
    for name in names:
        axes.plot([0, 1], [0, 1], 'o', label=name)
    legend(axes, names)
    to_png(figure)
    box = axes.get_legend().get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    texts = axes.get_legend().get_texts()
    assert [text.get_text() for text in texts] == names
    assert len({round(text.get_window_extent().y0) for text in texts}) == rows
    # Neither the curves nor the subtitle are below it, nor the title below that.
    subtitle = axes._left_title
    assert axes.bbox.y1 <= box.y0 + 8
    assert box.y1 - 8 <= subtitle.get_window_extent().y0
    assert subtitle.get_window_extent().y1 <= figure._suptitle.get_window_extent().y0


@pytest.mark.parametrize(
    ('at', 'expected'),
    [
        ([], []),
        ([5.0], [5.0]),
        ([5.0, 1.0, 9.0], [5.0, 1.0, 9.0]),
        ([5.0, 5.0, 5.0], [4.0, 5.0, 6.0]),
        ([5.5, 5.0, 20.0], [5.75, 4.75, 20.0]),
        ([0.0, 0.0], [0.0, 1.0]),
        ([30.0, 30.0], [29.0, 30.0]),
    ],
)
def test_spread_moves_as_little_as_it_can(at, expected):
    assert spread(np.array(at), 1.0, 0.0, 30.0) == pytest.approx(np.array(expected))


def test_spread_without_enough_room_keeps_the_distance():
    assert spread(np.zeros(5), 1.0, 0.0, 2.0) == pytest.approx(np.arange(5))


def test_labels_of_equal_models_do_not_lie_over_each_other(monkeypatch):
    figures = []
    monkeypatch.setattr(
        variant_plots, 'to_png', lambda figure: figures.append(figure) or to_png(figure)
    )
    one = {'runtime': 'openvino', 'precision': 'int8', 'size_mb': 2.1, 'map50_95': 0.2}
    results = [{**one, 'artifact': f'model {n}', 'model_ms': {'p50': 9 + n % 2}} for n in range(8)]
    made = variant_plots.variant_plots({'host': {'cpu': 'a CPU'}, 'results': results})
    assert list(made) == ['ap_over_latency.png']
    axes = figures[0].axes[0]
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 8
    for number, box in enumerate(boxes):
        assert box.y0 > axes.bbox.y0 and box.y1 < axes.bbox.y1
        for other in boxes[:number]:
            lower, upper = sorted((box, other), key=lambda one: one.y0)
            beside = box.x1 <= other.x0 or other.x1 <= box.x0
            assert beside or lower.y1 <= upper.y0 + 0.01
