# SPDX-License-Identifier: Apache-2.0
"""Means over seeds, and both trainers' pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_training.peers import OURS, THEIRS
from kd_yolo_training.peers.accuracy import means
from kd_yolo_training.peers.plots import accuracy_plot, speed_plot


def row(trainer: str, seed: int, ap: float) -> dict:
    return {
        'trainer': trainer,
        'seed': seed,
        'map50_95': ap,
        'map50': ap + 0.2,
        'images_per_s': 10.0 + seed,
        'train_s': 100.0,
        'per_class': {'green': {'map50_95': ap + 0.1}, 'red': {'map50_95': ap - 0.1}},
    }


ROWS = [row(OURS, 0, 0.5), row(THEIRS, 0, 0.4), row(OURS, 1, 0.6), row(THEIRS, 1, 0.2)]


def test_means_over_seeds() -> None:
    ours, theirs = means(ROWS)
    assert (ours['trainer'], theirs['trainer']) == (OURS, THEIRS)
    assert ours['map50_95'] == pytest.approx(0.55)
    assert ours['per_class']['red']['map50_95'] == pytest.approx(0.45)
    assert theirs['map50'] == pytest.approx(0.5)
    assert ours['images_per_s'] == pytest.approx(10.5)


def size(png: bytes) -> tuple[int, ...]:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture.std() > 5  # something is drawn
    return picture.shape[:2]


def test_plots_grow_with_what_they_show() -> None:
    speeds = [
        {'case': case, 'trainer': trainer, 'median': 4.0, 'p10': 3.0, 'p90': 5.0, 'ratio': None}
        for case in ('n 320 px', 's 320 px', 's 640 px')
        for trainer in (OURS, THEIRS)
    ]
    assert size(speed_plot(speeds, ''))[0] > size(speed_plot(speeds[:2], ''))[0]
    assert accuracy_plot(ROWS, '') != accuracy_plot(ROWS[:2], '')
    size(accuracy_plot(ROWS, ''))


def test_a_class_without_objects_has_no_bar() -> None:
    undefined = [row(OURS, 0, 0.5), row(THEIRS, 0, 0.4)]
    undefined[0]['per_class']['red']['map50_95'] = float('nan')
    size(accuracy_plot(undefined, ''))
