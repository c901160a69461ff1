# SPDX-License-Identifier: Apache-2.0
"""Small ONNX graphs for the tests of quantization."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper


def tiny(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """Return a graph of these nodes on `images`, (1, 4, 8, 8); the last node's output is its."""
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            nodes,
            'tiny',
            [value('images', TensorProto.FLOAT, [1, 4, 8, 8])],
            [value(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid('', 17)],
        ir_version=8,
    )
