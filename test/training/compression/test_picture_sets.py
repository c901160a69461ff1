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
from kd_yolo_training.compression.picture_sets import open_picture_sets

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
        *(SPEC, 100, calibration),
        *(part(tmp_path / 'select', [2, 3, 4, 5]), part(tmp_path / 'data', [1, 4, 5, 6, 7])),
    )
    assert len(sets.calibration.digests) == 3
    assert [f.name for f in sets.choices.pictures] == ['3.png', '4.png', '5.png']
    assert [f.name for f in sets.report.pictures] == ['6.png', '7.png']
    assert (sets.choices.pictures.left_out, sets.report.pictures.left_out) == (1, 3)
    described = sets.report.describe()
    assert (described['data'], described['pictures']) == ('data', 2)
    assert len(described['pictures_sha256']) == 64


def test_a_set_without_a_picture_of_its_own(tmp_path):
    data = part(tmp_path / 'data', [0, 1])
    with pytest.raises(UserError, match='used for calibration or selection'):
        open_picture_sets(SPEC, 100, data, data)
    with pytest.raises(UserError, match='used for calibration or selection'):
        open_picture_sets(SPEC, 100, None, data, data)


def test_splits_of_a_prepared_data_set(tmp_path):
    folder = write_shapes(tmp_path / 'set', fit=2, select=3)
    with pytest.raises(UserError, match='no split calibrate; give --calibration'):
        open_picture_sets(SPEC, 100, dataset=folder)
    dynamic = open_picture_sets(SPEC, 100, dataset=folder, calibrate=False)
    assert dynamic.calibration is None and len(dynamic.choices.pictures.kept) == 3
    description = (folder / 'dataset.yaml').read_text()
    (folder / 'dataset.yaml').write_text(description.replace('fit: fit', 'calibrate: fit'))
    sets = open_picture_sets(SPEC, 100, dataset=folder)
    assert (len(sets.calibration.digests), len(sets.choices.pictures.kept)) == (2, 3)
    assert sets.report is None
    other = tmp_path / 'other'
    shutil.copytree(folder / 'images', other)
    sets = open_picture_sets(SPEC, 1, calibration=other, dataset=folder)
    assert len(sets.calibration.digests) == 1, 'what is named counts, not the split'
