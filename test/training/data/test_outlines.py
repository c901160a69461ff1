# SPDX-License-Identifier: Apache-2.0
"""Outlines as points, and masks of them, against pycocotools on whole polygons."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pycocotools import mask as coco
from shapes import write_shapes

from kd_yolo_training.data.augmentation import Augmentation, Augmenter
from kd_yolo_training.data.loader import TrainingBatches
from kd_yolo_training.data.outlines import OUTLINE_POINTS, UNKNOWN, mask_of, outline
from kd_yolo_training.data.picture_store import PictureStore
from kd_yolo_training.data.read import read_dataset

IMGSZ = 160
PLAIN = Augmentation(mosaic=0, translate=0, scale=0, hsv_h=0, hsv_s=0, hsv_v=0, fliplr=0, flipud=0)


def filled(rings, height, width):
    """Return what whole polygons cover: pycocotools' union of them."""
    pixels = [(ring.astype(float) * (width, height)).ravel().tolist() for ring in rings]
    return coco.decode(coco.merge(coco.frPyObjects(pixels, height, width)))


def agreement(a, b):
    return (a & b).sum() / (a | b).sum()


def star(x, y, size, corners=7):
    angles = np.linspace(0, 2 * np.pi, 2 * corners, endpoint=False)
    reach = np.where(np.arange(2 * corners) % 2, 0.5, 1.0) * size
    return np.stack((x + reach * np.cos(angles), y + reach * np.sin(angles)), 1).astype(np.float32)


PIECES = {
    'one': [star(0.5, 0.5, 0.4)],
    'two apart': [star(0.25, 0.3, 0.2), star(0.75, 0.6, 0.2)],
    # One line through all of them would enclose what lies between the three.
    'three apart': [star(0.2, 0.2, 0.15), star(0.8, 0.25, 0.15), star(0.5, 0.8, 0.15)],
    'overlapping': [star(0.4, 0.5, 0.3), star(0.6, 0.5, 0.3)],
    'many': [star(0.1 + 0.16 * (i % 6), 0.1 + 0.16 * (i // 6), 0.07, 3) for i in range(30)],
    'with a speck': [star(0.5, 0.5, 0.4), star(0.05, 0.05, 0.004, 3)],
}


@pytest.mark.parametrize('name', PIECES)
def test_pieces(name):
    rings = PIECES[name]
    points, ends = outline(rings)
    assert points.shape == (OUTLINE_POINTS, 2) and points.dtype == np.float32
    assert ends[-1] == OUTLINE_POINTS and list(ends) == sorted(ends)
    every = np.concatenate(rings)
    np.testing.assert_allclose(points.min(0), every.min(0), atol=1e-6)
    np.testing.assert_allclose(points.max(0), every.max(0), atol=1e-6)
    mask = mask_of(points, ends, 240, 320)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
    assert agreement(mask, filled(rings, 240, 320)) > (0.7 if name == 'many' else 0.985)


def test_more_pieces_than_points():
    rings = [star(0.02 + 0.09 * (i % 11), 0.02 + 0.09 * (i // 11), 0.02, 3) for i in range(121)]
    rings[60] = star(0.5, 0.5, 0.2)
    points, ends = outline(rings)
    assert len(points) == OUTLINE_POINTS
    every = np.concatenate(rings)
    np.testing.assert_allclose(points.min(0), every.min(0), atol=1e-6)
    np.testing.assert_allclose(points.max(0), every.max(0), atol=1e-6)
    largest = filled([rings[60]], 240, 240)
    assert (mask_of(points, ends, 240, 240) & largest).sum() > 0.95 * largest.sum()


def test_a_line_of_many_corners_and_one_of_no_length():
    angles = np.linspace(0, 2 * np.pi, 900, endpoint=False)
    ring = (0.5 + 0.4 * np.stack((np.cos(angles), np.sin(angles)), 1)).astype(np.float32)
    points, ends = outline([ring])
    assert len(points) == OUTLINE_POINTS
    assert agreement(mask_of(points, ends, 160, 160), filled([ring], 160, 160)) > 0.98
    dot, ends = outline([np.full((5, 2), 0.5, np.float32)])
    assert dot.shape == (OUTLINE_POINTS, 2) and (dot == 0.5).all()
    assert mask_of(dot, ends, 40, 40).sum() == 1


def test_without_polygons_it_is_the_box():
    points, _ = outline([], np.array((0.1, 0.2, 0.5, 0.9)))
    assert points.min(0).tolist() == pytest.approx([0.1, 0.2])
    assert points.max(0).tolist() == pytest.approx([0.5, 0.9])


def test_no_point_is_far_from_the_next():
    """However the corners lie: what is cut has the box of the points inside."""
    for fine in (20, 60, 100, 115, 122, 200):
        turn = np.linspace(0, np.pi, fine)
        arc = np.stack((0.9 + 0.1 * np.sin(turn), 0.5 - 0.2 * np.cos(turn)), 1)
        ring = np.concatenate((((0, 0.7), (0, 0.3)), arc)).astype(np.float32)
        points, _ = outline([ring])
        steps = np.linalg.norm(points - np.roll(points, 1, 0), axis=1)
        assert steps.max() < 2.5 * steps.sum() / OUTLINE_POINTS


@pytest.mark.parametrize('name', PIECES)
def test_a_box_that_the_pieces_do_not_fill(name):
    box = np.array((0.3, 0.1, 0.98, 1.0), np.float32)
    rings = [ring.clip((0.3, 0.1), (0.98, 1)) for ring in PIECES[name]]
    points, ends = outline(PIECES[name], box)
    assert len(points) == OUTLINE_POINTS > ends[-1]
    assert (points.min(0) == box[:2]).all() and (points.max(0) == box[2:]).all()
    mask = mask_of(points, ends, 240, 320)
    assert agreement(mask, filled(rings, 240, 320)) > (0.6 if name == 'many' else 0.97)


def test_cut_at_the_border():
    """As the transforms do it: points that are outside are moved to the border."""
    rings = PIECES['two apart']
    points, ends = outline(rings)
    for shift in ((0.3, 0), (-0.4, 0.2), (0, 0.55)):
        moved = [ring + np.float32(shift) for ring in rings]
        whole = filled([(ring + 1) / 3 for ring in moved], 480, 480)[160:320, 160:320]
        mask = mask_of((points + np.float32(shift)).clip(0, 1), ends, 160, 160)
        assert whole.any() and agreement(mask, whole) > 0.97


@pytest.mark.parametrize('centre', [(0.0, 0.0), (0.5, 0.5), (1.0, 0.999), (0.3, 1.0)])
def test_what_is_smaller_than_a_pixel_has_one(centre):
    ring = np.array(((0, 0), (1, 0), (1, 1)), np.float32) * 1e-4 + np.float32(centre)
    mask = mask_of(*outline([ring]), 16, 16)
    row, column = (min(int(value * 16), 15) for value in centre[::-1])
    assert mask.sum() == 1 and abs(np.argwhere(mask)[0] - (row, column)).max() <= 1


# ---- through augmentation


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = write_shapes(tmp_path_factory.mktemp('shapes'), size=(320, 240))
    return read_dataset(folder, 'fit').pictures


def read_one(folder):
    """Return one square picture."""
    folder = write_shapes(folder, size=(160, 160))
    return read_dataset(folder, 'fit').pictures[:1]


def augmenter(pictures, settings, masks=True):
    return Augmenter(pictures, PictureStore(pictures, IMGSZ), settings, masks=masks)


def test_masks_of_an_unchanged_picture(pictures):
    made = augmenter(pictures, PLAIN)
    alike = []
    for index, picture in enumerate(pictures):
        sample = made.sample(index, (0,))
        assert sample.masks.shape == (len(picture.boxes), IMGSZ // 4, IMGSZ // 4)
        for mask, rings in zip(sample.masks, picture.polygons, strict=True):
            letterboxed = [ring * (1, 0.75) + (0, 0.125) for ring in rings]
            wanted = filled(letterboxed, IMGSZ // 4, IMGSZ // 4)
            alike.append(agreement(mask, wanted))
    assert min(alike) > 0.8 and np.mean(alike) > 0.95, 'of 10 to 100 pixels each'


@pytest.mark.parametrize('mosaic', [False, True])
def test_masks_lie_on_their_pixels(pictures, mosaic):
    """The shapes have colours of their own, and the noise has none."""
    settings = Augmentation(
        hsv_h=0, hsv_s=0, hsv_v=0, flipud=0.5, degrees=20, shear=5, perspective=0.0005
    )
    made = augmenter(pictures, settings)
    inside, outside = [], []
    for index in range(len(pictures)):
        sample = made.sample(index, (0, 1), mosaic)
        assert len(sample.masks) == len(sample.boxes) and UNKNOWN not in sample.masks
        colourful = np.ptp(sample.image.astype(int), 2)[2::4, 2::4] > 70
        covered = sample.masks.any(0)
        if covered.sum() > 50:
            inside.append(colourful[covered].mean())
        outside.append(colourful[~covered].mean())
    assert np.mean(inside) > 0.9 and np.mean(outside) < 0.01


def test_boxes_without_outlines_have_no_mask(pictures):
    """It is not the box either. Which one it is goes along through all transforms."""
    mixed = [
        dataclasses.replace(
            p,
            polygons=tuple(
                () if c == 1 else r for r, c in zip(p.polygons, p.class_ids, strict=True)
            ),
        )
        for p in pictures
    ]
    seen = set()
    made = augmenter(mixed, Augmentation(mixup=0.5, degrees=10))
    for index in range(len(mixed)):
        sample = made.sample(index, (1,))
        for mask, class_id in zip(sample.masks, sample.class_ids, strict=True):
            assert (mask == UNKNOWN).all() if class_id == 1 else mask.max() == 1
            seen.add(int(class_id))
    assert seen == {0, 1, 2}


def shrunk(pictures, to):
    """Return the pictures with the outlines shrunk to a part of them, in a corner of the box."""

    def smaller(picture):
        corners = picture.boxes[:, :2]
        polygons = tuple(
            tuple((corner + (ring - corner) * to).astype(np.float32) for ring in rings)
            for corner, rings in zip(corners, picture.polygons, strict=True)
        )
        return dataclasses.replace(picture, polygons=polygons)

    return [smaller(picture) for picture in pictures]


@pytest.mark.parametrize('to', [0.6, 0.05])
def test_labelled_boxes_count_where_masks_are_partial(pictures, to):
    """Else such objects are trained on with the wrong box, or as background."""
    for settings in (PLAIN, Augmentation(degrees=0, mixup=0.2)):
        boxes_only = augmenter(pictures, settings, masks=False)
        made = augmenter(shrunk(pictures, to), settings)
        for index in range(len(pictures)):
            wanted, sample = boxes_only.sample(index, (5,)), made.sample(index, (5,))
            assert np.array_equal(wanted.image, sample.image)
            # Of what is cut off almost whole the transforms keep less without outlines.
            rest = list(zip(sample.class_ids.tolist(), sample.boxes, strict=True))
            for class_id, box in zip(wanted.class_ids.tolist(), wanted.boxes, strict=True):
                near = [np.abs(box - other).max() for c, other in rest if c == class_id]
                assert near and min(near) < 0.5 / IMGSZ
            if settings is PLAIN:
                np.testing.assert_allclose(wanted.boxes, sample.boxes, atol=1e-4)
                full = augmenter(pictures, PLAIN).sample(index, (5,))
                areas, all_of = (s.masks.sum((1, 2)) for s in (sample, full))
                assert (areas <= all_of * to**2 * 2 + 5).all() and (areas > 0).all()


@pytest.mark.parametrize('part', [(0, 0, 1, 1), (0, 0.2, 1, 1), (0.3, 0, 0.9, 1)])
def test_an_object_larger_than_the_sample(tmp_path, part):
    """Cut on all sides, it has the whole picture for its box, whatever its mask covers."""
    (picture,) = read_one(tmp_path)
    x1, y1, x2, y2 = part
    mask = np.array(((x1, y1), (x2, y1), (x2, y2), (x1, y2)), np.float32)
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.99]], np.float32)
    picture = dataclasses.replace(
        picture,
        boxes=boxes,
        class_ids=np.zeros(2, np.int64),
        crowd=np.zeros(2, bool),
        polygons=((mask,), (mask * (1, 0.9),)),
        weights=None,
    )
    settings = dataclasses.replace(PLAIN, scale=0.9)
    zoomed = augmenter([picture], settings)
    plain = augmenter([picture], settings, masks=False)
    zooms = 0
    for seed in range(12):
        sample, wanted = zoomed.sample(0, (seed,)), plain.sample(0, (seed,))
        np.testing.assert_allclose(sample.boxes, wanted.boxes, atol=1e-4)
        zooms += wanted.boxes[0, 2] > 0.999
    assert zooms > 2


def test_boxes_of_whole_masks_are_those_of_a_detection_run(pictures):
    made, boxes_only = augmenter(pictures, PLAIN), augmenter(pictures, PLAIN, masks=False)
    for index in range(len(pictures)):
        sample, wanted = made.sample(index, (0,)), boxes_only.sample(index, (0,))
        np.testing.assert_allclose(sample.boxes, wanted.boxes, atol=1 / IMGSZ)


def test_boxes_alone_are_augmented_as_ever(pictures):
    settings = Augmentation(mixup=0.5)
    plain = augmenter(pictures, settings, masks=False).sample(3, (2,))
    assert plain.masks is None and len(plain.outlines) == 0
    sample = augmenter(pictures, settings).sample(3, (2,))
    assert np.array_equal(plain.image, sample.image)


def test_batches_have_a_mask_for_every_target(pictures):
    made = augmenter(pictures, Augmentation())
    batch = next(TrainingBatches(made, len(pictures), 4, 0).epoch(0))
    assert batch.masks.shape == (len(batch.targets), IMGSZ // 4, IMGSZ // 4)
    for target, mask in zip(batch.targets.numpy(), batch.masks.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        x, y, w, h = target[2:6] * IMGSZ / 4
        assert columns.min() + 1 >= x - w / 2 - 0.6 and columns.max() <= x + w / 2 + 0.6
        assert rows.min() + 1 >= y - h / 2 - 0.6 and rows.max() <= y + h / 2 + 0.6
    alone = augmenter(pictures, Augmentation(), masks=False)
    assert next(TrainingBatches(alone, len(pictures), 4, 0).epoch(0)).masks is None
