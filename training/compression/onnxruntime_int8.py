# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for ONNX Runtime: explicit quantization (QDQ), int8 weights for each channel.

x86-64 has kernels for uint8 activations, ARM for int8 ones that are symmetric around 0.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from .bias_correction import correct_biases
from .float_weights import LARGEST, gets_8_bits, shrink_float_weights
from .graph import float_nodes, layers
from .ranges import Range, activation_ranges
from .statistics import collect_statistics, float_tensors


@dataclass(frozen=True)
class Kernels:
    """What integers the kernels of a kind of processor want.

    Attributes:
        symmetric: int8 activations around 0, else uint8 ones.
        weight_limit: largest absolute integer of a weight.
    """

    symmetric: bool
    weight_limit: int


# Without VNNI an x86-64 processor adds pairs of products in 16 bits, which overflow with 8-bit
# weights; with 7-bit ones they never do.
X64 = Kernels(symmetric=False, weight_limit=64)
VNNI = Kernels(symmetric=False, weight_limit=127)
ARM64 = Kernels(symmetric=True, weight_limit=127)


class OnnxRuntimeQuantizer:
    """Writes INT8 copies of one float graph, as many as wanted from one pass over the pictures.

    The head convolutions and the decode after them stay in float (`float_nodes`).

    Attributes:
        layers: for each convolution that may be quantized, the nodes of its layer (`layers`).
    """

    def __init__(
        self, model: onnx.ModelProto, pictures: Iterable[np.ndarray], kernels: Kernels = X64
    ) -> None:
        """Collect what the graph's tensors are on the calibration pictures.

        Args:
            model: a float graph with one input of a fixed size, simplified, all nodes named.
            pictures: calibration tensors as the graph takes them.
            kernels: of the processor it is for.
        """
        self.model = model
        self.kernels = kernels
        self._known_ranges: dict[tuple[str, float | None], dict[str, Range]] = {}
        self._excluded = float_nodes(model)
        self.layers = layers(model, self._excluded)
        constants = {initializer.name for initializer in model.graph.initializer}
        unread = {t for n in model.graph.node if n.name in self._excluded for t in n.output}
        tensors = [t for t in float_tensors(model) if t not in unread | constants]
        if model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            tensors.append(model.graph.input[0].name)
        means_of = {node.input[0] for node in model.graph.node if node.op_type == 'Conv'}
        self.statistics = collect_statistics(model, pictures, tensors, means_of)

    def write(
        self,
        target: Path,
        calibrator: str,
        silu_floor: float | None = None,
        kept: Collection[str] = (),
    ) -> None:
        """Write an INT8 file.

        Args:
            target: where it goes.
            calibrator: one of `ranges.CALIBRATORS`.
            silu_floor: see `activation_ranges`.
            kept: convolutions, of `layers`, whose layers stay in float.
        """
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        self._correct_biases(model, {*self.layers} - {*kept})
        ranges = self._ranges(calibrator, silu_floor)
        excluded = self._float_nodes(kept)
        write_qdq(model, target, ranges, excluded, self.kernels)

    def _correct_biases(self, model: onnx.ModelProto, quantized: Collection[str]) -> None:
        """Correct the biases of all convolutions whose weights are rounded, in float ones too."""
        means = self.statistics.channel_means
        constants = {initializer.name: initializer for initializer in model.graph.initializer}
        known = [n for n in model.graph.node if n.op_type == 'Conv' and n.input[0] in means]
        stored_in_8_bits = [
            node
            for node in known
            if node.name not in quantized
            and node.input[1] in constants
            and gets_8_bits(numpy_helper.to_array(constants[node.input[1]]))
        ]
        integer = [node for node in known if node.name in quantized]
        correct_biases(model, integer, means, self.kernels.weight_limit)
        correct_biases(model, stored_in_8_bits, means, LARGEST)

    def _float_nodes(self, kept: Collection[str]) -> set[str]:
        """Return the nodes that stay in float, with those that get nothing but floats."""
        floats = {node for name in kept for node in self.layers[name]}
        givers = {tensor: node.name for node in self.model.graph.node for tensor in node.output}
        for node in self.model.graph.node:  # each comes after those it reads
            sources = [givers[tensor] for tensor in node.input if tensor in givers]
            if node.op_type != 'Conv' and sources and floats.issuperset(sources):
                floats.add(node.name)
        return {*self._excluded, *floats}

    def _ranges(self, calibrator: str, silu_floor: float | None) -> dict[str, Range]:
        how = calibrator, silu_floor
        if how not in self._known_ranges:  # some take seconds, and are asked for many times
            self._known_ranges[how] = activation_ranges(
                self.model, self.statistics, *how, self.kernels.symmetric
            )
        return self._known_ranges[how]


def write_qdq(
    model: onnx.ModelProto,
    target: Path,
    ranges: Mapping[str, Range],
    excluded: Collection[str],
    kernels: Kernels,
) -> None:
    """Write a graph with quantization around all nodes but some.

    Args:
        model: the float graph.
        target: where the quantized graph goes.
        ranges: (low, high) that the 8 bits of each tensor span.
        excluded: names of nodes that stay in float.
        kernels: of the processor it is for.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    # quantize_static does the same after running the graph to calibrate it once more.
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=kernels.weight_limit < VNNI.weight_limit,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if kernels.symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(
            CalibrationMethod.MinMax,
            {name: tuple(np.float32(v) for v in span) for name, span in ranges.items()},
        ),
        nodes_to_quantize=[],
        nodes_to_exclude=list(excluded),
        op_types_to_quantize=list({*QDQRegistry, *QLinearOpsRegistry}),
        extra_options={'ActivationSymmetric': kernels.symmetric},
    )
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # its remarks go to the root logger
    try:
        quantizer.quantize_model()
    finally:
        root.setLevel(level)
    quantized = quantizer.model.model
    shrink_float_weights(quantized)
    del quantized.graph.value_info[:]  # the runtime infers the shapes itself
    onnx.save(quantized, target)
