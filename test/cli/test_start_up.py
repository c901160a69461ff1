# SPDX-License-Identifier: Apache-2.0
"""A process of its own pays for its own runtime, and for no other."""

from __future__ import annotations

import pytest
from artifacts import write_tiny_artifact
from processes import without

from kd_yolo_ros.cli.start_up import start_up
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.variants import find_variants


def test_an_export_on_one_runtime_needs_no_other(data_dir, tmp_path, monkeypatch):
    """ONNX Runtime, which describes such an export, is not even there in that process."""
    (variant,) = find_variants(data_dir / 'weights' / 'yolov5n-seg.onnx', ['openvino'], ['fp32'])
    monkeypatch.setenv('PYTHONPATH', str(without(tmp_path, 'onnxruntime')))
    cost = start_up(variant, 1)
    assert cost['start_s'] > 0 and cost['peak_rss_mb'] > 30


def test_its_last_words(tmp_path, monkeypatch):
    (variant,) = find_variants(write_tiny_artifact(tmp_path / 'tiny'), ['onnxruntime'])
    monkeypatch.setenv('PYTHONPATH', str(without(tmp_path / 'path', 'onnxruntime')))
    with pytest.raises(UserError, match=r'model\.onnx on onnxruntime failed .* not installed'):
        start_up(variant, 1)
