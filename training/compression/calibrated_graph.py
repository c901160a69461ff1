# SPDX-License-Identifier: Apache-2.0
"""A float ONNX graph with all that its calibration pictures tell, from one pass over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from .bias_correction import correct_biases
from .float_weights import LARGEST, gets_8_bits
from .graph import float_nodes, layers
from .ranges import Range, activation_ranges
from .statistics import collect_statistics, float_tensors


class CalibratedGraph:
    """What every quantizer of ONNX graphs needs to know, whichever runtime it writes for.

    The head convolutions and the decode after them stay in float (`float_nodes`).

    Attributes:
        model: the graph; not to be changed.
        layers: for each convolution that may be quantized, the nodes of its layer (`layers`).
    """

    def __init__(self, model: onnx.ModelProto, pictures: Iterable[np.ndarray]) -> None:
        """Collect what the graph's tensors are on the calibration pictures.

        Args:
            model: a float graph with one input of a fixed size, simplified, all nodes named.
            pictures: calibration tensors as the graph takes them.
        """
        self.model = model
        self._excluded = float_nodes(model)
        self.layers = layers(model, self._excluded)
        self._known_ranges: dict[tuple[str, float | None, bool], dict[str, Range]] = {}
        constants = {initializer.name for initializer in model.graph.initializer}
        unread = {t for n in model.graph.node if n.name in self._excluded for t in n.output}
        tensors = [t for t in float_tensors(model) if t not in unread | constants]
        if model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            tensors.append(model.graph.input[0].name)
        means_of = {node.input[0] for node in model.graph.node if node.op_type == 'Conv'}
        self._statistics = collect_statistics(model, pictures, tensors, means_of)

    def ranges(
        self, calibrator: str, silu_floor: float | None, symmetric: bool = False
    ) -> dict[str, Range]:
        """Return for each tensor the (low, high) that its 8 bits span; see `activation_ranges`."""
        how = calibrator, silu_floor, symmetric
        if how not in self._known_ranges:  # some take seconds, and are asked for many times
            self._known_ranges[how] = activation_ranges(self.model, self._statistics, *how)
        return self._known_ranges[how]

    def float_nodes(self, kept: Collection[str] = ()) -> set[str]:
        """Return the nodes that stay in float, with those that get nothing but floats.

        Args:
            kept: convolutions, of `layers`, whose layers stay in float.
        """
        floats = {node for name in kept for node in self.layers[name]}
        givers = {tensor: node.name for node in self.model.graph.node for tensor in node.output}
        for node in self.model.graph.node:  # each comes after those it reads
            sources = [givers[tensor] for tensor in node.input if tensor in givers]
            if node.op_type != 'Conv' and sources and floats.issuperset(sources):
                floats.add(node.name)
        return {*self._excluded, *floats}

    def with_corrected_biases(self, limits: Mapping[str, int]) -> onnx.ModelProto:
        """Return a copy whose biases make up for the rounding of weights, in float layers too.

        Args:
            limits: of each convolution that is quantized, the largest integer of a weight.
        """
        model = onnx.ModelProto.FromString(self.model.SerializeToString())
        means = self._statistics.channel_means
        constants = {initializer.name: initializer for initializer in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type != 'Conv' or node.input[0] not in means:
                continue
            if node.name in limits:
                correct_biases(model, [node], means, limits[node.name])
            elif node.input[1] in constants and gets_8_bits(
                numpy_helper.to_array(constants[node.input[1]])
            ):
                correct_biases(model, [node], means, LARGEST)
        return model
