# SPDX-License-Identifier: Apache-2.0
"""Whose the pixels of a semantic map are, and what Cityscapes' maps say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from shapes import NAMES, write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.ground_truth import Truth, read_coco
from kd_yolo_training.cli.data import data as data_verb
from kd_yolo_training.cli.data_weak_masks import agreement_rows
from kd_yolo_training.data.dataset import Picture
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.data.semantic_maps import SemanticMaps
from kd_yolo_training.data.weak_masks import agreement, painted, with_pseudo_masks

WIDTH, HEIGHT = 60, 40
CAR, BUS = 0, 1


def picture(*objects, file='a.png', size=(WIDTH, HEIGHT)):
    """Build a picture of (class, x1 y1 x2 y2) without masks; a third value marks a crowd."""
    boxes = np.array([box for _, box, *_ in objects], np.float32).reshape(-1, 4)
    return Picture(
        Path(file),
        boxes / np.array(size * 2, np.float32),
        np.array([class_id for class_id, *_ in objects], np.int64),
        np.array([bool(rest) for _, _, *rest in objects], bool),
        ((),) * len(objects),
        size,
    )


def semantic(*painted):
    """Build a map of (class, x1 y1 x2 y2), later ones on top."""
    labels = np.full((HEIGHT, WIDTH), -1)
    for class_id, (x1, y1, x2, y2) in painted:
        labels[y1:y2, x1:x2] = class_id
    return labels


def masks_of(one):
    from pycocotools import mask

    truth = Truth(one.boxes.astype(float), one.class_ids, one.crowd, (1, 1), one.polygons)
    known = truth.has_mask
    rles = truth.masks_on(*one.size)
    return [mask.decode(r).astype(bool) if k else None for r, k in zip(rles, known, strict=True)]


def expected(*painted):
    return semantic(*((0, box) for box in painted)) == 0


def test_an_object_is_what_its_box_holds_of_its_class():
    one = picture((CAR, (10, 10, 30, 20)), (BUS, (20, 5, 50, 30)))
    labels = semantic((BUS, (20, 5, 50, 30)), (CAR, (12, 10, 30, 20)), (CAR, (52, 0, 54, 2)))
    car, bus = masks_of(with_pseudo_masks(one, labels))
    np.testing.assert_array_equal(car, expected((12, 10, 30, 20)))
    np.testing.assert_array_equal(bus, labels == BUS)


def test_of_two_boxes_of_a_class_the_smaller_has_the_pixels():
    one = picture((CAR, (0, 0, 40, 30)), (CAR, (30, 10, 50, 25)))
    labels = semantic((CAR, (0, 0, 40, 30)), (CAR, (30, 10, 50, 25)))
    large, small = masks_of(with_pseudo_masks(one, labels))
    np.testing.assert_array_equal(small, expected((30, 10, 50, 25)))
    np.testing.assert_array_equal(large, expected((0, 0, 40, 30)) & ~small)


def test_an_object_that_something_cuts_in_two_keeps_both_pieces():
    one = picture((CAR, (0, 0, 40, 30)))
    labels = semantic((CAR, (0, 0, 40, 30)), (BUS, (18, 0, 22, 30)))
    found = with_pseudo_masks(one, labels)
    np.testing.assert_array_equal(masks_of(found)[0], labels == CAR)
    assert len(found.polygons[0]) == 2


def test_what_lies_mostly_outside_of_the_box_is_another_s():
    """A car without a box (far more of it is outside), and the car's own roof, less of it."""
    one = picture((CAR, (10, 10, 30, 30)))
    other, own, roof = (27, 10, 45, 14), (10, 16, 30, 30), (15, 7, 25, 16)
    labels = semantic((CAR, other), (CAR, own), (CAR, roof))
    (car,) = masks_of(with_pseudo_masks(one, labels))
    np.testing.assert_array_equal(car, expected(own, (15, 10, 25, 16)))


def test_crowds_compete_and_get_no_mask():
    one = picture((CAR, (0, 0, 40, 30)), (CAR, (20, 0, 40, 30), True))
    labels = semantic((CAR, (0, 0, 40, 30)))
    car, crowd = masks_of(with_pseudo_masks(one, labels))
    np.testing.assert_array_equal(car, expected((0, 0, 20, 30)))
    assert crowd is None


def test_an_object_without_a_pixel_has_its_box_only():
    one = picture((CAR, (0, 0, 10, 10)), (CAR, (0, 0, 10, 10)), (BUS, (1, 1, 1.2, 9)))
    found = with_pseudo_masks(one, semantic((CAR, (0, 0, 10, 10))))
    assert [mask is None for mask in masks_of(found)].count(True) == 2 and found.polygons[2] == ()
    assert with_pseudo_masks(picture(), semantic()).polygons == ()


def test_agreement():
    one = picture((CAR, (0, 0, 10, 10)), (BUS, (20, 0, 40, 10)), (BUS, (20, 20, 40, 30), True))
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32) / (WIDTH, HEIGHT)
    true = dataclasses.replace(one, polygons=((square,), (square + (20 / WIDTH, 0),), (square,)))
    pseudo = with_pseudo_masks(one, semantic((CAR, (0, 0, 10, 5))))
    found = agreement(true, pseudo)
    assert found.class_ids.tolist() == [CAR, BUS] and found.iou.tolist() == [0.5, 0]
    assert found.masked.tolist() == [True, False]
    # A pseudo mask in another place than the true one is not the same as none.
    beside = with_pseudo_masks(one, semantic((CAR, (0, 0, 10, 5)), (BUS, (20, 9, 40, 10))))
    top = (true.polygons[0], (true.polygons[1][0] * (1, 0.5),), true.polygons[2])
    found = agreement(dataclasses.replace(true, polygons=top), beside)
    assert found.iou[1] == 0 and found.masked.all()
    assert [row['without'] for row in agreement_rows(['car', 'bus'], [found])] == [0, 0, 0]
    assert agreement(one, pseudo).iou.shape == (0,)


def test_maps_painted_from_outlines(tmp_path):
    """Shapes do not overlap, so nothing of them is lost."""
    pictures = read_dataset(write_shapes(tmp_path, 4), 'fit').pictures
    for one in pictures:
        labels = painted(one)
        assert set(np.unique(labels)) <= {-1, *range(len(NAMES))} and (labels >= 0).any()
        assert agreement(one, with_pseudo_masks(one, labels)).iou.min() > 0.95


# ---- Cityscapes' maps


def write_map(folder, kind, ids, name='ulm_000000_000019'):
    file = folder / 'train' / 'ulm' / f'{name}_gtFine_{kind}.png'
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), ids)


def city_picture(size=(WIDTH, HEIGHT)):
    return picture((CAR, (0, 0, 10, 10)), file='ulm_000000_000019_leftImg8bit.png', size=size)


@pytest.mark.parametrize(
    ('kind', 'ids'), [('labelTrainIds', (13, 11, 255, 0)), ('labelIds', (26, 24, 0, 7))]
)
def test_both_kinds_of_maps(tmp_path, kind, ids):
    labels = np.full((HEIGHT, WIDTH), ids[2], np.uint8)
    labels[0, :3] = ids[0], ids[1], ids[3]
    write_map(tmp_path, kind, labels)
    maps = SemanticMaps(tmp_path, ['person', 'car', 'tram'])
    found = maps.read(city_picture())
    assert found[0, :4].tolist() == [1, 0, -1, -1] and (found[1:] == -1).all()
    assert maps.read(picture(file='jena_000000_000019_leftImg8bit.png')) is None


def test_train_ids_come_first(tmp_path):
    write_map(tmp_path, 'labelIds', np.full((HEIGHT, WIDTH), 26, np.uint8))
    write_map(tmp_path, 'labelTrainIds', np.full((HEIGHT, WIDTH), 11, np.uint8))
    maps = SemanticMaps(tmp_path, ['car', 'person'])
    assert (maps.read(city_picture()) == 1).all()


def test_bad_maps(tmp_path):
    with pytest.raises(UserError, match='is no folder'):
        SemanticMaps(tmp_path / 'none', ['car'])
    with pytest.raises(UserError, match='of none of the classes disc, square'):
        SemanticMaps(tmp_path, ['disc', 'square'])
    write_map(tmp_path, 'labelIds', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UserError, match='is 60x40, but its picture is 30x40'):
        SemanticMaps(tmp_path, ['car']).read(city_picture((30, 40)))
    write_map(tmp_path, 'labelIds', np.zeros((HEIGHT, WIDTH), np.uint16))
    with pytest.raises(UserError, match='is no map of labelIds'):
        SemanticMaps(tmp_path, ['car']).read(city_picture())
    file = tmp_path / 'train' / 'ulm' / 'ulm_000000_000019_gtFine_labelIds.png'
    for content in (b'', b'no picture'):
        file.write_bytes(content)
        with pytest.raises(UserError, match='is no map of labelIds'):
            SemanticMaps(tmp_path, ['car']).read(city_picture())
    file.unlink()
    file.symlink_to('nowhere')
    with pytest.raises(UserError, match='is no map of labelIds'):
        SemanticMaps(tmp_path, ['car']).read(city_picture())


# ---- the verb


def weak_masks(*words):
    return (
        CliRunner()
        .invoke(data_verb, ['weak-masks', *map(str, words)], catch_exceptions=False)
        .output
    )


def test_the_verb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_shapes(tmp_path / 'shapes', 6, 2)
    printed = weak_masks('--data', 'shapes', '--out', 'weak', '--json', 'r.json')
    assert 'pseudo masks against the true ones' in printed
    report = json.loads(Path('weak/weak-masks.json').read_text())
    assert report == json.loads(Path('r.json').read_text())
    *classes, every = report['agreement']
    assert {row['class'] for row in classes} <= set(NAMES) and every['class'] == 'all'
    assert every['iou'] > 0.95 and every['above_0.9'] == 1 and every['without'] == 0
    assert every['objects'] == report['pseudo_masks'] == sum(row['objects'] for row in classes)
    assert cv2.imread('weak/weak-masks.png').shape[1] > 900
    before, after = (read_dataset(Path(name), 'fit') for name in ('shapes', 'weak'))
    assert [p.file.name for p in after.pictures] == [p.file.name for p in before.pictures]
    for old, new in zip(before.pictures, after.pictures, strict=True):
        np.testing.assert_allclose(new.boxes, old.boxes, atol=1e-4)
        assert all(map(len, new.polygons))
    assert any(
        len(old.polygons[0][0]) != len(new.polygons[0][0])
        for old, new in zip(before.pictures, after.pictures, strict=True)
    )
    kept = [read_coco(Path(name) / 'select.json').pictures for name in ('shapes', 'weak')]
    assert [t.segmentations for t in kept[0].values()] == [
        t.segmentations for t in kept[1].values()
    ]
    with pytest.raises(UserError, match='is the data set itself'):
        weak_masks('--data', 'shapes', '--out', 'shapes')


def test_the_verb_with_cityscapes_maps(data_dir, tmp_path, monkeypatch):
    """The maps are compared with the instances of the same frame."""
    monkeypatch.chdir(tmp_path)
    root = data_dir / 'cityscapes'
    CliRunner().invoke(
        data_verb, ['cityscapes', str(root), '--out', 'set'], catch_exceptions=False
    )
    weak_masks('--data', 'set', '--out', 'weak', '--split', 'val', '--semantic', root / 'gtFine')
    report = json.loads(Path('weak/weak-masks.json').read_text())
    every = report['agreement'][-1]
    assert every['objects'] == 7 and every['iou'] > 0.9 and report['semantic'] == 'gtFine'
    assert str(root) not in json.dumps(report)


def test_a_picture_without_a_map_keeps_boxes_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from labelled import TRIANGLE, coco_json, write_pictures

    write_pictures(tmp_path, 2)
    coco_json(tmp_path / 'a.json', [TRIANGLE])
    (tmp_path / 'maps').mkdir()
    printed = weak_masks('--data', 'a.json', '--out', 'weak', '--semantic', 'maps')
    assert 'has no semantic map; its objects keep their boxes only' in printed
    first = read_dataset(Path('weak'), 'fit').pictures[0]
    assert len(first.boxes) == 1 and first.polygons == ((),)


def test_what_has_no_boxes_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'plain').mkdir()
    assert cv2.imwrite('plain/a.png', np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r'^plain holds pictures without labels; masks are made'):
        weak_masks('--data', 'plain', '--out', 'weak')
    write_shapes(tmp_path / 'shapes', 2, 2)
    with pytest.raises(UserError, match=r"no picture for 'calibrate'; there is fit, select"):
        weak_masks('--data', 'shapes', '--out', 'weak', '--split', 'calibrate')
    assert not Path('weak').exists()
