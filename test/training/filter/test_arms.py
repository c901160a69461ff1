# SPDX-License-Identifier: Apache-2.0
"""Networks are run on pictures once, and what was found is the AP that validation measures."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
from shapes import write_shapes
from synthetic_runs import synthetic_found, write_run

from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.engine.predict import checkpoint_predictor
from kd_yolo_training.engine.validation import validate
from kd_yolo_training.filter.arms import differences, measure, resampled_ap
from kd_yolo_training.filter.found import DETECTIONS, found_file, pictures_hash
from kd_yolo_training.filter.models import describe_model


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return read_dataset(write_shapes(tmp_path_factory.mktemp('shapes'), 1, 6), 'select')


def test_networks_are_run_once(tmp_path, data):
    runs = [write_run(tmp_path / f'run-{seed}', seed) for seed in range(3)]
    models = [describe_model(run) for run in runs]
    arms = {'plain': models[:2], 'other': models[2:]}
    titles = []

    def progress(items, title, *_):
        titles.append(title)
        if title == stop:
            raise KeyboardInterrupt
        return items

    stop = 'other 1 of 1'
    with pytest.raises(KeyboardInterrupt):
        measure(arms, data, tmp_path / 'out', 1, progress)
    stop = ''
    measured = measure(arms, data, tmp_path / 'out', 1, progress)
    assert titles == ['plain 1 of 2', 'plain 2 of 2', 'other 1 of 1', 'other 1 of 1']
    files = sorted((tmp_path / 'out' / DETECTIONS).iterdir())
    assert len(files) == 3
    # What was found is what validation in training finds.
    predictor = checkpoint_predictor(models[0].path, thresholds=AP_THRESHOLDS)
    expected = validate(predictor, data)
    per_class = measured['plain'][0].per_class(np.ones(len(data.pictures)))
    assert per_class.mean(0) == pytest.approx([expected['map50_95'], expected['map50']])
    # A file that is not whole is written again, for that network alone.
    files[0].write_bytes(files[0].read_bytes()[:-40])
    titles.clear()
    again = measure(arms, data, tmp_path / 'out', 1, progress)
    assert len(titles) == 1
    for name in arms:
        for one, other in zip(again[name], measured[name], strict=True):
            np.testing.assert_array_equal(one.per_class(np.ones(6)), other.per_class(np.ones(6)))


def test_boxes_without_masks_are_not_taken_for_a_segmentation_network(tmp_path):
    model = describe_model(write_run(tmp_path / 'run', 0))
    segmenter = dataclasses.replace(model, task='segment')
    assert len({found_file(tmp_path, one, 'same') for one in (model, segmenter)}) == 2


def test_a_picture_that_changed_is_looked_at_again(tmp_path):
    folder = write_shapes(tmp_path / 'shapes', 1, 3)
    data = read_dataset(folder, 'select')
    before = pictures_hash(data)
    assert pictures_hash(read_dataset(folder, 'select')) == before
    file = data.pictures[1].file
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    later = pictures_hash(data)
    file.write_bytes(file.read_bytes() + b' ')
    os.utime(file, ns=(0, 0))
    assert len({before, later, pictures_hash(data)}) == 3


def test_differences_are_to_the_baseline(data):
    measured = {
        name: [resampled_ap(data, synthetic_found(data, blur, 0))]
        for name, blur in (('plain', 3.0), ('better', 0.2), ('same', 3.0))
    }
    found = differences(measured, 'plain', 100, 0.95, 0)
    assert list(found) == ['better', 'same']
    assert found['better'].map50_95.low > 0.1
    assert found['same'].map50_95 == (0, 0, 0)
