# SPDX-License-Identifier: Apache-2.0
"""Several sources as one data set, without a picture that another split has."""

from __future__ import annotations

import os

import pytest
from labelled import TRIANGLE, coco_json, write_pictures, write_yolo
from shapes import NAMES, write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.gather import gather


def names_of(pictures) -> list[str]:
    return [picture.file.name for picture in pictures]


def test_splits_stay_and_the_rest_is_annotated(tmp_path):
    shapes = write_shapes(tmp_path / 'shapes', fit=3, select=2)
    more = write_yolo(tmp_path / 'more', ['1 0.5 0.5 0.5 0.5\n'], NAMES)
    found = gather([shapes, more, write_pictures(tmp_path / 'plain', 2)], 'fit')
    assert {split: len(pictures) for split, pictures in found.splits.items()} == {
        'fit': 3 + 1 + 2, 'select': 2,
    }  # fmt: skip
    assert found.names == NAMES and found.known == 0
    assert all(not len(picture.boxes) for picture in found.splits['fit'][-2:])
    assert all(picture.file.is_absolute() for picture in found.splits['fit'])
    assert str(tmp_path) not in found.description and 'pictures of plain' in found.description


def test_pictures_of_another_split_are_not_taken_for_unlabelled(tmp_path):
    """The folder of a data set's pictures holds those of its select split too."""
    shapes = write_shapes(tmp_path / 'shapes', fit=3, select=2)
    write_pictures(shapes, 2)
    for order in ([shapes / 'images', shapes], [shapes, shapes / 'images']):
        found = gather(order, 'fit')
        assert names_of(found.splits['fit'])[-2:] == ['0.png', '1.png']
        assert (len(found.splits['fit']), len(found.splits['select']), found.known) == (5, 2, 5)


@pytest.mark.parametrize('link', [os.symlink, os.link])
def test_links_are_the_pictures_they_lead_to(tmp_path, link):
    shapes = write_shapes(tmp_path / 'shapes', fit=3, select=2)
    linked = tmp_path / 'linked'
    linked.mkdir()
    for file in (shapes / 'images').iterdir():
        link(file, linked / f'other_{file.name}')
    found = gather([shapes, linked, write_pictures(tmp_path / 'plain', 1)], 'fit')
    assert (len(found.splits['fit']), found.known) == (4, 5)


def test_unlabelled_pictures_named_twice_count_once(tmp_path):
    plain = write_pictures(tmp_path / 'plain', 2)
    found = gather([plain, plain / 'images'], 'calibrate')
    assert names_of(found.splits['calibrate']) == ['0.png', '1.png']
    assert (found.names, found.known) == ((), 0)


def test_what_cannot_be_one_set(tmp_path):
    folder = write_pictures(tmp_path / 'coco', 2)
    file = coco_json(tmp_path / 'coco' / 'a.json', [TRIANGLE])
    shapes = write_shapes(tmp_path / 'shapes', fit=1, select=1)
    with pytest.raises(UserError, match='other classes than the sources before'):
        gather([file, shapes], 'fit')
    with pytest.raises(UserError, match='0.png is in a.json and in b.json'):
        gather([file, coco_json(folder / 'b.json', [])], 'fit')
    with pytest.raises(UserError, match="no picture for 'calibrate'.*fit, select"):
        gather([shapes], 'calibrate')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='neither a data set nor a picture'):
        gather([tmp_path / 'empty'], 'fit')
    with pytest.raises(UserError, match='does not exist'):
        gather([tmp_path / 'nowhere'], 'fit')
