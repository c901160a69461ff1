# SPDX-License-Identifier: Apache-2.0
"""The names in an ONNX file are those that the onnx package reads."""

from __future__ import annotations

import onnx
import pytest
from artifacts import tiny_model

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.onnx_file import read_onnx_file


def test_names_of_our_graph(tmp_path):
    model = tiny_model()
    onnx.save(model, tmp_path / 'model.onnx')
    found = read_onnx_file(tmp_path / 'model.onnx')
    assert list(found.outputs) == ['p3', 'p4', 'p5']
    assert found.operators == {node.op_type for node in model.graph.node}


def test_names_of_a_real_export(data_dir):
    path = data_dir / 'weights' / 'yolov5n-seg.onnx'
    graph = onnx.load(path).graph
    found = read_onnx_file(path)
    assert list(found.outputs) == [output.name for output in graph.output]
    assert found.operators == {node.op_type for node in graph.node}


def test_damaged_files(tmp_path):
    path = tmp_path / 'model.onnx'
    whole = tiny_model().SerializeToString()
    # Cut off anywhere but between two of its fields, of which the graph is by far the longest.
    for content in (b'', *(whole[:length] for length in range(99, len(whole) - 99, 101))):
        path.write_bytes(content)
        with pytest.raises(UserError, match='is no ONNX file; export'):
            read_onnx_file(path)
    for content in (b'\xff' * 99, b'\x3f' + bytes(9), b'\x3a\x02\x0a\xff\xff'):
        path.write_bytes(content)
        with pytest.raises(UserError, match='is no ONNX file; export'):
            read_onnx_file(path)
    with pytest.raises(UserError, match='is no ONNX file'):
        read_onnx_file(tmp_path / 'none.onnx')
