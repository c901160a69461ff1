# SPDX-License-Identifier: Apache-2.0
"""Writes quantized ONNX graphs as small OpenVINO IRs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .float_weights import shrink_float_weights


def write_ir(model: onnx.ModelProto, target: Path) -> None:
    """Write a quantized ONNX graph as an IR; weights of float layers take 16 bits at most.

    Args:
        model: with its integer weights as such; float ones are shrunk in place.
        target: where the `.xml` goes; the `.bin` lies beside it.
    """
    import openvino

    shrink_float_weights(model)
    converted = target.with_suffix('.onnx')
    onnx.save(model, converted)
    network = openvino.convert_model(converted)
    _share_bounds(network)
    _halve_float_weights(network)
    openvino.save_model(network, target, compress_to_fp16=False)
    converted.unlink()
    # A small network's XML is a sixth of its file, and a fifth of that is indentation.
    text = target.read_text(encoding='utf-8')
    target.write_text(re.sub(r'>\s+<', '><', text), encoding='utf-8')


def _halve_float_weights(network: Any) -> None:
    """Store the convolutions' float weights as float16, which the converter had made float32.

    `shrink_float_weights` has rounded them to float16 already, so nothing is lost. What is
    quantized is no constant of floats, and stays.
    """
    import openvino.opset13 as ops

    for operation in network.get_ops():
        if operation.get_type_name() not in ('Convolution', 'GroupConvolution'):
            continue
        weight = operation.input_value(1).get_node()
        if weight.get_type_name() != 'Constant':
            continue
        half = weight.data.astype(np.float16)
        if (half == weight.data).all():
            restored = ops.convert(ops.constant(half), 'f32')
            operation.input(1).replace_source_output(restored.output(0))


def _share_bounds(network: Any) -> None:
    """Let bounds before and after quantization be the same constants where they are equal."""
    for operation in network.get_ops():
        if operation.get_type_name() != 'FakeQuantize':
            continue
        for before, after in ((1, 3), (2, 4)):
            sources = [operation.input_value(port).get_node() for port in (before, after)]
            if all(source.get_type_name() == 'Constant' for source in sources):
                one, other = (source.data for source in sources)
                if one.shape == other.shape and (one == other).all():
                    operation.input(after).replace_source_output(operation.input_value(before))
