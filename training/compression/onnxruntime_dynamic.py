# SPDX-License-Identifier: Apache-2.0
"""Dynamic INT8 for ONNX Runtime: every picture sets the ranges of its own activations."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx

from .float_weights import shrink_float_weights
from .graph import float_nodes


def quantize_dynamic(model: onnx.ModelProto, target: Path) -> None:
    """Write a copy of a float graph with 8-bit convolutions; no pictures are needed.

    Weights and activations are uint8, which ConvInteger takes on every processor; weights have one
    scale for each output channel. The head convolutions stay in float.

    Args:
        model: a float graph, all nodes named.
        target: where it goes.
    """
    from onnxruntime import quantization

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends static quantization to the root logger
    try:
        quantization.quantize_dynamic(
            model,
            target,
            op_types_to_quantize=['Conv'],
            per_channel=True,
            weight_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=float_nodes(model),
        )
    finally:
        root.setLevel(level)
    quantized = onnx.load(target)
    shrink_float_weights(quantized)
    onnx.save(quantized, target)
