# SPDX-License-Identifier: Apache-2.0
"""A data set's pictures and its ground truth find each other."""

from __future__ import annotations

import json

import pytest
from artifacts import write_dataset

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.dataset import open_dataset


def write_coco(path):
    """Write a COCO json of one object in 0.png."""
    content = {
        'images': [{'id': 1, 'file_name': '0.png', 'width': 192, 'height': 128}],
        'categories': [{'id': 5, 'name': 'red'}],
        'annotations': [
            {'id': 1, 'image_id': 1, 'category_id': 5, 'bbox': [16, 16, 16, 16], 'area': 256}
        ],
    }
    path.write_text(json.dumps(content))
    return path


def found(source, truth):
    return [frame.name for frame in source if truth.find(frame) is not None]


def test_a_yolo_folder(tmp_path):
    source, truth = open_dataset(write_dataset(tmp_path / 'data'))
    assert found(source, truth) == ['0.png', '1.png', '2.png', '3.png'] and len(source) == 4


def test_a_coco_json_with_its_pictures_beside_it(tmp_path):
    folder = write_dataset(tmp_path / 'data')
    assert found(*open_dataset(write_coco(folder / 'instances.json'))) == ['0.png']
    assert found(*open_dataset(write_coco(folder / 'images' / 'instances.json'))) == ['0.png']


def test_a_coco_json_with_pictures_elsewhere(tmp_path):
    folder = write_dataset(tmp_path / 'data')
    (tmp_path / 'notes').mkdir()
    coco = write_coco(tmp_path / 'notes' / 'instances.json')
    assert found(*open_dataset(coco, folder / 'images')) == ['0.png']
    with pytest.raises(UserError, match='notes holds no picture'):
        open_dataset(coco)


def test_a_split_of_a_prepared_data_set(tmp_path):
    folder = write_dataset(tmp_path / 'data')
    (tmp_path / 'prepared').mkdir()
    coco = write_coco(tmp_path / 'prepared' / 'val.json')
    described = tmp_path / 'prepared' / 'dataset.yaml'
    for images in (folder / 'images', '../data/images'):
        described.write_text(f'images: {images}\n')
        source, truth = open_dataset(coco)
        # Only the split's own picture, though the folder holds four.
        assert [frame.name for frame in source] == ['0.png'] == list(truth.pictures)
    assert found(*open_dataset(coco, folder / 'images')) == ['0.png']
    (folder / 'images' / '0.png').unlink()
    with pytest.raises(UserError, match='none of the 1 pictures'):
        open_dataset(coco)
    for text in ('images:', '[', 'names: [a]', '3'):
        described.write_text(text)
        with pytest.raises(UserError, match='dataset.yaml names no folder of pictures'):
            open_dataset(coco)


def test_pictures_belong_to_a_json_only(tmp_path):
    folder = write_dataset(tmp_path / 'data')
    with pytest.raises(UserError, match='--images is for a COCO json'):
        open_dataset(folder, folder / 'images')
    with pytest.raises(UserError, match='nowhere'):
        open_dataset(tmp_path / 'nowhere')
