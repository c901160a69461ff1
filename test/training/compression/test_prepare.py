# SPDX-License-Identifier: Apache-2.0
"""Float graphs are read with one size, recent operators and names; others are refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_graphs import tiny

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec
from kd_yolo_training.compression.prepare import prepare


@pytest.mark.parametrize(
    ('nodes', 'words'),
    [
        ([helper.make_node('Relu', ['images'], ['y'])], 'no convolution'),
        ([helper.make_node('QuantizeLinear', ['images', 's'], ['y'])], 'quantized already'),
    ],
)
def test_graphs_that_cannot_be_quantized(tmp_path, nodes, words):
    onnx.save(tiny(*nodes, s=np.float32(1)), tmp_path / 'model.onnx')
    with pytest.raises(UserError, match=words):
        prepare(tmp_path / 'model.onnx', InputSpec(64, 64))


def test_no_onnx_file(tmp_path):
    (tmp_path / 'model.onnx').write_bytes(b'hello')
    with pytest.raises(UserError, match='no valid ONNX'):
        prepare(tmp_path / 'model.onnx', InputSpec(64, 64))


def test_unknown_sizes_and_old_operators_are_settled(tmp_path):
    model = tiny(
        helper.make_node('Conv', ['images', 'w'], ['y']), w=np.ones((2, 3, 1, 1), np.float32)
    )
    shape = model.graph.input[0].type.tensor_type.shape
    for dimension in shape.dim:
        dimension.dim_param = 'any'
    model.opset_import[0].version = 11
    onnx.save(model, tmp_path / 'model.onnx')
    prepared = prepare(tmp_path / 'model.onnx', InputSpec(96, 64, 'float32', 'nchw', 'rgb', 1.0))
    assert [d.dim_value for d in prepared.graph.input[0].type.tensor_type.shape.dim] == [
        *(1, 3, 64, 96)
    ]
    assert prepared.opset_import[0].version == 13
    assert all(node.name for node in prepared.graph.node)
