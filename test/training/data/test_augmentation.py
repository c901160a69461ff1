# SPDX-License-Identifier: Apache-2.0
"""Augmentation: labels follow the pixels, and a sample has no history."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from shapes import COLOURS, write_shapes

from kd_yolo_training.data.augmentation import Augmentation, Augmenter
from kd_yolo_training.data.picture_store import PictureStore
from kd_yolo_training.data.read import read_dataset

IMGSZ = 160
PLAIN = Augmentation(mosaic=0, translate=0, scale=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0, flipud=0)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    return read_dataset(
        write_shapes(tmp_path_factory.mktemp('shapes'), size=(320, 240)), 'fit'
    ).pictures


def augmenter(pictures, settings=None, outlines=False):
    store = PictureStore(pictures, IMGSZ)
    return Augmenter(pictures, store, settings or Augmentation(), outlines)


def colour_at(sample, box):
    x, y = (np.array(box[:2]) * IMGSZ).round().astype(int)
    return sample.image[min(y, IMGSZ - 1), min(x, IMGSZ - 1)].astype(int)


@pytest.mark.parametrize('outlines', [False, True])
@pytest.mark.parametrize('mosaic', [False, True])
def test_boxes_lie_on_their_objects(pictures, mosaic, outlines):
    settings = Augmentation(hsv_h=0, hsv_s=0, hsv_v=0, flipud=0.5, degrees=5.0 if outlines else 0)
    made = augmenter(pictures, settings, outlines)
    looked_at = 0
    for index in range(len(pictures)):
        sample = made.sample(index, (0, 1), mosaic)
        assert sample.image.shape == (IMGSZ, IMGSZ, 3) and sample.image.dtype == np.uint8
        assert sample.boxes.shape == (len(sample.class_ids), 4)
        for box, class_id in zip(sample.boxes, sample.class_ids, strict=True):
            inside = (box[:2] - box[2:] / 2 >= -1e-4).all() and (
                box[:2] + box[2:] / 2 <= 1 + 1e-4
            ).all()
            assert inside
            cut = (box[:2] - box[2:] / 2 < 0.02).any() or (box[:2] + box[2:] / 2 > 0.98).any()
            if cut or mosaic:  # the centre of a cut triangle may lie outside of it
                continue
            assert np.abs(colour_at(sample, box) - COLOURS[class_id]).max() < 60
            looked_at += 1
    assert mosaic or looked_at > 10


def test_without_chance_a_sample_is_the_letterboxed_picture(pictures):
    sample = augmenter(pictures, PLAIN).sample(0, (0,))
    picture = pictures[0]
    width, height = IMGSZ, IMGSZ * 3 // 4
    left_top = np.array((0, (IMGSZ - height) / 2))
    corners = picture.boxes.reshape(-1, 2, 2) * (width, height) + left_top
    centre, size = corners.mean(1) / IMGSZ, (corners[:, 1] - corners[:, 0]) / IMGSZ
    np.testing.assert_allclose(sample.boxes, np.concatenate((centre, size), 1), atol=0.01)
    assert (sample.image[: int(left_top[1]) - 1] == 114).all()


def test_equal_seeds_give_equal_samples_whatever_came_before(pictures):
    first = augmenter(pictures)
    second = augmenter(pictures)
    for index in (5, 2, 7):
        second.sample(index, (9, 9))
    a, b = first.sample(3, (0, 4)), second.sample(3, (0, 4))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    c = first.sample(3, (0, 5))
    assert not np.array_equal(a.image, c.image)


def test_mosaics_draw_from_all_pictures(pictures):
    """ultralytics draws from recently used ones unless it is told otherwise."""
    made = augmenter(pictures)
    drawn = []
    load = made._labels.get_image_and_label
    made._labels.get_image_and_label = lambda index: drawn.append(index) or load(index)
    for epoch in range(12):
        made.sample(0, (0, epoch))
    assert len(set(drawn)) > len(pictures) * 0.8


def test_crowds_are_not_trained_on(pictures):
    import dataclasses

    crowd = [dataclasses.replace(p, crowd=np.ones(len(p.boxes), bool)) for p in pictures]
    assert len(augmenter(crowd, outlines=True).sample(0, (0,)).boxes) == 0


def test_weights_go_where_their_labels_go(pictures):
    """Through mosaics, blends, cuts and flips: each class has a weight of its own here."""
    import dataclasses

    soft = [
        dataclasses.replace(p, weights=(0.25 * (1 + p.class_ids)).astype(np.float32))
        for p in pictures
    ]
    settings = Augmentation(mixup=0.5, flipud=0.5)
    plain, weighted = augmenter(pictures, settings), augmenter(soft, settings)
    found = set()
    for index in range(len(pictures)):
        for mosaic in (True, False):
            before, sample = (made.sample(index, (3,), mosaic) for made in (plain, weighted))
            assert all(map(np.array_equal, before[:4], sample[:4]))
            assert before.weights.tolist() == [1] * len(before.boxes)
            assert sample.weights.dtype == np.float32
            assert sample.weights.tolist() == (0.25 * (1 + sample.class_ids)).tolist()
            found |= set(sample.weights.tolist())
    assert found == {0.25, 0.5, 0.75}


def test_blur_and_equalization(pictures):
    plain = augmenter(pictures, PLAIN).sample(0, (0,)).image
    import dataclasses

    blurred = augmenter(pictures, dataclasses.replace(PLAIN, blur=1.0)).sample(0, (0,)).image
    equal = augmenter(pictures, dataclasses.replace(PLAIN, equalize=1.0)).sample(0, (0,)).image
    rows = slice(IMGSZ // 8 + 2, -IMGSZ // 8 - 2)
    assert np.diff(blurred[rows].astype(int), axis=1).std() < (
        0.9 * np.diff(plain[rows].astype(int), axis=1).std()
    )
    assert equal[rows].std() > 1.1 * plain[rows].std()


def test_importing_ultralytics_leaves_nothing_behind(tmp_path):
    """Neither settings in the home folder, nor torchvision, which its build may not match."""
    program = (
        'import sys\n'
        'from kd_yolo_training.data.augmentation import _ultralytics_augment\n'
        'from PIL import Image\n'
        'before = Image.open\n'
        '_ultralytics_augment()\n'
        'assert Image.open is before\n'
        'assert "torchvision" not in sys.modules\n'
    )
    environment = {'HOME': str(tmp_path), 'PATH': '/usr/bin:/bin'}
    done = subprocess.run(
        [sys.executable, '-c', program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert done.stdout == ''
