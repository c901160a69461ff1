# SPDX-License-Identifier: Apache-2.0
"""Matching a data set's classes with a model's."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth

MODEL = ['person', 'car', 'traffic light', 'bus']


def data_set(names, used=None):
    ids = np.array(sorted(names) if used is None else used, np.int64)
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (len(ids), 1))
    return GroundTruth({'a.jpg': Truth(boxes, ids, np.zeros(len(ids), bool))}, names, 'the set')


def test_by_name():
    mapping = map_classes(MODEL, data_set({3: 'car', 10: 'Traffic_Light', 11: 'tram'}))
    assert mapping.to_model == {3: 1, 10: 2} and mapping.missing == ['tram']


def test_by_number_where_there_are_no_names():
    mapping = map_classes(MODEL, data_set(None, [0, 3]))
    assert mapping.to_model == {0: 0, 3: 3} and mapping.missing == []
    with pytest.raises(UserError, match='class 4 has no name and the model only 4 classes'):
        map_classes(MODEL, data_set(None, [4]))


def test_only_classes_that_occur_matter():
    mapping = map_classes(MODEL, data_set({0: 'car', 1: 'tram'}, used=[0]))
    assert mapping.to_model == {0: 1} and mapping.missing == []


@pytest.mark.parametrize(
    ('names', 'used', 'given', 'to_model'),
    [
        ({0: 'van', 1: 'car'}, [0, 1], {'van': 'car'}, {0: 1, 1: 1}),
        ({0: 'van', 1: 'car'}, [0, 1], {0: 3}, {0: 3, 1: 1}),
        (None, [0, 7], {7: 'bus'}, {0: 0, 7: 3}),
        (None, [7], {'7': '1'}, {7: 1}),
    ],
)
def test_by_the_users_map(tmp_path, names, used, given, to_model):
    truth = data_set(names, used)
    assert map_classes(MODEL, truth, given).to_model == to_model
    file = tmp_path / 'classes.yaml'
    file.write_text(''.join(f'{key!r}: {value!r}\n' for key, value in given.items()))
    assert map_classes(MODEL, truth, file).to_model == to_model


@pytest.mark.parametrize(
    ('names', 'given', 'words'),
    [
        ({0: 'van'}, {'van': 'lorry'}, "the model has no class 'lorry'"),
        ({0: 'van'}, {'van': 4}, 'the model has no class 4'),
        ({0: 'van'}, {'vna': 'car'}, "the set has no class 'vna'"),
        ({0: 'van', 1: 'tram'}, None, 'no class in common'),
        ({0: 'car'}, ['car'], 'expected lines of'),
    ],
)
def test_maps_that_do_not_fit(names, given, words):
    with pytest.raises(UserError, match=words):
        map_classes(MODEL, data_set(names), given)


def test_ambiguous_names():
    model = ['traffic light', 'traffic_light', 'car']
    assert map_classes(model, data_set({0: 'traffic_light'})).to_model == {0: 1}
    with pytest.raises(UserError, match='may be any of the classes 0, 1'):
        map_classes(model, data_set({0: 'Traffic-Light'}))


def test_files_that_are_no_map(tmp_path):
    file = tmp_path / 'classes.yaml'
    with pytest.raises(UserError, match='No such file'):
        map_classes(MODEL, data_set({0: 'car'}), file)
    for text in ('- car', 'car: [', 'car'):
        file.write_text(text)
        with pytest.raises(UserError, match='class map'):
            map_classes(MODEL, data_set({0: 'car'}), file)


def test_null_leaves_a_class_out():
    mapping = map_classes(MODEL, data_set(None, [0, 3]), {0: None, 3: 'car'})
    assert mapping.to_model == {3: 1} and mapping.missing == ['class 0']


def test_classes_that_no_object_is_of():
    named = data_set({0: 'car', 1: 'van'}, [1])
    assert map_classes(MODEL, named, {'van': 'car'}).to_model == {1: MODEL.index('car')}
    both = map_classes(MODEL, named, {'van': 'car'}, absent_too=True)
    assert both.to_model == dict.fromkeys((0, 1), MODEL.index('car'))
    numbers = map_classes(MODEL, data_set(None, [0]), {0: 'car', 5: 'car', 6: None}, True)
    assert set(numbers.to_model) == {0, 5} and numbers.missing == ['class 6']
