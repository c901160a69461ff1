# SPDX-License-Identifier: Apache-2.0
"""Names of results, and differences as text."""

from __future__ import annotations

import pytest

from kd_yolo_ros.metrics.text import interval_text, labels, short_names

ONE = {
    'artifact': 'n',
    'runtime': 'openvino',
    'precision': 'int8',
    'input': [384, 640],
    'threads': 2,
    'file': 'openvino.xml',
}


@pytest.mark.parametrize(
    ('others', 'expected'),
    [
        ([], ['openvino · int8']),
        ([{'runtime': 'onnxruntime'}], ['openvino · int8', 'onnxruntime · int8']),
        ([{'artifact': 's'}], ['n · openvino · int8', 's · openvino · int8']),
        (
            [{'input': [640, 640]}],
            ['openvino · int8 · 384x640', 'openvino · int8 · 640x640'],
        ),
        (
            [{'file': 'dynamic.onnx'}, {'precision': 'fp32'}],
            [
                'openvino · int8 · openvino.xml',
                'openvino · int8 · dynamic.onnx',
                'openvino · fp32',
            ],
        ),
        ([{'threads': None, 'precision': 'fp32'}], ['openvino · int8', 'openvino · fp32']),
        ([{'threads': 1}], ['openvino · int8 · 2 threads', 'openvino · int8 · 1 threads']),
    ],
)
def test_labels_say_what_differs(others, expected):
    assert labels([ONE, *({**ONE, **other} for other in others)]) == expected


def test_an_interval_is_in_points():
    interval = {'difference': -0.0031, 'low': -0.008, 'high': 0.0015}
    assert interval_text(interval) == '-0.31 [-0.80, +0.15]'


def test_short_names_of_paths(tmp_path):
    paths = [tmp_path / name for name in ('a/best.onnx', 'b/best.onnx', 'c/last.onnx')]
    assert short_names(paths) == ['a/best.onnx', 'b/best.onnx', 'last.onnx']
    assert short_names([paths[0], tmp_path / 'a/../a/best.onnx']) == ['best.onnx'] * 2
