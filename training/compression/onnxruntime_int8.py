# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for ONNX Runtime on x86-64: uint8 activations, int8 weights for each channel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from .graph import float_nodes, name_nodes
from .statistics import Statistics, collect_statistics

# Which of the pictures' extremes decides: beyond this share of them a tensor saturates. A range
# as wide as the one picture that goes furthest costs every other picture resolution.
PICTURE_QUANTILE = 0.8

# SiLU is within 0.015 of 0 below this, so what its input does further down need not be told
# apart: the 8 bits go to where the values make a difference.
SILU_FLOOR = -6.0

# Largest absolute integer of a weight. Without VNNI the processor adds pairs of products in 16
# bits, which overflow with the full range; 7 bits never do.
REDUCED_RANGE, FULL_RANGE = 64, 127


def quantize_onnxruntime(
    source: Path, target: Path, pictures: Iterable[np.ndarray], reduce_range: bool = True
) -> None:
    """Write an INT8 (QDQ) copy of a float ONNX graph.

    The head convolutions and the decode after them stay in float (`float_nodes`).

    Args:
        source: a float graph with one input of a fixed size, all nodes named.
        target: where the quantized graph goes.
        pictures: calibration tensors as the graph takes them.
        reduce_range: 7-bit weights, safe on CPUs without VNNI.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / 'prepared.onnx'
        quant_pre_process(str(source), str(prepared))
        model = onnx.load(prepared)
        name_nodes(model)
        excluded = float_nodes(model)
        convolutions = [
            node
            for node in model.graph.node
            if node.op_type == 'Conv' and node.name not in excluded
        ]
        recorder = _FirstPicture(model.graph.input[0].name, pictures)
        statistics = collect_statistics(
            model, recorder, sorted({node.input[0] for node in convolutions})
        )
        limit = REDUCED_RANGE if reduce_range else FULL_RANGE
        correct_biases(model, convolutions, statistics.channel_means, limit)
        onnx.save(model, prepared)
        quantize_static(
            str(prepared),
            str(target),
            # The ranges are all given; it only insists on having a picture.
            calibration_data_reader=recorder,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            extra_options={
                'TensorQuantOverrides': {
                    tensor: [{'rmin': np.float32(low), 'rmax': np.float32(high)}]
                    for tensor, (low, high) in activation_ranges(model, statistics).items()
                }
            },
        )


def activation_ranges(
    model: onnx.ModelProto, statistics: Statistics
) -> dict[str, tuple[float, float]]:
    """Return for each tensor the (low, high) that its 8 bits span."""
    before_silu = _before_silu(model)
    pixels = _pixels(model)
    ranges = {}
    for tensor, low in statistics.low.items():
        lowest = float(np.quantile(low, 1 - PICTURE_QUANTILE))
        highest = float(np.quantile(statistics.high[tensor], PICTURE_QUANTILE))
        if tensor in pixels:
            lowest, highest = 0.0, 255.0
        elif tensor in before_silu:
            lowest = max(lowest, SILU_FLOOR)
        ranges[tensor] = (lowest, highest)
    return ranges


def correct_biases(
    model: onnx.ModelProto,
    convolutions: Iterable[onnx.NodeProto],
    channel_means: Mapping[str, np.ndarray],
    limit: int,
) -> None:
    """Take the mean error that rounding the weights causes out of each convolution's bias.

    Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019,
    section 4.2, with the inputs' means as measured.

    Args:
        model: changed in place.
        convolutions: nodes of the model whose weights will be rounded.
        channel_means: of their inputs, (C,).
        limit: largest absolute integer of a weight.
    """
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    for node in convolutions:
        if len(node.input) < 3 or not {node.input[1], node.input[2]} <= constants.keys():
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        bias = constants[node.input[2]]
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / limit
        scale[scale == 0] = 1
        error = (weight - np.round(weight / scale) * scale).sum(axis=(2, 3))
        means = channel_means[node.input[0]]
        groups = len(means) // error.shape[1]
        shift = np.einsum(
            'goc,gc->go', error.reshape(groups, -1, error.shape[1]), means.reshape(groups, -1)
        )
        corrected = numpy_helper.to_array(bias) + shift.ravel()
        bias.CopyFrom(numpy_helper.from_array(corrected.astype(np.float32), bias.name))


def _before_silu(model: onnx.ModelProto) -> set[str]:
    """Return the tensors that go into x * sigmoid(x) and nowhere else."""
    gated = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == 'Sigmoid'
    }
    uses = [tensor for node in model.graph.node for tensor in node.input]
    return {
        tensor
        for node in model.graph.node
        if node.op_type == 'Mul'
        for tensor, gate in (tuple(node.input), tuple(node.input)[::-1])
        if gated.get(gate) == tensor and uses.count(tensor) == 2
    }


def _pixels(model: onnx.ModelProto) -> set[str]:
    """Return the float copies of uint8 inputs; with 0..255 as range their rounding is exact."""
    reached = {
        value.name
        for value in model.graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    }
    found = set()
    for node in model.graph.node:
        if node.op_type in ('Transpose', 'Cast') and node.input[0] in reached:
            reached.add(node.output[0])
            if node.op_type == 'Cast':
                found.add(node.output[0])
    return found


class _FirstPicture:
    """Passes pictures on, and gives the first of them to ONNX Runtime's quantizer again."""

    def __init__(self, name: str, pictures: Iterable[np.ndarray]) -> None:
        self.name = name
        self.pictures = pictures
        self.first: list[np.ndarray] = []

    def __iter__(self) -> Any:
        for picture in self.pictures:
            if not self.first:
                self.first.append(picture)
            yield picture

    def get_next(self) -> dict[str, np.ndarray] | None:
        return {self.name: self.first.pop()} if self.first else None
