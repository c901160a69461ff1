# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for OpenVINO: NNCF says where the graph is quantized, calibrators to which ranges.

NNCF works on the ONNX graph: on the IR it leaves each SiLU as separate nodes that OpenVINO does
not fuse. Its own ranges are one estimate for all tensors, and it would go over all pictures again
for each other one.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from .calibrated_graph import CalibratedGraph
from .candidates import Floors
from .graph import feed_floats, float_nodes
from .openvino_ir import write_ir
from .ranges import Range

# NNCF gives the weights of the first convolution 7 bits, so that the sums of its products with
# pixels fit also where a CPU has no VNNI.
WEIGHT_LIMIT, FIRST_WEIGHT_LIMIT = 127, 64

LEVELS = 255  # steps of 8 bits
MOVES = frozenset({'MaxPool', 'Resize'})  # give values that they got, and so keep their scale


class OpenVinoQuantizer:
    """Writes INT8 IRs of one float graph, as many as wanted from one pass over the pictures.

    Attributes:
        layers: of `CalibratedGraph`.
        silu_floors: none: OpenVINO computes SiLU in the convolution, before it rounds.
    """

    silu_floors: Floors = (None,)

    def __init__(self, model: onnx.ModelProto, pictures: Iterable[np.ndarray]) -> None:
        """Calibrate; see `CalibratedGraph`."""
        self._graph = CalibratedGraph(model, pictures)
        self.layers = self._graph.layers
        self._placed = _place_quantizers(model)

    def write(
        self,
        target: Path,
        calibrator: str,
        silu_floor: float | None = None,
        kept: Collection[str] = (),
    ) -> None:
        """Write an INT8 IR, `target` and the `.bin` beside it.

        Args:
            target: where the `.xml` goes.
            calibrator: one of `ranges.CALIBRATORS`.
            silu_floor: makes no difference here.
            kept: convolutions, of `layers`, whose layers stay in float.
        """
        limits = dict.fromkeys(self.layers, WEIGHT_LIMIT)
        limits[next(iter(self.layers))] = FIRST_WEIGHT_LIMIT
        corrected = self._graph.with_corrected_biases(
            {name: limit for name, limit in limits.items() if name not in kept}
        )
        model = onnx.ModelProto.FromString(self._placed.SerializeToString())
        feed_floats(model, self._graph.float_nodes(kept), self._graph.model)
        _set_ranges(model, self._graph.ranges(calibrator, silu_floor))
        _set_biases(model, corrected)
        write_ir(model, target)


def _place_quantizers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with NNCF's Q/DQ nodes; the ranges of activations mean nothing yet."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters

    value = model.graph.input[0]
    shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # bars over one picture
        return nncf.quantize(
            model,
            nncf.Dataset([{value.name: noise}]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=1,
            ignored_scope=nncf.IgnoredScope(names=float_nodes(model)),
            advanced_parameters=AdvancedQuantizationParameters(disable_bias_correction=True),
        )


def _set_ranges(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
    """Give the activations' quantizers their ranges; 0 is always exact.

    Those that meet in a concatenation share one, which spans all of theirs: integers can be put
    side by side only if they mean the same.
    """
    constants = {initializer.name: initializer for initializer in model.graph.initializer}
    readers = {node.input[0]: node for node in model.graph.node if node.op_type in QDQ}
    for group in _sharing(model):
        lows, highs = zip(*(ranges[node.input[0]] for node in group), strict=True)
        low, high = min(0.0, *lows), max(0.0, *highs)
        scale = (high - low) / LEVELS or 1.0
        for node in group:
            for one in (node, readers[node.output[0]]):
                zero = numpy_helper.to_array(constants[one.input[2]])
                least = np.iinfo(zero.dtype).min
                _fill(constants[one.input[1]], scale)
                _fill(constants[one.input[2]], round(-low / scale) + least)


QDQ = ('QuantizeLinear', 'DequantizeLinear')


def _sharing(model: onnx.ModelProto) -> list[list[onnx.NodeProto]]:
    """Return the QuantizeLinear nodes of activations, those together that must have one scale."""
    givers = {tensor: node for node in model.graph.node for tensor in node.output}
    groups = {n.name: [n] for n in model.graph.node if n.op_type == 'QuantizeLinear'}

    def quantizer(tensor: str) -> onnx.NodeProto | None:
        """Return the one whose integers a tensor holds; None where they are floats."""
        node = givers.get(tensor)
        while node is not None and node.op_type in (*QDQ[1:], *MOVES):
            node = givers.get(node.input[0])
            if node is not None and node.op_type == QDQ[0]:
                return node
        return None

    def join(nodes: list[onnx.NodeProto]) -> None:
        merged = list({id(group): group for group in (groups[n.name] for n in nodes)}.values())
        whole = [node for group in merged for node in group]
        groups.update(dict.fromkeys((node.name for node in whole), whole))

    for node in model.graph.node:
        if node.op_type == 'Concat':
            join([q for tensor in node.input if (q := quantizer(tensor)) is not None])
        elif node.op_type == QDQ[0] and givers.get(node.input[0], node).op_type in MOVES:
            join([node, *([q] if (q := quantizer(node.input[0])) is not None else [])])
    return list({id(group): group for group in groups.values()}.values())


def _set_biases(model: onnx.ModelProto, corrected: onnx.ModelProto) -> None:
    """Take over the biases of a graph with the same convolutions."""
    names = {n.input[2] for n in corrected.graph.node if n.op_type == 'Conv' and len(n.input) > 2}
    biases = {i.name: i for i in corrected.graph.initializer if i.name in names}
    for initializer in model.graph.initializer:
        if initializer.name in biases:
            initializer.CopyFrom(biases[initializer.name])


def _fill(constant: onnx.TensorProto, value: float) -> None:
    array = numpy_helper.to_array(constant)
    constant.CopyFrom(numpy_helper.from_array(np.full_like(array, value), constant.name))
