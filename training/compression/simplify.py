# SPDX-License-Identifier: Apache-2.0
"""Simplifies ONNX graphs before quantization, by onnxslim, and checks that they answer alike.

Folded constants and batch normalizations, and nodes that do nothing: what a quantizer would else
put integers around.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import onnx

from kd_yolo_ros.errors import UserError

from .graph import name_nodes

# Largest difference to the graph as it was, as a share of the largest output: another order of
# summation costs about 1e-6.
TOLERANCE = 1e-4


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with the same inputs and outputs, and no more nodes than it needs.

    Args:
        model: a float graph with one input of a fixed size; it is left as it is.

    Raises:
        UserError: the simplified graph has other outputs or answers differently.
    """
    import onnxslim

    copy = onnx.ModelProto.FromString(model.SerializeToString())
    logging.getLogger('onnxslim').setLevel(logging.ERROR)
    try:
        slim = onnxslim.slim(copy)
    except Exception as error:  # it raises whatever its parts raise
        raise UserError(
            f'onnxslim cannot simplify the graph ({" ".join(str(error).split())[:120]}); export '
            f'it again with another opset.'
        ) from error
    if [o.name for o in slim.graph.output] != [o.name for o in model.graph.output]:
        raise UserError('onnxslim gave the graph other outputs; export it with another opset.')
    name_nodes(slim)
    _compare(model, slim)
    return slim


def _compare(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    picture = _noise(before.graph.input[0])
    name = before.graph.input[0].name
    for output, expected, got in zip(
        before.graph.output, _run(before, name, picture), _run(after, name, picture), strict=True
    ):
        difference = float(np.abs(got - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise UserError(
                f'The simplified graph differs from the original by {difference:.3g} at '
                f'{output.name}; export it again with another opset or onnxslim.'
            )


def _noise(value: onnx.ValueInfoProto) -> np.ndarray:
    shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    generator = np.random.default_rng(0)
    if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        return generator.integers(0, 256, shape, np.uint8)
    return generator.random(shape, np.float32)


def _run(model: onnx.ModelProto, name: str, picture: np.ndarray) -> Sequence[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider']
    )
    return session.run(None, {name: picture})
