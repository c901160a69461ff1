# SPDX-License-Identifier: Apache-2.0
"""Cityscapes' layout: what is an instance, what a crowd, and which city goes where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.cityscapes import NAMES, find_frames, read_frame
from kd_yolo_training.data.labels import box_around
from kd_yolo_training.data.read import read_dataset

WIDTH, HEIGHT = 64, 32


def rectangle(label: str, x1: float, y1: float, x2: float, y2: float, **more: Any) -> dict:
    return {'label': label, 'polygon': [[x1, y1], [x2, y1], [x2, y2], [x1, y2]], **more}


def write_frame(root: Path, split: str, city: str, number: int, objects: Any = ()) -> None:
    """Write a frame; `objects` is a list of polygons, or (H, W) uint16 instance ids."""
    stem = f'{city}_000000_{number:06}'
    image = root / 'leftImg8bit' / split / city / f'{stem}_leftImg8bit.png'
    labels = root / 'gtFine' / split / city
    image.parent.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image), np.full((HEIGHT, WIDTH, 3), number, np.uint8))
    if isinstance(objects, np.ndarray):
        cv2.imwrite(str(labels / f'{stem}_gtFine_instanceIds.png'), objects)
    elif objects is not None:
        content = {'imgWidth': WIDTH, 'imgHeight': HEIGHT, 'objects': list(objects)}
        (labels / f'{stem}_gtFine_polygons.json').write_text(json.dumps(content))


def read_one(root: Path):
    (frame,) = find_frames(root, 'train')
    return read_frame(frame)


def pixels(boxes: np.ndarray) -> list[list[float]]:
    return np.round(boxes * (WIDTH, HEIGHT, WIDTH, HEIGHT), 3).tolist()


def test_polygons(tmp_path):
    objects = [
        rectangle('sky', 0, 0, 64, 10),
        rectangle('car', 4, 8, 20, 16),
        {'label': 'traffic light', 'polygon': [[30, 2], [34, 6], [32, 12]]},
        rectangle('persongroup', 40, 10, 60, 30),
        rectangle('ridergroup', 1, 20, 5, 30),
        rectangle('car', 40, 2, 44, 6, deleted=1),
        rectangle('truck', 50, -4, 80, 8),  # drawn over the border, as annotators do
        rectangle('ego vehicle', 0, 28, 64, 32),
        rectangle('caravan', 0, 28, 64, 32),
        rectangle('license plate', 5, 9, 6, 10),
        rectangle('polegroup', 5, 9, 6, 10),
    ]
    write_frame(tmp_path, 'train', 'ulm', 0, objects)
    (tmp_path / 'gtFine' / 'train' / 'ulm' / 'ulm_000000_000000_gtFine_instanceIds.png').touch()
    picture, problems = read_one(tmp_path)
    assert not problems and picture.size == (WIDTH, HEIGHT)
    assert [NAMES[i] for i in picture.class_ids] == [
        'car', 'traffic light', 'person', 'rider', 'truck',
    ]  # fmt: skip
    assert picture.crowd.tolist() == [False, False, True, True, False]
    assert pixels(picture.boxes) == [
        [4, 8, 20, 16], [30, 2, 34, 12], [40, 10, 60, 30], [1, 20, 5, 30], [50, 0, 64, 8],
    ]  # fmt: skip
    outline = picture.polygons[1][0] * (WIDTH, HEIGHT)
    assert outline == pytest.approx(np.array([[30, 2], [34, 6], [32, 12]]))


def test_a_mask_is_what_is_seen_of_its_object_and_the_box_all_that_was_drawn(tmp_path):
    objects = [
        rectangle('sky', 0, 0, 64, 10),
        rectangle('car', 4, 8, 20, 16),
        rectangle('person', 30, 8, 36, 20),
        rectangle('bicycle', 5, 10, 8, 12),  # behind the truck altogether
        rectangle('truck', 0, 8, 12, 16),
        rectangle('pole', 32, 0, 33, 31),
        rectangle('bus', 30, 8, 60, 20, deleted=1),
    ]
    write_frame(tmp_path, 'train', 'ulm', 0, objects)
    picture, (problem,) = read_one(tmp_path)
    assert problem.what == 'object 3, bicycle: nothing of it is seen; left out'
    assert [NAMES[i] for i in picture.class_ids] == ['car', 'person', 'truck']
    assert pixels(picture.boxes) == [[4, 8, 20, 16], [30, 8, 36, 20], [0, 8, 12, 16]]
    car, person, truck = picture.polygons
    assert pixels(np.array([box_around(car)])) == [[12, 8, 20, 16]]
    assert len(person) == 2 and len(truck) == 1


def test_instance_ids_where_polygons_are_missing(tmp_path):
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[0:4] = 23  # sky
    ids[4:12, 8:20] = 26_000  # a car, cut into two pieces by a pole
    ids[4:12, 12:14] = 17
    ids[20:28, 2:6] = 24_001  # a person
    ids[20:24, 30:40] = 24  # people nobody told apart, in two places
    ids[28:30, 50:60] = 24
    ids[8, 30:36] = 33_000  # a bicycle one pixel high
    ids[6:9, 50:52] = 20  # traffic sign, which has no instances
    ids[31, 63] = 29_000  # caravan
    write_frame(tmp_path, 'train', 'ulm', 0, ids)
    picture, problems = read_one(tmp_path)
    assert not problems and picture.size == (WIDTH, HEIGHT)
    found = {
        (NAMES[class_id], crowd, *box): len(outlines)
        for class_id, crowd, box, outlines in zip(
            picture.class_ids, picture.crowd.tolist(), pixels(picture.boxes), picture.polygons,
            strict=True,
        )
    }  # fmt: skip
    assert found == {
        ('car', False, 8, 4, 20, 12): 2,
        ('person', False, 2, 20, 6, 28): 1,
        ('person', True, 30, 20, 40, 24): 1,
        ('person', True, 50, 28, 60, 30): 1,
        ('bicycle', False, 30, 8, 36, 9): 1,
    }


@pytest.mark.parametrize(
    ('objects', 'what'),
    [
        (None, 'has neither ulm_000000_000000_gtFine_polygons.json nor'),
        (np.zeros((4, 4), np.uint8), 'is no picture of instance ids'),
    ],
)
def test_a_frame_without_usable_labels_is_no_background(tmp_path, objects, what):
    write_frame(tmp_path, 'train', 'ulm', 0, objects)
    picture, (problem,) = read_one(tmp_path)
    assert picture is None and what in problem.what


def test_broken_polygons_are_named(tmp_path):
    objects = [
        {'label': 'car', 'polygon': [[1, 2], [3, 4]]},
        {'label': 'car'},
        {'label': 'car', 'polygon': [[1, 2], [3, 'x'], [4, 4]]},
        {'polygon': []},
        3,
        rectangle('car', 24, 8, 24, 16),
        rectangle('car', 70, 8, 80, 16),
        rectangle('bus', 4, 8, float('nan'), 16),
        rectangle('car', 4, 8, 20, 16),
    ]
    write_frame(tmp_path, 'train', 'ulm', 0, objects)
    picture, problems = read_one(tmp_path)
    assert pixels(picture.boxes) == [[4, 8, 20, 16]]
    text = [problem.what for problem in problems]
    assert [part.split(':')[0] for part in text] == [
        'object 0, car', 'object 1, car', 'object 2, car', 'object 3 has no label; left out',
        'object 4 has no label; left out', 'object 7, bus', 'object 5, car', 'object 6, car',
    ]  # fmt: skip
    assert 'above 0' in text[6] and 'outside the picture' in text[7]
    (frame,) = find_frames(tmp_path, 'train')
    frame.polygons.write_text('{"imgWidth": 64}')
    picture, (problem,) = read_frame(frame)
    assert picture is None and 'is no polygon file' in problem.what


@pytest.fixture
def official(tmp_path) -> Path:
    root = tmp_path / 'cityscapes'
    car = [rectangle('car', 4, 8, 20, 16), rectangle('cargroup', 30, 8, 40, 16)]
    for city in ('aachen', 'bochum', 'jena', 'ulm', 'zurich'):
        for number in range(4):
            write_frame(root, 'train', city, number, car if number else [])
    write_frame(root, 'val', 'munster', 0, [rectangle('bus', 4, 8, 20, 16)])
    write_frame(root, 'test', 'berlin', 0, [])
    return root


def run(*args: object) -> str:
    result = CliRunner().invoke(verbs, ['cityscapes', *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_whole_cities_and_val_only_for_reporting(official, tmp_path):
    out = tmp_path / 'out'
    output = run(official, '--out', out)
    assert 'crowd regions' in output
    cities = yaml.safe_load((out / 'dataset.yaml').read_text())['source']['cities']
    assert sorted(map(len, cities.values())) == [1, 1, 3]
    for split in ('fit', 'calibrate', 'select'):
        pictures = read_dataset(out, split).pictures
        assert len(pictures) == 4 * len(cities[split])
        assert {picture.file.parent.name for picture in pictures} == set(cities[split])
    val = read_dataset(out, 'val').pictures
    assert [picture.file.parent.name for picture in val] == ['munster']
    report = json.loads((out / 'instances.json').read_text())
    fit = report['splits']['fit']
    assert (fit['pictures'], fit['background'], fit['crowd']) == (12, 3, 9)
    assert fit['instances']['car'] == 9 and report['splits']['val']['instances']['bus'] == 1
    assert cv2.imread(str(out / 'instances.png')).shape[1] > 900
    before = {file.name: file.read_bytes() for file in out.glob('*.json')}
    run(official, '--out', out)
    after = {file.name: file.read_bytes() for file in out.glob('*.json')}
    assert all(before[f'{s}.json'] == after[f'{s}.json'] for s in (*cities, 'val'))


def test_cities_by_name(official, tmp_path):
    out = tmp_path / 'out'
    run(official, '--out', out, '--select-cities', 'jena, ulm', '--calibrate-cities', 'zurich')
    cities = yaml.safe_load((out / 'dataset.yaml').read_text())['source']['cities']
    assert cities == {
        'fit': ['aachen', 'bochum'],
        'calibrate': ['zurich'],
        'select': ['jena', 'ulm'],
    }
    with pytest.raises(UserError, match="no city 'bonn'; it has aachen"):
        run(official, '--out', out, '--select-cities', 'bonn')
    with pytest.raises(UserError, match="'ulm' is named twice"):
        run(official, '--out', out, '--select-cities', 'ulm', '--calibrate-cities', 'ulm')
    run(official, '--out', out, '--select-cities', 'ulm')
    cities = yaml.safe_load((out / 'dataset.yaml').read_text())['source']['cities']
    assert cities['select'] == ['ulm'] and len(cities['calibrate']) == 1


def test_labels_without_pictures_are_named(official, tmp_path):
    next((official / 'leftImg8bit' / 'train' / 'ulm').iterdir()).unlink()
    run(official, '--out', tmp_path / 'out')
    report = json.loads((tmp_path / 'out' / 'instances.json').read_text())
    (problem,) = report['problems']
    assert problem['file'].endswith('polygons.json') and 'no picture' in problem['what']


def test_no_cityscapes(tmp_path):
    with pytest.raises(UserError, match='no Cityscapes folder'):
        run(tmp_path, '--out', tmp_path / 'out')
    (tmp_path / 'leftImg8bit').mkdir()
    (tmp_path / 'gtFine').mkdir()
    with pytest.raises(UserError, match='holds no picture in train/CITY/'):
        run(tmp_path, '--out', tmp_path / 'out')


def test_the_real_frame(data_dir, tmp_path):
    run(data_dir / 'cityscapes', '--out', tmp_path / 'out')
    (picture,) = read_dataset(tmp_path / 'out', 'val').pictures
    folder = data_dir / 'cityscapes' / 'gtFine' / 'val' / 'frankfurt'
    ids = cv2.imread(str(next(folder.glob('*_instanceIds.png'))), cv2.IMREAD_UNCHANGED)
    assert picture.size == ids.shape[::-1]
    numbers = [n for n in np.unique(ids).tolist() if n // 1000 in (24, 25, 26, 27, 28, 31, 32, 33)]
    assert len(picture.boxes) == len(numbers) > 0
    for number, box in zip(numbers, picture.boxes * (picture.size * 2), strict=True):
        rows, columns = np.nonzero(ids == number)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box == pytest.approx(np.array(expected), abs=0.01)
