# SPDX-License-Identifier: Apache-2.0
"""Reads the float ONNX graph that quantization starts from."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.version_converter
from google.protobuf.message import DecodeError

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import InputSpec

from .graph import CONVOLUTIONS, is_quantized, name_nodes, opset

# Below it, the quantizer drops the scales for each channel without a word.
MIN_OPSET = 13


def prepare(path: Path, spec: InputSpec) -> onnx.ModelProto:
    """Read a float graph, give its input the fixed size of `spec`, and name every node.

    Raises:
        UserError: no ONNX file, already quantized, or without convolutions.
    """
    try:
        model = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise UserError(
            f'{path} is no valid ONNX model ({type(error).__name__}); export it again.'
        ) from None
    if is_quantized(model):
        raise UserError(f'{path} is quantized already; give the FP32 model it was made from.')
    if not any(node.op_type in CONVOLUTIONS for node in model.graph.node):
        raise UserError(f'{path} has no convolution, so it is no detector that can be quantized.')
    if opset(model) < MIN_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, MIN_OPSET)
        except Exception:  # the converter raises plain RuntimeErrors and its own
            raise UserError(
                f'{path} has opset {opset(model)}; export it with {MIN_OPSET} or later.'
            ) from None
    _fix_size(model, spec)
    name_nodes(model)
    return model


def _fix_size(model: onnx.ModelProto, spec: InputSpec) -> None:
    shape = [1, 3, spec.height, spec.width]
    if spec.layout == 'nhwc':
        shape = [1, spec.height, spec.width, 3]
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    if [d.dim_value for d in dimensions] == shape:
        return
    for dimension, length in zip(dimensions, shape, strict=True):
        dimension.dim_value = length
    # They speak of the old size; the shapes are inferred anew.
    del model.graph.value_info[:]
