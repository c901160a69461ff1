# SPDX-License-Identifier: Apache-2.0
"""Pictures and ground truth belong together, however the data set is named."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.dataset import open_dataset


def write_dataset(folder, images='images'):
    (folder / images).mkdir(parents=True)
    (folder / 'labels').mkdir()
    assert cv2.imwrite(str(folder / images / 'a.png'), np.zeros((40, 80, 3), np.uint8))
    (folder / 'labels' / 'a.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 80, 'height': 40}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [20, 10, 40, 20]}],
        'categories': [{'id': 1, 'name': 'car'}],
    }
    (folder / 'instances.json').write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize('name', ['', 'instances.json'])
def test_yolo_and_coco_of_the_same_pictures(tmp_path, name):
    source, truth = open_dataset(write_dataset(tmp_path) / name)
    (frame,) = source
    picture = truth.pictures[truth.find(frame)]
    np.testing.assert_allclose(picture.boxes_on(80, 40), [[20, 10, 60, 30]])


def test_pictures_of_a_json_elsewhere(tmp_path):
    folder = write_dataset(tmp_path, images='photos')
    source, truth = open_dataset(folder / 'instances.json', folder / 'photos')
    assert [truth.find(frame) for frame in source] == ['a.png']


def test_pictures_are_named_for_a_json_only(tmp_path):
    folder = write_dataset(tmp_path)
    with pytest.raises(UserError, match='--images is for a COCO json only'):
        open_dataset(folder, folder / 'images')
    with pytest.raises(UserError, match='does not exist'):
        open_dataset(folder / 'other.json')
