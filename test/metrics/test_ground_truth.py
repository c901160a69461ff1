# SPDX-License-Identifier: Apache-2.0
"""YOLO labels, COCO json and bags as ground truth, and everything that can be wrong in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from frames import bag_writer
from frames.bag_writer import PERIOD_NS, START_NS, write_bag
from labelled import TRIANGLE, coco_json
from pycocotools import mask

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.frames.bag import DETECTIONS, IMAGE
from kd_yolo_ros.frames.frame import Frame
from kd_yolo_ros.metrics.ground_truth import read_coco, read_ground_truth, read_yolo


def frame(name, stamp_ns=0):
    return Frame(name, stamp_ns, '', lambda: np.zeros((4, 4, 3), np.uint8))


# ---- YOLO


def write_yolo(folder, labels, **files):
    """Write {relative picture name: label text or None}; the pictures stay empty files."""
    (folder / 'labels').mkdir(parents=True)
    for name, text in labels.items():
        picture, label = folder / 'images' / name, (folder / 'labels' / name).with_suffix('.txt')
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
        if text is not None:
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
    for name, text in files.items():
        (folder / name.replace('_', '.')).write_text(text)
    return folder


def test_yolo_labels(tmp_path):
    labels = {'a.jpg': '1 0.5 0.5 0.2 0.4\n\n0 0.25 0.25 0.5 0.5\n', 'b.png': '', 'c.jpg': None}
    truth = read_ground_truth(write_yolo(tmp_path, labels))
    assert list(truth.pictures) == ['a.jpg', 'b.png', 'c.jpg'] and truth.names is None
    a = truth.pictures['a.jpg']
    np.testing.assert_allclose(a.boxes_on(100, 50), [[40, 15, 60, 35], [0, 0, 50, 25]])
    assert a.class_ids.tolist() == [1, 0] and not a.crowd.any()
    assert len(truth.pictures['b.png'].boxes) == len(truth.pictures['c.jpg'].boxes) == 0
    assert truth.class_ids == [0, 1]


def test_yolo_polygons_count_as_their_boxes(tmp_path):
    labels = {'a.jpg': '0 0.1 0.2 0.5 0.2 0.5 0.8 0.3 0.9\n'}
    truth = read_yolo(write_yolo(tmp_path, labels)).pictures['a.jpg']
    np.testing.assert_allclose(truth.boxes_on(10, 10), [[1, 2, 5, 9]])
    assert truth.has_mask.tolist() == [True]
    (rle,) = truth.masks_on(100, 100)
    assert mask.area(rle) == pytest.approx(100 * 100 * 0.2, rel=0.02)  # by the shoelace formula


@pytest.mark.parametrize(
    'files',
    [
        {'data_yaml': 'names: [car, bus]'},
        {'data_yaml': 'names: {0: car, 1: bus}'},
        {'classes_txt': 'car\nbus\n'},
    ],
)
def test_yolo_names(tmp_path, files):
    truth = read_yolo(write_yolo(tmp_path, {'a.jpg': '1 0.5 0.5 0.2 0.4'}, **files))
    assert truth.names == {0: 'car', 1: 'bus'}
    assert read_yolo(tmp_path, ['x', 'y']).names == {0: 'x', 1: 'y'}


@pytest.mark.parametrize(
    ('row', 'words'),
    [
        ('0 0.5 0.5 0.2', 'expected class, centre x'),
        ('0 0.5 0.5 0.2 0.2 0.9', 'expected class, centre x'),
        ('car 0.5 0.5 0.2 0.2', 'expected class, centre x'),
        ('0 0.5 0.5 0.2 x', 'expected class, centre x'),
        ('-1 0.5 0.5 0.2 0.2', 'is not a whole number'),
        ('0.5 0.5 0.5 0.2 0.2', 'is not a whole number'),
        ('nan 0.5 0.5 0.2 0.2', 'is not a whole number'),
        ('inf 0.5 0.5 0.2 0.2', 'is not a whole number'),
        ('0 320 240 64 48', 'from 0 to 1'),
        ('0 nan 0.5 0.2 0.2', 'from 0 to 1'),
        ('0 0.5 0.5 0 0.2', 'must be above 0'),
        ('0 0.5 0.5 0.2 -0.001', 'must be above 0'),
        ('2 0.5 0.5 0.2 0.2', 'names 2 classes'),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path, row, words):
    labels = {'a.jpg': f'0 0.5 0.5 0.1 0.1\n{row}\n'}
    write_yolo(tmp_path, labels, classes_txt='car\nbus')
    with pytest.raises(UserError, match=rf'a\.txt, line 2: .*{words}'):
        read_yolo(tmp_path)


def test_labels_that_are_no_text(tmp_path):
    write_yolo(tmp_path, {'a.jpg': ''})
    (tmp_path / 'labels' / 'a.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match=r'a\.txt cannot be read'):
        read_yolo(tmp_path)


@pytest.mark.parametrize('text', ['names: 3', 'nc: 2', 'names: {a: b}', 'names: [', '[1]', ''])
def test_broken_data_yaml(tmp_path, text):
    write_yolo(tmp_path, {'a.jpg': ''}, data_yaml=text)
    with pytest.raises(UserError, match=r'data\.yaml'):
        read_yolo(tmp_path)


def test_what_is_no_yolo_data_set(tmp_path):
    with pytest.raises(UserError, match='expected images/ and labels/'):
        read_yolo(tmp_path)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'labels').mkdir()
    with pytest.raises(UserError, match='holds no picture'):
        read_yolo(tmp_path)


# ---- COCO


def coco():
    return {
        'images': [
            {'id': 7, 'file_name': 'val/a.jpg', 'width': 100, 'height': 50},
            {'id': 9, 'file_name': 'val/b.jpg', 'width': 100, 'height': 50},
        ],
        'annotations': [
            {'id': 1, 'image_id': 7, 'category_id': 3, 'bbox': [10, 5, 20, 10], 'iscrowd': 0},
            {'id': 2, 'image_id': 7, 'category_id': 90, 'bbox': [0, 0, 100, 50], 'iscrowd': 1},
        ],
        'categories': [{'id': 3, 'name': 'car'}, {'id': 90, 'name': 'toothbrush'}],
    }


def write_json(folder, content):
    file = folder / 'instances.json'
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_coco(tmp_path):
    truth = read_ground_truth(write_json(tmp_path, coco()))
    assert truth.names == {3: 'car', 90: 'toothbrush'} and len(truth) == 2
    a = truth.pictures['val/a.jpg']
    np.testing.assert_allclose(a.boxes_on(100, 50), [[10, 5, 30, 15], [0, 0, 100, 50]])
    np.testing.assert_allclose(a.boxes_on(50, 100)[0], [5, 10, 15, 30])  # a rescaled picture
    assert a.class_ids.tolist() == [3, 90] and a.crowd.tolist() == [False, True]
    assert len(truth.pictures['val/b.jpg'].boxes) == 0


@pytest.mark.parametrize('content', ['', '{', '[]', '{}', '{"images": [], "annotations": 3}'])
def test_files_that_are_no_coco(tmp_path, content):
    with pytest.raises(UserError, match='not valid JSON|no COCO annotation file'):
        read_coco(write_json(tmp_path, content))


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('bbox', [1, 2, 3], 'annotation 1 is broken'),
        ('bbox', None, 'annotation 1 is broken'),
        ('bbox', [1, 2, -3, 4], 'annotation 1 is broken'),
        ('bbox', [1, 2, float('nan'), 4], 'annotation 1 is broken'),
        ('bbox', 'x', 'annotation 1 is broken'),
        ('image_id', 8, 'image 8, which is not listed'),
        ('category_id', 4, 'category 4, which is not listed'),
        ('category_id', None, 'annotation 1 is broken'),
    ],
)
def test_broken_annotations(tmp_path, key, value, words):
    content = coco()
    content['annotations'][0][key] = value
    with pytest.raises(UserError, match=words):
        read_coco(write_json(tmp_path, content))


@pytest.mark.parametrize('list_name', ['images', 'categories'])
def test_broken_lists(tmp_path, list_name):
    content = coco()
    content[list_name][0] = {'id': 7}
    with pytest.raises(UserError, match='an image or category lacks'):
        read_coco(write_json(tmp_path, content))


# ---- bags


def write_truth(folder, classes):
    objects = [[(c, (1.0, 2.0, 3.0, 4.0))] for c in classes]
    stamps = [START_NS + index * PERIOD_NS for index in range(len(classes))]
    messages = [(s, bag_writer.detections(o, s)) for s, o in zip(stamps, objects, strict=True)]
    picture = np.zeros((8, 8, 3), np.uint8)
    images = [(s + 1, bag_writer.image(picture, s)) for s in stamps]
    return write_bag(folder / 'bag', {'/truth': (DETECTIONS, messages), '/image': (IMAGE, images)})


def test_bag_truth_is_found_by_stamp(tmp_path):
    bag = write_truth(tmp_path, ['car', 'bus', 'car'])
    truth = read_ground_truth(bag, '/truth')
    assert truth.names == {0: 'bus', 1: 'car'}
    keys = [truth.find(f) for f in open_source(bag)]
    assert [truth.pictures[key].class_ids.tolist() for key in keys] == [[1], [0], [1]]
    np.testing.assert_allclose(truth.pictures[keys[0]].boxes_on(8, 8), [[1, 2, 3, 4]])


def test_bag_classes_that_are_numbers(tmp_path):
    truth = read_ground_truth(write_truth(tmp_path, ['7', '2']))
    assert truth.names is None and truth.class_ids == [2, 7]


# ---- finding a frame's truth


def test_find(tmp_path):
    labels = {'train/a.jpg': None, 'val/a.jpg': None, 'val/b.jpg': None}
    truth = read_yolo(write_yolo(tmp_path, labels))
    assert truth.find(frame('val/a.jpg')) == 'val/a.jpg'
    assert truth.find(frame('b.jpg')) == 'val/b.jpg'
    assert truth.find(frame('other/b.jpg')) == 'val/b.jpg'
    assert truth.find(frame('a.jpg')) is None  # may be either
    assert truth.find(frame('c.jpg')) is None


def test_ground_truth_that_is_none(tmp_path):
    (tmp_path / 'a.txt').touch()
    for name, words in (('missing', 'does not exist'), ('a.txt', 'is no ground truth')):
        with pytest.raises(UserError, match=words):
            read_ground_truth(tmp_path / name)


@pytest.mark.parametrize('segmentation', ['an outline', 7, True])
def test_a_segmentation_of_another_kind_is_not_overlooked(tmp_path, segmentation):
    annotation = {**TRIANGLE, 'segmentation': segmentation}
    with pytest.raises(UserError, match='annotation 2 has a broken segmentation, expected'):
        read_coco(coco_json(tmp_path / 'a.json', [annotation]))
    for none in ({'segmentation': None}, {'segmentation': []}):
        truth = read_coco(coco_json(tmp_path / 'a.json', [{**TRIANGLE, **none}]))
        assert not truth.pictures['0.png'].has_mask.any()


def test_real_masks(data_dir):
    """Of all objects, also of crowds by run lengths, within the boxes that stand beside them."""
    truth = read_ground_truth(data_dir / 'coco128' / 'instances.json')
    crowds = 0
    for one in truth.pictures.values():
        assert one.has_mask.all()
        boxes = one.boxes_on(*one.size)
        for rle, box, crowd in zip(one.masks_on(*one.size), boxes, one.crowd, strict=True):
            x, y, w, h = mask.toBbox(rle)
            assert np.abs(np.array([x, y, x + w, y + h]) - box).max() < 5
            crowds += crowd
    assert crowds > 0


def test_real_data_sets(data_dir):
    """The two annotations of the same pictures describe the same boxes."""
    yolo = read_ground_truth(data_dir / 'coco128')
    from_json = read_ground_truth(data_dir / 'coco128' / 'instances.json')
    assert len(yolo) == len(from_json) == 128
    assert sum(not len(truth.boxes) for truth in yolo.pictures.values()) == 2
    compared = 0
    for name, truth in yolo.pictures.items():
        other = from_json.pictures[name]
        boxes = other.boxes_on(*other.size)
        for box in truth.boxes_on(*other.size):
            compared += 1
            assert np.abs(boxes - box).max(axis=1).min() < 1
    assert compared > 900


def test_soft_labels_are_no_ground_truth(tmp_path):
    certain = {**TRIANGLE, 'score': 1}
    assert len(read_coco(coco_json(tmp_path / 'a.json', [certain])).pictures['0.png'].boxes) == 1
    with pytest.raises(UserError, match='annotation 2 has a score.*no ground truth'):
        read_coco(coco_json(tmp_path / 'b.json', [{**TRIANGLE, 'score': 0.6}]))
