# SPDX-License-Identifier: Apache-2.0
"""Generated scenes: the same everywhere, all classes in them, labels of what is visible."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.cityscapes import NAMES
from kd_yolo_training.data.scenes import Scene, city_of, drive, render

SMALL = (256, 128)


def digest(scene: Scene) -> str:
    parts = [scene.picture.tobytes()]
    parts += [one.label.encode() + one.polygon.tobytes() for one in scene.objects]
    return hashlib.sha256(b''.join(parts)).hexdigest()


def test_a_picture_depends_on_seed_split_and_index_alone() -> None:
    """In another process, in another order and with other threads it is the same."""
    program = (
        'import cv2, hashlib\n'
        'from kd_yolo_training.data.scenes import render\n'
        'cv2.setNumThreads(3)\n'
        'for k in (5, 2):\n'
        '    scene = render(7, "train", k, (256, 128))\n'
        '    print(hashlib.sha256(scene.picture.tobytes()).hexdigest())\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    here = [
        hashlib.sha256(render(7, 'train', k, SMALL).picture.tobytes()).hexdigest() for k in (2, 5)
    ]
    assert done.stdout.split() == here[::-1]
    others = [
        digest(render(*key, SMALL)) for key in ((7, 'train', 3), (8, 'train', 2), (7, 'val', 2))
    ]
    assert len({digest(render(7, 'train', 2, SMALL)), *others}) == 4


@pytest.fixture(scope='module')
def scenes() -> list[Scene]:
    return [render(0, 'train', k, (384, 192)) for k in range(200)]


def test_all_classes_occur_and_cars_are_the_most_frequent(scenes: list[Scene]) -> None:
    counts = Counter(one.label for scene in scenes for one in scene.objects)
    assert set(NAMES) <= set(counts)
    groups = set(counts) - set(NAMES)
    assert groups and groups <= {'persongroup', 'bicyclegroup', 'cargroup'}
    assert counts.most_common(1)[0][0] == 'car'
    assert max(counts[rare] for rare in ('train', 'bus', 'motorcycle')) * 10 < counts['car']
    assert len({scene.weather for scene in scenes}) == 6


def test_polygons_lie_in_the_picture_and_boxes_are_their_extremes(scenes: list[Scene]) -> None:
    for scene in scenes:
        height, width = scene.picture.shape[:2]
        for one in scene.objects:
            x1, y1, x2, y2 = one.box
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            xs, ys = one.polygon[:, 0], one.polygon[:, 1]
            assert (x1, y1, x2, y2) == (xs.min(), ys.min(), xs.max(), ys.max())


def test_polygons_do_not_cover_each_other(scenes: list[Scene]) -> None:
    """They are outlines of what is visible: two share little more than their borders."""
    shared = total = 0
    for scene in scenes[:60]:
        covered = np.zeros(scene.picture.shape[:2], np.uint8)
        for one in scene.objects:
            mask = np.zeros_like(covered)
            cv2.fillPoly(mask, [np.rint(one.polygon).astype(np.int32)], 1)
            # Without the border, which OpenCV fills too.
            covered += cv2.erode(mask, np.ones((3, 3), np.uint8))
        shared += int((covered > 1).sum())
        total += int((covered > 0).sum())
    assert total > 0 and shared < 0.01 * total


def test_cities_of_the_splits_are_disjoint() -> None:
    cities = {split: {city_of(split, k).name for k in range(50)} for split in ('train', 'val')}
    assert len(cities['train']) == 8 and len(cities['val']) == 3
    assert not cities['train'] & cities['val']


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UserError, match="'test' is no split"):
        render(0, 'test', 0, SMALL)


def test_a_drive_moves_through_one_street() -> None:
    frames = list(drive(0, 4, 2.0, SMALL))
    assert len(frames) == 4
    assert len({digest(frame) for frame in frames}) == 4
    positions = [float(frame.camera.position[2]) for frame in frames]
    steps = np.diff(positions)
    assert (steps > 2).all() and np.ptp(steps) < 1e-6
    assert len({frame.city for frame in frames}) == 1
    assert [digest(frame) for frame in drive(0, 4, 2.0, SMALL)] == [digest(f) for f in frames]
