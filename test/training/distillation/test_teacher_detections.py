# SPDX-License-Identifier: Apache-2.0
"""What teachers found is kept: a run that was cut off goes on, and changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from artifacts import SQUARES, scene
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.data.dataset import Picture
from kd_yolo_training.distillation import teacher_detections
from kd_yolo_training.distillation.teacher_detections import (
    THRESHOLDS,
    DetectionFile,
    detect_all,
)


@pytest.fixture(scope='module')
def teacher(tiny_artifact) -> Predictor:
    return Predictor(tiny_artifact, 'onnxruntime', thresholds=THRESHOLDS)


@pytest.fixture
def pictures(tmp_path) -> list[Picture]:
    made = []
    for number, square in enumerate(SQUARES):
        file = tmp_path / f'{number}.png'
        cv2.imwrite(str(file), scene([square], scale=2)[0])
        none = np.zeros(0, np.int64)
        made.append(Picture(file, none.reshape(0, 4), none, none.astype(bool), (), (192, 128)))
    return made


def all_of(items, *_):
    return items


def test_boxes_are_relative_and_kept(tmp_path, tiny_artifact, teacher, pictures):
    file = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    assert detect_all([file], pictures, all_of) == []
    for number, (square, picture) in enumerate(zip(SQUARES, pictures, strict=True)):
        found = file[picture.file]
        assert found.class_ids.tolist() == [number]
        expected = np.array(square.box) / (96, 64, 96, 64)
        np.testing.assert_allclose(found.boxes, [expected], atol=0.01)
    assert file.description['name'] == 'tiny' and file.description['runtime'] == 'onnxruntime'
    file.close()
    again = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    assert again.file == file.file
    for picture in pictures:
        np.testing.assert_array_equal(again[picture.file].boxes, file[picture.file].boxes)


@pytest.mark.parametrize('left', [1, 60, -1, 0])
def test_a_line_cut_off_is_made_again(tmp_path, tiny_artifact, teacher, pictures, left):
    """Of the last line so many characters are left, or all but its end."""
    whole = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    detect_all([whole], pictures, all_of)
    whole.close()
    expected = whole.file.read_bytes()
    lines = expected.splitlines(keepends=True)
    last = lines[-1][:left] if left else lines[-1].rstrip(b'\n')
    whole.file.write_bytes(b''.join(lines[:-1]) + last)
    looked_at = []
    resumed = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    add = resumed.add
    resumed.add = lambda picture, image: looked_at.append(picture) or add(picture, image)
    detect_all([resumed], pictures, all_of)
    resumed.close()
    assert looked_at == [pictures[-1].file]
    assert whole.file.read_bytes() == expected


def test_another_precision_or_model_has_a_file_of_its_own(tmp_path, tiny_artifact, teacher):
    other = Predictor(tiny_artifact, 'openvino', thresholds=THRESHOLDS)
    files = {DetectionFile(tmp_path, tiny_artifact, one).file for one in (teacher, other)}
    assert len(files) == 2


def test_another_version_of_this_package_has_a_file_of_its_own(
    tmp_path, tiny_artifact, teacher, monkeypatch
):
    one = DetectionFile(tmp_path, tiny_artifact, teacher)
    monkeypatch.setattr(teacher_detections, 'version', lambda package: f'{package} of tomorrow')
    other = DetectionFile(tmp_path, tiny_artifact, teacher)
    assert one.file != other.file and one.description == other.description


def test_one_process_at_a_time_writes_a_file(tmp_path, tiny_artifact, teacher, pictures):
    first = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    detect_all([first], pictures[:1], all_of)
    first._stream.write(b'half of a li')  # as the other one sees it in between
    first._stream.flush()
    with pytest.raises(UserError, match=r'tiny-\w+.jsonl is in use by another .*annotate'):
        DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    assert first.file.read_bytes().endswith(b'half of a li')
    first.close()
    second = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    assert pictures[0].file in second
    assert first.file.read_bytes().endswith(b'}\n')


def test_a_picture_that_cannot_be_read_is_a_problem(tmp_path, tiny_artifact, teacher, pictures):
    pictures[1].file.write_bytes(b'no picture')
    gone = dataclasses.replace(pictures[0], file=tmp_path / 'gone.png')
    file = DetectionFile(tmp_path / 'out', tiny_artifact, teacher)
    problems = detect_all([file], [gone, *pictures], all_of)
    assert [problem.file.name for problem in problems] == ['gone.png', '1.png']
    assert pictures[2].file in file and pictures[1].file not in file


def test_a_folder_that_cannot_be_made(tmp_path, tiny_artifact, teacher):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot be written'):
        DetectionFile(Path(tmp_path / 'file'), tiny_artifact, teacher)


def test_a_teacher_that_segments_computes_no_mask(tmp_path, pictures):
    artifact = write_tiny_segmenter(tmp_path / 'seg')
    predictor = Predictor(artifact, 'onnxruntime', thresholds=THRESHOLDS)
    file = DetectionFile(tmp_path / 'out', artifact, predictor)
    assert detect_all([file], pictures, all_of) == []
    assert len(file[pictures[0].file]) == 1
    assert 'masks' not in predictor.stages_ms
