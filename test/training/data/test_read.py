# SPDX-License-Identifier: Apache-2.0
"""Every form of data set is read alike, and everything bad in it is named, not raised."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled import SQUARE, TRIANGLE, coco_json, write_pictures, write_yolo
from pycocotools import mask

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_training.data.coco import polygon_area, read_coco, write_coco
from kd_yolo_training.data.dataset import DataSet
from kd_yolo_training.data.prepared import read_prepared, write_prepared
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.data.yolo import read_yolo, write_yolo_labels


def what(data: DataSet) -> list[str]:
    return [f'{problem.file.name}: {problem.what}' for problem in data.problems]


# ---- YOLO


def test_yolo_boxes_polygons_and_background(tmp_path):
    rows = ['1 0.5 0.25 0.5 0.5\n0 0.1 0.2 0.5 0.2 0.3 0.8\n', '', None]
    data = read_dataset(write_yolo(tmp_path / 'set', rows, ['car', 'bus']))
    assert (data.names, data.problems, len(data.pictures)) == (('car', 'bus'), (), 3)
    first, second, third = data.pictures
    assert first.class_ids.tolist() == [1, 0]
    assert first.boxes == pytest.approx(np.array([[0.25, 0, 0.75, 0.5], [0.1, 0.2, 0.5, 0.8]]))
    assert first.boxes.dtype == np.float32 and not first.crowd.any()
    assert first.polygons[0] == () and len(first.polygons[1]) == 1
    assert first.polygons[1][0] == pytest.approx(np.array([[0.1, 0.2], [0.5, 0.2], [0.3, 0.8]]))
    assert len(second.boxes) == len(third.boxes) == 0  # background is no problem


@pytest.mark.parametrize(
    ('row', 'expected'),
    [
        ('0 nan 0.5 0.1 0.1', 'line 1: a coordinate is no finite number'),
        ('0 0.5 inf 0.1 0.1', 'line 1: a coordinate is no finite number'),
        ('2 0.5 0.5 0.1 0.1', 'line 1: class 2 is none of the 2 classes'),
        ('-1 0.5 0.5 0.1 0.1', 'line 1: class -1 is none'),
        ('0.5 0.5 0.5 0.1 0.1', "line 1: '0.5 0.5 0.5 0.1 0.1' is no box"),
        ('nan 0.5 0.5 0.1 0.1', 'is no box'),
        ('0 0.5 0.5', 'is no box'),
        ('0 0.1 0.1 0.5 0.5 0.3', 'is no box'),
        ('car 0.5 0.5 0.1 0.1', 'is no box'),
        ('0 0.5 0.5 0 0.1', 'width and height must be above 0'),
        ('0 0.5 0.5 0.1 -0.1', 'width and height must be above 0'),
        ('0 1.5 0.5 0.1 0.1', 'the box lies outside the picture; left out'),
        ('0 300 200 50 60', 'the box lies outside the picture; left out'),
    ],
)
def test_a_bad_yolo_row_is_named_and_left_out(tmp_path, row, expected):
    rows = [f'{row}\n1 0.5 0.5 0.1 0.1\n']
    data = read_yolo(write_yolo(tmp_path / 'set', rows, ['car', 'bus']))
    assert data.pictures[0].class_ids.tolist() == [1]
    (problem,) = data.problems
    assert problem.file.name == '0.txt' and expected in problem.what


def test_boxes_across_the_border_are_clipped(tmp_path):
    # By far, and by no more than a tool's rounding, which is not worth a word.
    rows = ['0 0.0 0.5 0.2 0.2\n1 0.05 0.5 0.101 0.2\n0 -0.2 0.1 0.5 0.1 0.5 1.4\n']
    data = read_yolo(write_yolo(tmp_path / 'set', rows, ['car', 'bus']))
    boxes = data.pictures[0].boxes
    assert boxes.min() == 0 and boxes.max() == 1
    assert boxes[0] == pytest.approx(np.array([0, 0.4, 0.1, 0.6]))
    assert data.pictures[0].polygons[2][0][:, 0].min() == 0
    assert what(data) == [
        '0.txt: line 1: the box lies partly outside the picture; clipped',
        '0.txt: line 3: the box lies partly outside the picture; clipped',
    ]


def test_a_row_twice_counts_once(tmp_path):
    rows = ['0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n0 0.50000 0.5 0.1 0.1\n']
    data = read_yolo(write_yolo(tmp_path / 'set', rows, ['car', 'bus']))
    assert data.pictures[0].class_ids.tolist() == [0, 1]
    assert what(data) == ['0.txt: line 3: stands there twice; counted once']


def test_pictures_and_labels_without_each_other(tmp_path):
    folder = write_yolo(tmp_path / 'set', ['0 0.5 0.5 0.1 0.1\n'] * 3, ['car'])
    (folder / 'images' / '0.png').write_bytes(b'')
    (folder / 'images' / '1.png').unlink()
    (folder / 'labels' / '2.txt').write_bytes(b'\xff\xfe0')
    data = read_yolo(folder)
    assert [picture.file.name for picture in data.pictures] == ['2.png']
    assert len(data.pictures[0].boxes) == 0
    text = what(data)
    assert text[0] == '0.png: the file is empty; left out'
    assert text[1].startswith('2.txt: cannot be read (') and 'utf-8' in text[1]
    assert text[2] == '1.txt: has no picture; left out'
    assert len(text) == 3


def test_two_pictures_of_one_name_do_not_share_labels(tmp_path):
    folder = write_yolo(tmp_path / 'set', ['0 0.5 0.5 0.1 0.1\n'], ['car'])
    (folder / 'images' / '0.jpg').write_bytes((folder / 'images' / '0.png').read_bytes())
    data = read_yolo(folder)
    assert len(data.pictures) == 1
    assert what(data) == ['0.png: has the labels of another picture, 0.txt; left out']


def test_yolo_names(tmp_path):
    folder = write_yolo(tmp_path / 'set', ['1 0.5 0.5 0.1 0.1\n'])
    assert read_yolo(folder).names == ('0', '1')
    assert read_yolo(folder, ['green', 'red']).names == ('green', 'red')
    (folder / 'classes.txt').write_text('a\nb\n')
    assert read_yolo(folder).names == ('a', 'b')
    (folder / 'data.yaml').write_text('names: {1: y, 0: x}\n')
    assert read_yolo(folder).names == ('x', 'y')
    (folder / 'data.yaml').write_text('names: {1: y, 2: x}\n')
    with pytest.raises(UserError, match='data.yaml: expected names'):
        read_yolo(folder)
    (folder / 'data.yaml').write_text('names: [')
    with pytest.raises(UserError, match='cannot be read'):
        read_yolo(folder)


def test_yolo_labels_come_back_as_written(tmp_path):
    rows = ['1 0.5 0.25 0.5 0.5\n0 0.1 0.2 0.5 0.2 0.3 0.8\n', '']
    folder = write_yolo(tmp_path / 'set', rows, ['car', 'bus'])
    before = read_yolo(folder)
    for picture in before.pictures:
        write_yolo_labels(folder / 'labels' / f'{picture.file.stem}.txt', picture)
    after = read_yolo(folder)
    assert (folder / 'labels' / '1.txt').read_text() == ''
    assert after.pictures[0].boxes == pytest.approx(before.pictures[0].boxes, abs=1e-6)
    assert after.pictures[0].polygons[1][0] == pytest.approx(
        before.pictures[0].polygons[1][0], abs=1e-6
    )


# ---- COCO


def test_coco_polygons_crowd_and_sparse_ids(tmp_path):
    file = coco_json(write_pictures(tmp_path, 2) / 'a.json', [SQUARE, TRIANGLE])
    data = read_dataset(file)
    assert data.names == ('car', 'person')
    (broken,) = data.problems
    assert 'its mask is no run lengths' in broken.what
    first, second = data.pictures
    assert (first.size, first.class_ids.tolist()) == ((64, 48), [0, 1])
    assert first.boxes == pytest.approx(
        np.array([[8 / 64, 8 / 48, 24 / 64, 24 / 48], [16 / 64, 12 / 48, 48 / 64, 36 / 48]])
    )
    assert first.crowd.tolist() == [True, False]
    assert first.polygons[0] == ()
    assert first.polygons[1][0] * (64, 48) == pytest.approx(
        np.array([[16, 12], [48, 12], [32, 36]])
    )
    assert len(second.boxes) == 0


def test_every_bad_annotation_is_named(tmp_path):
    wrong = [
        {**TRIANGLE, 'id': 10, 'bbox': [1, 2, float('nan'), 4]},
        {**TRIANGLE, 'id': 11, 'bbox': [1, 2, 3]},
        {**TRIANGLE, 'id': 12, 'category_id': 5},
        {**TRIANGLE, 'id': 13, 'image_id': 99},
        {**TRIANGLE, 'id': 14, 'bbox': [70, 2, 10, 10]},
        {**TRIANGLE, 'id': 15, 'bbox': [1, 2, 0, 4]},
        {**TRIANGLE, 'id': 16, 'bbox': [60, 2, 10, 10]},
        {**TRIANGLE, 'id': 17},
        {**TRIANGLE, 'id': 18, 'bbox': [1, 2, 10**400, 4]},
        {**TRIANGLE, 'id': 19, 'image_id': [1]},
        'nonsense',
    ]
    file = coco_json(write_pictures(tmp_path, 2) / 'a.json', [TRIANGLE, *wrong])
    data = read_dataset(file)
    assert data.pictures[0].class_ids.tolist() == [1, 1]
    text = ' | '.join(what(data))
    for part in (
        'annotation 10 of 0.png: a coordinate is no finite number',
        'annotation 11 of 0.png lacks image_id',
        'annotation 12 of 0.png: category 5 is not listed',
        'annotation 13: image 99 is not listed',
        'annotation 14 of 0.png: the box lies outside the picture',
        'annotation 15 of 0.png: width and height must be above 0',
        'annotation 16 of 0.png: the box lies partly outside the picture; clipped',
        'annotation 17 of 0.png: stands there twice',
        'annotation 18 of 0.png lacks',
        'annotation 19 lacks',
        'annotation nonsense lacks',
    ):
        assert part in text
    assert len(data.problems) == 11


def test_bad_images_of_a_json(tmp_path):
    file = coco_json(write_pictures(tmp_path, 2) / 'a.json', [])
    content = json.loads(file.read_text())
    first = content['images'][0]
    content['images'] += [first, {**first, 'id': 7, 'file_name': 'gone.png'}, {'id': 8}, 3]
    file.write_text(json.dumps(content))
    data = read_dataset(file)
    assert len(data.pictures) == 2
    assert what(data) == [
        'a.json: image 1, 0.png: stands there twice; counted once',
        'a.json: image 4 lacks id, file_name, width or height; left out',
        'a.json: image 5 lacks id, file_name, width or height; left out',
        'gone.png: No such file or directory; left out',
    ]


def test_coco_comes_back_as_written(tmp_path):
    folder = write_pictures(tmp_path, 2)
    before = read_coco(coco_json(folder / 'a.json', [SQUARE, TRIANGLE]), folder / 'images')
    write_coco(folder / 'b.json', before.pictures, before.names, folder)
    after = read_coco(folder / 'b.json', folder)
    assert after.names == before.names
    for one, other in zip(before.pictures, after.pictures, strict=True):
        assert (one.file, one.size) == (other.file, other.size)
        assert one.boxes == pytest.approx(other.boxes, abs=1e-5)
        assert one.class_ids.tolist() == other.class_ids.tolist()
        assert one.crowd.tolist() == other.crowd.tolist()
        for outlines, others in zip(one.polygons, other.polygons, strict=True):
            assert len(outlines) == len(others)
            for outline, again in zip(outlines, others, strict=True):
                assert outline == pytest.approx(again, abs=1e-4)
    content = json.loads((folder / 'b.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['images/0.png', 'images/1.png']
    assert [a['area'] for a in content['annotations']] == [256, 32 * 24 / 2]
    with pytest.raises(UserError, match='lies outside'):
        write_coco(folder / 'c.json', before.pictures, before.names, folder / 'elsewhere')


@pytest.mark.parametrize('compressed', [False, True])
def test_run_length_masks_become_outlines(tmp_path, compressed):
    """Two pieces, one of them over the whole height of the picture."""
    picture = np.zeros((48, 64), np.uint8)
    picture[:, 60:] = picture[4:10, 8:20] = 1
    rle = mask.encode(np.asfortranarray(picture))
    counts = [8 * 48 + 4, *[6, 42] * 11, 6, 38 + 40 * 48, 4 * 48]
    if compressed:
        counts = rle['counts'].decode()
    crowd = {**SQUARE, 'segmentation': {'size': [48, 64], 'counts': counts}}
    file = coco_json(write_pictures(tmp_path, 1) / 'a.json', [crowd], 1)
    (one,) = read_coco(file, tmp_path / 'images').pictures
    assert one.crowd.tolist() == [True] and len(one.polygons[0]) == 2
    pixels = [(outline * (64, 48)).ravel().tolist() for outline in one.polygons[0]]
    back = mask.merge(mask.frPyObjects(pixels, 48, 64))
    assert back['counts'] == rle['counts']


@pytest.mark.parametrize(
    ('segmentation', 'what'),
    [
        ({'size': [64, 48], 'counts': [64 * 48]}, 'its mask is no run lengths of 48 x 64 pixels'),
        ([[1, 2, 3], [4, 4, 8, 4, 8, 8]], '1 of its 2 outlines cannot be used'),
        (['a'], '1 of its 1 outlines cannot be used'),
        ('a', '1 of its 1 outlines cannot be used'),
    ],
)
def test_a_broken_mask_is_named_and_its_box_stays(tmp_path, segmentation, what):
    car = {**SQUARE, 'segmentation': segmentation}
    file = coco_json(write_pictures(tmp_path, 1) / 'a.json', [car], 1)
    data = read_coco(file, tmp_path / 'images')
    (problem,) = data.problems
    assert problem.file == file and what in problem.what
    assert len(data.pictures[0].boxes) == 1


def test_area_of_an_outline():
    assert polygon_area(np.array([[0, 0], [4, 0], [4, 3], [0, 3]])) == 12
    assert polygon_area(np.array([[0, 3], [4, 3], [4, 0], [0, 0]])) == 12


# ---- prepared


@pytest.fixture
def prepared(tmp_path) -> Path:
    folder = write_pictures(tmp_path / 'source', 4)
    data = read_coco(coco_json(folder / 'a.json', [SQUARE, TRIANGLE], 4), folder / 'images')
    splits = {'fit': data.pictures[:3], 'calibrate': (), 'val': data.pictures[3:]}
    out = tmp_path / 'prepared'
    write_prepared(out, data.names, folder / 'images', splits, {'verb': 'test'})
    return out


def test_prepared_splits(prepared):
    described = read_prepared(prepared)
    assert described.names == ('car', 'person') and described.source == {'verb': 'test'}
    assert list(described.splits) == ['fit', 'val']
    fit = read_dataset(prepared, 'fit')
    assert len(fit.pictures) == 3 and fit.description == 'prepared, fit'
    assert fit.pictures[0].file.is_file() and not fit.problems
    assert len(read_dataset(prepared / 'dataset.yaml', 'val').pictures) == 1
    assert len(read_dataset(prepared / 'fit.json').pictures) == 3  # pictures found by name
    with pytest.raises(UserError, match='name one of its splits, fit, val'):
        read_dataset(prepared)
    with pytest.raises(UserError, match="no split 'select'; it has fit, val"):
        read_dataset(prepared, 'select')


def test_evaluation_finds_the_pictures_of_a_split(prepared):
    source, truth = open_dataset(prepared / 'val.json')
    assert [frame.name for frame in source] == ['3.png'] and len(truth) == 1


def test_pictures_inside_the_folder_are_named_relative_to_it(tmp_path):
    folder = write_pictures(tmp_path / 'a', 1)
    data = read_coco(coco_json(folder / 'a.json', [TRIANGLE], 1), folder / 'images')
    write_prepared(folder, data.names, folder / 'images', {'fit': data.pictures}, {})
    folder.rename(tmp_path / 'b')
    assert len(read_dataset(tmp_path / 'b', 'fit').pictures[0].boxes) == 1


@pytest.mark.parametrize('text', ['', '[', 'names: car', 'names: [car]\nimages: .\nsplits: 3\n'])
def test_a_broken_description(tmp_path, text):
    (tmp_path / 'dataset.yaml').write_text(text)
    with pytest.raises(UserError, match=r'dataset\.yaml is (no prepared data set|not valid YAML)'):
        read_dataset(tmp_path, 'fit')


def test_split_and_description_disagree(prepared):
    text = (prepared / 'dataset.yaml').read_text()
    (prepared / 'dataset.yaml').write_text(text.replace('- person', '- dog'))
    with pytest.raises(UserError, match='other classes than dataset.yaml'):
        read_dataset(prepared, 'fit')


# ---- nothing usable


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        read_dataset(tmp_path / 'nowhere')
    with pytest.raises(UserError, match='is no data set'):
        read_dataset(tmp_path)
    folder = write_yolo(tmp_path / 'set', [''], ['car'])
    with pytest.raises(UserError, match='has no splits'):
        read_dataset(folder, 'fit')
    (folder / 'images' / '0.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'none of the 1 pictures .* can be used: .*is empty'):
        read_dataset(folder)
    file = coco_json(tmp_path / 'a.json', [])
    with pytest.raises(UserError, match=r'none of its 2 pictures .* No such file'):
        read_dataset(file)
    for text, message in (('{', 'not valid JSON'), ('{}', 'no COCO'), ('[]', 'no COCO')):
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            read_dataset(file)


def test_the_real_sets(data_dir):
    coco, yolo = (
        read_dataset(data_dir / 'coco128/instances.json'),
        read_dataset(data_dir / 'coco128'),
    )
    assert len(coco.pictures) == len(yolo.pictures) == 128
    assert not coco.problems and not yolo.problems
    # The YOLO labels were made from the json and lack its crowd regions.
    for one, other in zip(coco.pictures, yolo.pictures, strict=True):
        assert one.file.name == other.file.name
        image = cv2.imread(str(one.file))
        assert one.size == (image.shape[1], image.shape[0])
        ours, theirs = (np.sort(b, 0) for b in (one.boxes[~one.crowd], other.boxes))
        assert len(ours) == len(theirs) and np.abs(ours - theirs).max(initial=0) < 0.01


# ---- soft labels


def test_scores_are_read_and_written(tmp_path):
    folder = write_pictures(tmp_path / 'set', 2)
    rows = [
        TRIANGLE,
        {**TRIANGLE, 'id': 3, 'bbox': [1, 1, 8, 8], 'score': 0.625},
        {**TRIANGLE, 'id': 4, 'bbox': [2, 2, 8, 8], 'score': None},
        {**TRIANGLE, 'id': 5, 'bbox': [3, 3, 8, 8], 'score': 0},
        {**TRIANGLE, 'id': 6, 'bbox': [4, 4, 8, 8], 'score': 1.5},
        {**TRIANGLE, 'id': 7, 'bbox': [5, 5, 8, 8], 'score': 'high'},
    ]
    data = read_coco(coco_json(folder / 'a.json', rows), folder / 'images')
    first, second = data.pictures
    assert first.weights.tolist() == [1, 0.625, 1] and second.weights is None
    assert first.soft.tolist() == [False, True, False] and not second.soft.any()
    for problem, score in zip(what(data), ('0', '1.5', 'nan'), strict=True):
        assert f'the score {score} is not above 0 and at most 1' in problem
    write_coco(folder / 'b.json', data.pictures, data.names, folder / 'images')
    written = json.loads((folder / 'b.json').read_text())['annotations']
    assert [row.get('score') for row in written] == [None, 0.625, None]
    again = read_coco(folder / 'b.json', folder / 'images')
    assert again.pictures[0].weights.tolist() == [1, 0.625, 1]
