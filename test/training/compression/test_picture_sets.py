# SPDX-License-Identifier: Apache-2.0
"""No picture serves two of calibration, choice and report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from labelled import write_yolo
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_training.compression.picture_sets import Labelled, open_picture_sets

SPEC = InputSpec(64, 64)
LABEL = '0 0.5 0.5 0.4 0.4\n'


def part(folder: Path, numbers: list[int]) -> Path:
    """Write a data set with these of eight different pictures."""
    write_yolo(folder, [LABEL] * 8, ['car'])
    for number in set(range(8)) - set(numbers):
        (folder / 'images' / f'{number}.png').unlink()
    return folder


def test_pictures_are_told_apart_by_content(tmp_path):
    calibration = part(tmp_path / 'calibration', [0, 1, 2])
    (calibration / 'images' / '1.png').rename(calibration / 'images' / 'another name.png')
    sets = open_picture_sets(
        *(SPEC, 100, [calibration]),
        [str(part(tmp_path / 'select', [2, 3, 4, 5]))],
        [str(part(tmp_path / 'data', [1, 4, 5, 6, 7]))],
    )
    assert len(sets.calibration.digests) == 3
    assert names(sets.choices) == ['3.png', '4.png', '5.png']
    assert names(sets.report) == ['6.png', '7.png']
    assert (sets.choices.left_out, sets.report.left_out) == (1, 3)
    described = sets.report.describe()
    assert (described['data'], described['pictures']) == ('data', 2)
    assert len(described['pictures_sha256']) == 64


def names(labelled: Labelled) -> list[str]:
    return [frame.name for one in labelled.sets for frame in one.frames()]


def test_several_sets_serve_as_one(tmp_path):
    calibration = [part(tmp_path / 'a', [0]), part(tmp_path / 'b', [1])]
    (tmp_path / 'map.yaml').write_text('car: truck\n')
    select = [str(part(tmp_path / 'c', [0, 2])), str(part(tmp_path / 'd', [2, 3, 4]))]
    data = [str(part(tmp_path / 'e', [4, 5])), str(part(tmp_path / 'f', [3, 6, 7]))]
    (tmp_path / 'other.yaml').write_text('car: bus\n')
    sets = open_picture_sets(
        *(SPEC, 100, calibration, [f'{select[0]}={tmp_path / "map.yaml"}', select[1]], data),
        class_map=tmp_path / 'other.yaml',
    )
    assert len(sets.calibration.digests) == 2
    assert names(sets.choices) == ['2.png', '3.png', '4.png'], 'one that is in both counts once'
    assert [one.class_map.name for one in sets.choices.sets] == ['map.yaml', 'other.yaml']
    assert names(sets.report) == ['5.png', '6.png', '7.png']
    assert sets.report.describe()['data'] == 'e + f'
    assert (len(sets.report), sets.report.left_out) == (3, 2)


def test_pictures_of_a_coco_json_among_others(tmp_path):
    data = [str(part(tmp_path / name, [0, 1])) for name in 'ab']
    with pytest.raises(UserError, match='those of one COCO json; give it alone'):
        open_picture_sets(SPEC, 100, data=data, images=tmp_path / 'a' / 'images', calibrate=False)


def test_a_set_without_a_picture_of_its_own(tmp_path):
    data = part(tmp_path / 'data', [0, 1])
    with pytest.raises(UserError, match='used for calibration or selection'):
        open_picture_sets(SPEC, 100, [data], [str(data)])
    with pytest.raises(UserError, match='used for calibration or selection'):
        open_picture_sets(SPEC, 100, (), [str(data)], [str(data)])


def test_splits_of_a_prepared_data_set(tmp_path):
    folder = write_shapes(tmp_path / 'set', fit=2, select=3)
    with pytest.raises(UserError, match='no split calibrate; give --calibration'):
        open_picture_sets(SPEC, 100, dataset=folder)
    dynamic = open_picture_sets(SPEC, 100, dataset=folder, calibrate=False)
    assert dynamic.calibration is None and len(dynamic.choices) == 3
    description = (folder / 'dataset.yaml').read_text()
    (folder / 'dataset.yaml').write_text(description.replace('fit: fit', 'calibrate: fit'))
    sets = open_picture_sets(SPEC, 100, dataset=folder)
    assert (len(sets.calibration.digests), len(sets.choices)) == (2, 3)
    assert sets.report is None
    other = tmp_path / 'other'
    shutil.copytree(folder / 'images', other)
    sets = open_picture_sets(SPEC, 1, calibration=[other], dataset=folder)
    assert len(sets.calibration.digests) == 1, 'what is named counts, not the split'
