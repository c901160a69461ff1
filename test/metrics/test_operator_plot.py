# SPDX-License-Identifier: Apache-2.0
"""Groups of operators and the picture of their times."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kd_yolo_ros.metrics.operator_plot import group, operator_plot


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        ('Convolution I8', 'convolutions'),
        ('QLinearConv', 'convolutions'),
        ('QLinearSigmoid', 'activations'),
        ('QuickGelu', 'activations'),
        ('ReorderOutput', 'moving and reordering'),
        ('Concat bf16', 'moving and reordering'),
        ('QLinearConcat', 'moving and reordering'),
        ('QuantizeLinear', 'casts'),
        ('MaxPool', 'other'),
    ],
)
def test_group(kind, name):
    assert group(kind) == name


def test_a_bar_grows_with_its_times():
    def width(ms: float) -> int:
        results = [
            {
                'artifact': 'n',
                'file': 'a.onnx',
                'runtime': 'onnxruntime',
                'precision': 'fp32',
                'threads': 1,
                'operators': [{'kind': 'Conv', 'nodes': 1, 'ms': part}],
            }
            for part in (ms, 4.0)
        ]
        png = operator_plot({'results': results, 'host': {'cpu': 'cpu'}})
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        blue = (picture == (180, 119, 31)).all(2)  # matplotlib's first colour, BGR
        return int(blue[blue.shape[0] // 3 : blue.shape[0] // 2].sum(1).max())

    assert 0 < width(1.0) < width(2.0) < width(3.0)
