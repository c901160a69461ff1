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

from .calibrated_graph import CalibratedGraph
from .candidates import SILU_FLOORS
from .float_weights import shrink_float_weights
from .ranges import Range


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

    Attributes:
        layers: of `CalibratedGraph`.
        silu_floors: under what goes into SiLU, which is quantized apart.
    """

    silu_floors = SILU_FLOORS

    def __init__(
        self, model: onnx.ModelProto, pictures: Iterable[np.ndarray], kernels: Kernels = X64
    ) -> None:
        """Calibrate; see `CalibratedGraph`.

        Args:
            model: as there.
            pictures: as there.
            kernels: of the processor it is for.
        """
        self.kernels = kernels
        self._graph = CalibratedGraph(model, pictures)
        self.layers = self._graph.layers

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
        quantized = {*self.layers} - {*kept}
        model = self._graph.with_corrected_biases(
            dict.fromkeys(quantized, self.kernels.weight_limit)
        )
        ranges = self._graph.ranges(calibrator, silu_floor, self.kernels.symmetric)
        write_qdq(model, target, ranges, self._graph.float_nodes(kept), self.kernels)


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
