# SPDX-License-Identifier: Apache-2.0
"""Who hides whom, and what remains of those behind."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from kd_yolo_training.data.scenes.camera import Camera, Pose
from kd_yolo_training.data.scenes.canvas import Canvas
from kd_yolo_training.data.scenes.light import sample_light
from kd_yolo_training.data.scenes.mesh import MeshBuilder, Solid
from kd_yolo_training.data.scenes.outlines import visible_outlines

CLEAR = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def canvas() -> Canvas:
    camera = Camera.looking((0, 1, 0), 0, 0, 0, 1000, (512, 256), (1024, 512))
    return Canvas(camera, sample_light(Random(0), CLEAR))


def board(width: float, height: float, bottom: float = 0.0) -> Solid:
    """A board across the street."""
    build = MeshBuilder()
    build.on('-z', 0, (-width / 2, bottom, width / 2, bottom + height), (200, 50, 50))
    return Solid(((build.build(), (0, 0, 0)),), (width, height, 0))


def draw(canvas: Canvas, label: str | None, solid: Solid, x: float, z: float) -> None:
    canvas.start(label)
    solid.draw(canvas, Pose(x, z), 0)
    canvas.finish()


def test_a_board_is_where_the_pinhole_camera_puts_it(canvas: Canvas) -> None:
    draw(canvas, 'car', board(2, 1.5), 1, 20)
    ((label, polygon),) = visible_outlines(canvas)
    assert label == 'car'
    # x from 0 to 2 m, 1 m below to 0.5 m above the camera, at 50 px/m.
    expected = [512, 231, 612, 306]
    assert np.abs(np.concatenate([polygon.min(0), polygon.max(0)]) - expected).max() <= 1


def test_the_nearer_one_hides_the_farther_one(canvas: Canvas) -> None:
    draw(canvas, 'bus', board(4, 1.5), 0, 20)
    draw(canvas, 'car', board(2, 2), 1, 10)
    (far, rear), (near, front) = visible_outlines(canvas)
    assert (far, near) == ('bus', 'car')
    assert front[:, 0].min() == pytest.approx(512, abs=1)
    assert rear[:, 0].max() == pytest.approx(512, abs=1)  # the rest is hidden
    assert rear[:, 0].min() == pytest.approx(412, abs=1)


@pytest.mark.parametrize(('seen', 'kept'), [(0.1, False), (0.2, True)])
def test_what_is_hidden_for_more_than_85_percent_is_dropped(
    canvas: Canvas, seen: float, kept: bool
) -> None:
    draw(canvas, 'person', board(2, 1), 0, 10)
    draw(canvas, None, board(2, 1, bottom=0), -2 * seen, 9.99)
    assert bool(visible_outlines(canvas)) == kept


def test_what_a_pole_cuts_in_two_stays_one_object(canvas: Canvas) -> None:
    draw(canvas, 'truck', board(4, 2), 0, 20)
    draw(canvas, None, board(0.2, 6), 0, 15)
    ((_, polygon),) = visible_outlines(canvas)
    assert polygon[:, 0].min() == pytest.approx(412, abs=1)
    assert polygon[:, 0].max() == pytest.approx(612, abs=1)
    x, y = polygon.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(int((canvas.numbers == 1).sum()), rel=0.02)


def test_what_is_too_small_is_not_labelled(canvas: Canvas) -> None:
    draw(canvas, 'traffic sign', board(0.1, 0.1, bottom=2), 0, 60)
    assert canvas.instances[0].area > 0
    assert visible_outlines(canvas) == []
