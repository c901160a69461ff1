# SPDX-License-Identifier: Apache-2.0
"""The AP loop, with a predictor that knows the answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.metrics.evaluation import evaluate
from kd_yolo_ros.metrics.ground_truth import read_yolo

COLOURS = {'red': (0, 0, 255), 'green': (0, 255, 0)}


class ColourPredictor:
    """Finds the rectangle of a pure colour: a real detector for generated pictures."""

    class_names = list(COLOURS)

    def __init__(self):
        self.stages_ms = {}

    def predict(self, picture, masks=True):
        self.asked_for_masks = masks
        boxes, ids = [], []
        for class_id, colour in enumerate(COLOURS.values()):
            ys, xs = np.nonzero((picture == colour).all(axis=2))
            if len(xs):
                boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                ids.append(class_id)
        self.stages_ms = {'infer': 1.0 + len(boxes)}
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(ids), 0.9, np.float32),
            np.array(ids, np.int64),
        )


def write_scenes(folder, names=('red', 'green')):
    """Two pictures of 80x40 with one object each, and one without."""
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    for index in range(3):
        picture = np.zeros((40, 80, 3), np.uint8)
        if index < 2:
            picture[10:20, 20:60] = COLOURS[list(COLOURS)[index]]
            (folder / 'labels' / f'{index}.txt').write_text(f'{index} 0.5 0.375 0.5 0.25\n')
        assert cv2.imwrite(str(folder / 'images' / f'{index}.png'), picture)
    (folder / 'classes.txt').write_text('\n'.join(names))
    return folder


def test_a_predictor_that_is_right(tmp_path):
    folder = write_scenes(tmp_path)
    seen = []
    result = evaluate(
        ColourPredictor(), open_source(folder), read_yolo(folder), progress=lambda: seen.append(1)
    )
    assert result['map50_95'] == pytest.approx(1) and result['images'] == 3 == len(seen)
    assert set(result['per_class']) == {'red', 'green'}
    assert result['stages_ms']['infer']['count'] == 3
    assert result['missing_classes'] == [] and result['unlabelled'] == 0


def test_masks_are_asked_for_where_they_can_be_judged(tmp_path):
    folder = write_scenes(tmp_path)
    predictor = ColourPredictor()
    evaluate(predictor, open_source(folder), read_yolo(folder))
    assert predictor.asked_for_masks is False
    (folder / 'labels' / '0.txt').write_text('0 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n')
    evaluate(predictor, open_source(folder), read_yolo(folder))
    assert predictor.asked_for_masks is True


def test_a_class_map(tmp_path):
    folder = write_scenes(tmp_path, names=('stop', 'go'))
    result = evaluate(
        ColourPredictor(), open_source(folder), read_yolo(folder), {'stop': 'red', 'go': 'green'}
    )
    assert result['map50_95'] == pytest.approx(1)
    swapped = evaluate(
        ColourPredictor(), open_source(folder), read_yolo(folder), {'stop': 'green', 'go': 'red'}
    )
    assert swapped['map50_95'] == 0


def test_classes_that_the_model_lacks(tmp_path):
    folder = write_scenes(tmp_path, names=('red', 'blue'))
    result = evaluate(ColourPredictor(), open_source(folder), read_yolo(folder))
    assert result['missing_classes'] == ['blue'] and set(result['per_class']) == {'red'}


def test_frames_without_ground_truth(tmp_path):
    folder = write_scenes(tmp_path / 'a')
    truth = read_yolo(folder)
    del truth.pictures['1.png']
    truth = type(truth)(truth.pictures, truth.names, truth.description)
    result = evaluate(ColourPredictor(), open_source(folder), truth)
    assert result['images'] == 2 and result['unlabelled'] == 1
    other = type(truth)({'x.png': truth.pictures['0.png']}, truth.names, 'another set')
    with pytest.raises(UserError, match='none of the 3 pictures has ground truth in another set'):
        evaluate(ColourPredictor(), open_source(folder), other)


def test_rescaled_pictures_give_the_same_answer(tmp_path):
    folder = write_scenes(tmp_path)
    shrunk = evaluate(ColourPredictor(), open_source(folder, size=(40, 20)), read_yolo(folder))
    assert shrunk['map50_95'] == pytest.approx(1)
