# SPDX-License-Identifier: Apache-2.0
"""Data sets that label different classes, judged as one."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from labelled import noise, write_yolo

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.held_out import picture_digest
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.found import find
from kd_yolo_ros.metrics.pool import has_masks, open_sets, pooled_ap, read_sets

MODEL = ('car', 'light', 'person')
LEFT, RIGHT = '0.25 0.5 0.25 0.5', '0.75 0.5 0.25 0.5'  # on 64 x 48
BOXES = {LEFT: [8, 12, 24, 36], RIGHT: [40, 12, 56, 36]}


class Everywhere:
    """Finds a thing of every class left and right in every picture, by falling score."""

    class_names = MODEL

    def __init__(self):
        self.stages_ms = {}

    def predict(self, picture, masks=True):
        boxes = np.array([BOXES[LEFT], BOXES[RIGHT]] * 3, np.float32)
        scores = np.linspace(0.9, 0.4, 6, dtype=np.float32)
        return Detections(boxes, scores, np.repeat(np.arange(3), 2))


@pytest.fixture
def folders(tmp_path):
    """One set of cars and persons by name, one of lights in two states by number."""
    street = write_yolo(
        tmp_path / 'street', [f'0 {LEFT}\n1 {RIGHT}', f'0 {RIGHT}'], ['car', 'person']
    )
    lights = write_yolo(tmp_path / 'lights', [f'0 {LEFT}\n1 {RIGHT}', f'1 {LEFT}', ''])
    for number in range(3):  # other pictures than those of the first
        picture = noise(100 + number)
        assert cv2.imwrite(str(lights / 'images' / f'{number}.png'), picture)
    (tmp_path / 'lights.yaml').write_text('0: light\n1: light\n')
    return street, lights, tmp_path / 'lights.yaml'


def read(*given, **options):
    sets = open_sets(list(map(str, given)))
    read_sets(sets, **options)
    return sets


def pooled(given, **options):
    sets = read(*given, **options)
    return sets, pooled_ap(sets, MODEL, [find(Everywhere(), one.frames()) for one in sets])


def test_every_set_counts_for_its_own_classes(folders):
    street, lights, class_map = folders
    sets, ap = pooled([str(street), f'{lights}={class_map}'])
    assert [(one.name, len(one)) for one in sets] == [('street', 2), ('lights', 3)]
    result = ap.evaluate()
    assert result['images'] == 5
    instances = {name: one['instances'] for name, one in result['per_class'].items()}
    assert instances == {'car': 2, 'light': 3, 'person': 1}
    for name, picture in ap.pictures.items():
        expected = {1} if name.startswith('lights/') else {0, 2}
        assert set(picture.classes) == expected, 'what a set does not label is no false alarm'
    # Each class is then as good as in its own set alone.
    for folder, its_map in ((street, None), (lights, class_map)):
        (one,) = read(folder)
        mapping = map_classes(MODEL, one.truth, its_map)
        alone = CocoAP(one.truth, MODEL, mapping)
        for key, found in zip(one.keys, find(Everywhere(), one.frames()), strict=True):
            alone.process(key, *found)
        for name, value in alone.evaluate()['per_class'].items():
            assert result['per_class'][name] == value


def test_a_class_of_both_sets_is_ranked_over_all_pictures(folders, tmp_path):
    street, lights, _ = folders
    (tmp_path / 'cars.yaml').write_text('0: car\n1: null\n')
    sets, ap = pooled([str(street), f'{lights}={tmp_path / "cars.yaml"}'])
    assert ap.evaluate()['per_class']['car']['instances'] == 3
    assert ap.class_map.missing == ['class 1 of lights']
    assert all(set(p.classes) == {0} for n, p in ap.pictures.items() if n.startswith('lights'))


def test_a_named_class_without_object_is_labelled_all_the_same(tmp_path):
    named = write_yolo(tmp_path / 'a', [f'0 {LEFT}'], ['car', 'person'])
    numbers = write_yolo(tmp_path / 'b', [f'0 {LEFT}'])
    assert cv2.imwrite(str(numbers / 'images' / '0.png'), noise(9))
    _, ap = pooled([str(named), str(numbers)])
    assert set(ap.pictures['a/0.png'].classes) == {0, 2}
    assert set(ap.pictures['b/0.png'].classes) == {0}
    (tmp_path / 'b.yaml').write_text('0: car\n7: person\n')
    _, ap = pooled([f'{numbers}={tmp_path / "b.yaml"}'])
    assert set(ap.pictures['b/0.png'].classes) == {0, 2}


class EverywhereWithMasks(Everywhere):
    """Finds the same, each filled with its mask."""

    def predict(self, picture, masks=True):
        found = super().predict(picture)
        boxes = found.boxes.astype(int)
        crops = tuple(np.ones((y2 - y1, x2 - x1), bool) for x1, y1, x2, y2 in boxes)
        masks = Masks(picture.shape[:2], boxes[:, :2], crops)
        return dataclasses.replace(found, masks=masks)


def test_masks_are_pooled(folders, tmp_path):
    """Of two sets, one of which knows boxes only; what neither labels is no false alarm."""
    street, lights, class_map = folders
    assert not has_masks(read(street, f'{lights}={class_map}'), MODEL)
    for file in (street / 'labels').iterdir():
        rows = [line.split() for line in file.read_text().splitlines()]
        boxes = {'0.25': '0.125 0.25 0.375 0.25 0.375 0.75 0.125 0.75'}
        boxes['0.75'] = '0.625 0.25 0.875 0.25 0.875 0.75 0.625 0.75'
        file.write_text('\n'.join(f'{row[0]} {boxes[row[1]]}' for row in rows))
    sets = read(street, f'{lights}={class_map}')
    assert has_masks(sets, MODEL)
    assert not has_masks(sets[1:], MODEL), 'boxes only'
    ap = pooled_ap(sets, MODEL, [find(EverywhereWithMasks(), one.frames()) for one in sets])
    result = ap.evaluate()
    assert ap.has_masks and result['per_class']['light']['mask_map50'] is None
    for name in ('car', 'person'):
        one = result['per_class'][name]
        assert one['mask_map50_95'] == one['map50_95'] > 0
    assert {name: len(p.masks.found) for name, p in ap.pictures.items()} == {
        name: len(p.classes) for name, p in ap.pictures.items()
    }


def test_pictures_that_a_model_was_made_with_are_left_out(folders):
    street = folders[0]
    sets, ap = pooled([str(street)], made_with={picture_digest(noise(0))})
    assert list(ap.pictures) == ['street/1.png'] and sets[0].left_out == 1
    with pytest.raises(UserError, match='used for calibration'):
        read(street, made_with={picture_digest(noise(n)) for n in range(2)})


def test_a_picture_of_two_sets_counts_once(folders, tmp_path):
    street = folders[0]
    other = write_yolo(tmp_path / 'other', [f'0 {LEFT}', f'0 {LEFT}', ''], ['car', 'person'])
    sets, ap = pooled([street, other])  # noise 0 and 1 in both, under one name
    assert [(len(one), one.repeated) for one in sets] == [(2, 0), (1, 2)]
    assert sorted(ap.pictures) == ['other/2.png', 'street/0.png', 'street/1.png']
    assert ap.evaluate()['per_class']['car']['instances'] == 2
    with pytest.raises(UserError, match='all pictures of street are in the data before it'):
        read(other, street)


def test_no_picture_is_read_before_it_is_asked_for(folders):
    street = folders[0]
    (street / 'images' / '1.png').write_bytes(b'no picture')
    (one,) = open_sets([str(street)])
    assert len(one) == 0
    titles = []
    read_sets([one], progress=lambda items, *title: titles.append(title) or items)
    assert len(one) == 1 and titles == [('read street', 2, ' pictures')]


def test_the_digest_is_of_the_pictures_with_their_names(folders):
    street = folders[0]
    (before,) = read(street)
    assert read(street)[0].digest == before.digest
    (street / 'labels' / '1.txt').write_text('')
    assert read(street)[0].digest == before.digest, 'labels change nothing found'
    assert cv2.imwrite(str(street / 'images' / '1.png'), noise(9))
    assert read(street)[0].digest != before.digest


def test_names_tell_sets_apart(tmp_path):
    folders = [write_yolo(tmp_path / name, [f'0 {LEFT}']) for name in ('a/valid', 'b/valid', 'c')]
    names = [one.name for one in open_sets(list(map(str, folders)))]
    assert names == ['a/valid', 'b/valid', 'c']
    with pytest.raises(UserError, match='given twice'):
        open_sets([str(folders[0]), f'{tmp_path}/a/../a/valid'])


def test_a_path_may_hold_the_sign(tmp_path):
    folder = write_yolo(tmp_path / 'a=b', [f'0 {LEFT}'])
    (one,) = open_sets([str(folder)])
    assert one.class_map is None and one.name == 'a=b'


def test_bad_sets(folders):
    street, lights, _ = folders
    with pytest.raises(UserError, match='none does not exist'):
        open_sets([str(street), str(street.with_name('none'))])
    with pytest.raises(UserError, match='No such file'):
        pooled([f'{lights}=none.yaml'])
