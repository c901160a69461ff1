# SPDX-License-Identifier: Apache-2.0
"""Every missing, unknown or absurd value of a manifest is refused by its name."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import yaml
from artifacts import tiny_manifest

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import AP_THRESHOLDS, Manifest, Thresholds

WHERE = 'here/artifact.yaml'


@pytest.fixture
def data():
    """The tiny detector's manifest as it stands in a YAML file."""
    return copy.deepcopy(tiny_manifest().to_dict())


def set_at(data, path, value):
    """Set the value at a path such as 'files.0.input.width'; `...` takes it away."""
    *above, last = [int(key) if key.isdigit() else key for key in path.split('.')]
    for key in above:
        data = data[key]
    if value is ...:
        del data[last]
    else:
        data[last] = value


def refusal(data):
    """The sentence with which the data are refused."""
    with pytest.raises(UserError) as raised:
        Manifest.from_dict(data, WHERE)
    sentence = str(raised.value)
    assert sentence.startswith(WHERE) and '\n' not in sentence
    return sentence


def test_what_is_written_is_what_is_read(data):
    manifest = tiny_manifest(
        thresholds=Thresholds(score=0.3, iou=0.5, class_ids=(0, 2), class_agnostic=True),
        provenance={'teacher': {'name': 'yolov5x', 'seed': 3}},
    )
    text = yaml.safe_dump(manifest.to_dict())
    assert Manifest.from_dict(yaml.safe_load(text), WHERE) == manifest
    assert Manifest.from_dict(data, WHERE) == tiny_manifest()


def test_what_may_be_left_out_gets_its_default(data):
    for path in ('thresholds', 'licence', 'provenance', 'files.0.input.scale', 'files.0.accuracy'):
        set_at(data, path, ...)
    assert Manifest.from_dict(data, WHERE) == dataclasses.replace(
        tiny_manifest(), licence='unknown'
    )


def test_schema_1_is_read(data):
    """As the artifacts have it that were made before runtimes laid out their outputs."""
    added = ('output_layout', 'normalized_boxes', 'box_order', 'outputs')
    for path in (*(f'files.0.{name}' for name in added), 'head.first_label'):
        set_at(data, path, ...)
    data['schema'] = 1
    assert Manifest.from_dict(data, WHERE) == tiny_manifest()
    assert Manifest.from_dict(data, WHERE).to_dict()['schema'] == 2


def test_ap_is_measured_as_the_design_says():
    assert AP_THRESHOLDS.score == 0.001 and AP_THRESHOLDS.iou == 0.65
    assert AP_THRESHOLDS.max_detections == 300 and AP_THRESHOLDS.multi_label
    assert not AP_THRESHOLDS.class_agnostic and AP_THRESHOLDS.class_ids is None


@pytest.mark.parametrize('data', [None, [], 'a text', 3])
def test_no_mapping(data):
    assert 'not an artifact manifest' in refusal(data)


@pytest.mark.parametrize('schema', [3, 0, '1', True, None, ...])
def test_unknown_schema(data, schema):
    set_at(data, 'schema', schema)
    assert f'schema {None if schema is ... else schema!r}' in refusal(data)


@pytest.mark.parametrize(
    'path',
    [
        *('name', 'task', 'class_names', 'head', 'files', 'head.layout', 'files.0.path'),
        *('files.0.runtimes', 'files.0.precision', 'files.0.input', 'files.0.input.width'),
    ],
)
def test_missing_field(data, path):
    set_at(data, path, ...)
    above, _, last = path.rpartition('.')
    sentence = refusal(data)
    assert f"'{last}' is missing" in sentence
    assert above.replace('.0', '[0]').replace('.', ': ') in sentence


@pytest.mark.parametrize(
    'path', ['speed', 'head.speed', 'thresholds.speed', 'files.0.speed', 'files.0.input.speed']
)
def test_unknown_field(data, path):
    set_at(data, path, 1)
    assert "'speed' is not a known field" in refusal(data)


def test_openvino_weights_without_a_hash(data):
    set_at(data, 'files.0.path', 'openvino.xml')
    set_at(data, 'files.0.sha256', {'openvino.xml': 'ab'})
    assert "'openvino.bin' has no sha256" in refusal(data)


@pytest.mark.parametrize(
    ('path', 'value', 'expected'),
    [
        ('name', '', 'name: '),
        ('name', ['tiny'], 'a text'),
        ('class_names', 'red', 'a list'),
        ('class_names', [1, 2], 'a text'),
        ('class_names', [], '0 class names'),
        ('class_names', ['red', 'red', 'blue'], 'class name'),
        ('class_names', [str(i) for i in range(10_001)], '10001 class names'),
        ('task', 'classify', "'classify' is not one of detect, segment"),
        ('task', 'segment', 'mask'),
        ('provenance', 'me', 'a mapping'),
        ('head', [], 'not a mapping'),
        ('head.layout', 'grid', 'anchor_grid'),
        ('head.strides', [8, 16], 'strides'),
        ('head.strides', [32, 16, 8], 'ascending'),
        ('head.strides', [0, 8, 16], 'positive'),
        ('head.strides', [8, 16, 'x'], 'a whole number'),
        ('head.strides', [], 'strides'),
        ('head.anchors', [[[8, 8]]], 'anchors'),
        ('head.anchors.0', [[8]], 'two numbers'),
        ('head.anchors.0', [[8, -8]], 'anchor'),
        ('head.anchors.0', [[8, float('nan')]], 'a number'),
        ('head.anchors.0', [[8, 1e9]], 'anchor'),
        ('head.mask_coefficients', -1, 'mask_coefficients -1'),
        ('head.mask_coefficients', 32, 'mask'),
        (
            'head',
            {'layout': 'detections', 'mask_coefficients': 32},
            'mask_coefficients 32 do not fit the layout detections',
        ),
        ('thresholds.score', 1.5, 'score 1.5'),
        ('thresholds.score', -0.1, 'score -0.1'),
        ('thresholds.score', float('nan'), 'score'),
        ('thresholds.score', '0.5', 'a number'),
        ('thresholds.score', True, 'a number'),
        ('thresholds.iou', 2, 'iou 2'),
        ('thresholds.max_detections', 0, 'max_detections 0'),
        ('thresholds.max_detections', 10**9, 'max_detections 1000000000'),
        ('thresholds.max_detections', 2.5, 'a whole number'),
        ('thresholds.multi_label', 1, 'true or false'),
        ('thresholds.class_ids', [0, 3], 'class_ids'),
        ('thresholds.class_ids', [-1], 'class_ids'),
        ('files', [], 'no model file'),
        ('files', {}, 'not a list'),
        ('files.0', 'model.onnx', 'not a mapping'),
        ('files.0.runtimes', [], 'no runtime'),
        ('files.0.runtimes', 'openvino', 'a list'),
        ('files.0.precision', 'int4', "'int4' is not one of fp32"),
        ('files.0.sha256', {'other.bin': 'ab'}, "'model.onnx' has no sha256"),
        ('files.0.cpu_features', 'avx', 'a list'),
        ('files.0.accuracy', {}, 'a list'),
        ('head.first_label', 2, 'first_label 2'),
        ('head.layout', 'anchor_free', 'decode_inside must be true'),
        ('head.layout', 'end_to_end', 'decode_inside must be true'),
        ('files.0.output_layout', 'nwhc', "'nwhc' is not one of nchw, nhwc"),
        ('files.0.box_order', 'xywh', "'xywh' is not one of xyxy, yxyx"),
        ('files.0.normalized_boxes', 1, 'true or false'),
        ('files.0.outputs', [0, 0], 'outputs [0, 0]'),
        ('files.0.outputs', [-1], 'outputs [-1]'),
        ('files.0.outputs', ['boxes'], 'a whole number'),
        ('files.0.input.width', 0, 'width 0'),
        ('files.0.input.width', 10**6, 'width 1000000'),
        ('files.0.input.height', -64, 'height -64'),
        ('files.0.input.height', 64.5, 'a whole number'),
        ('files.0.input.width', 100, 'multiple of the stride 32'),
        ('files.0.input.dtype', 'int32', 'dtype'),
        ('files.0.input.layout', 'chwn', 'layout'),
        ('files.0.input.colour_order', 'grb', 'colour_order'),
        ('files.0.input.scale', 0, 'scale 0'),
        ('files.0.input.scale', 255, 'scale 255'),
        ('files.0.input.scale', float('inf'), 'a number'),
        ('files.0.input.scale', 10**400, 'a number'),
    ],
)
def test_absurd_value(data, path, value, expected):
    set_at(data, path, value)
    assert expected in refusal(data)


PATHS = ['../model.onnx', '/etc/model.onnx', 'sub/model.onnx', '..', '.', './', 'a/../b', '//x']


@pytest.mark.parametrize('path', PATHS)
def test_path_outside_the_folder(data, path):
    set_at(data, 'files.0.path', path)
    assert f"'{path}' is not a file name inside" in refusal(data)


@pytest.mark.parametrize('path', PATHS)
def test_part_outside_the_folder(data, path):
    set_at(data, 'files.0.sha256', {'model.onnx': 'ab', path: 'cd'})
    assert f"'{path}' is not a file name inside" in refusal(data)
