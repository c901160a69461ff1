# SPDX-License-Identifier: Apache-2.0
"""The float TFLite file. Its converter has an environment of its own, and is seldom here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_training.compression.tflite import export_tflite


def test_a_size_that_does_not_fit(tmp_path):
    with pytest.raises(UserError, match='give another --imgsz'):
        export_tflite(random_yolov5(2), tmp_path / 'model.tflite', 60, 96)


@pytest.mark.skipif(find_spec('litert_torch') is None, reason='litert-torch is not installed')
def test_it_answers_like_the_network(tmp_path):
    """`export_tflite` compares the answers itself."""
    file = export_tflite(random_yolov5(2), tmp_path / 'model.tflite', 64, 96)
    assert (tmp_path / file.path).stat().st_size > 1e6
    assert (file.input.dtype, file.input.layout, file.output_layout) == ('float32', 'nhwc', 'nhwc')
