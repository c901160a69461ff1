# SPDX-License-Identifier: Apache-2.0
"""Fewer bits for the weights of convolutions that compute in float, so that a file stays small."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LARGEST = 127

# Weights of more numbers than this get 8 bits, others 16. The first layers, where exactness
# matters most, are small.
SMALL = 1 << 13


def gets_8_bits(values: np.ndarray) -> bool:
    """Tell whether a float convolution's weights are stored as int8, else as float16."""
    return values.size > SMALL or bool(np.abs(values).max() > np.finfo(np.float16).max)


def shrink_float_weights(model: onnx.ModelProto) -> None:
    """Store float weights of convolutions as int8 or float16; runtimes make floats of them.

    float16 is exact enough for everything, and is float32 again once the graph is loaded. int8,
    with a scale for each output channel, is a quarter of float32's size. Activations stay float.

    Args:
        model: changed in place.
    """
    graph = model.graph
    constants = {initializer.name: initializer for initializer in graph.initializer}
    restored: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = constants.get(node.input[1]) if node.op_type == 'Conv' else None
        if weight is None or weight.data_type != TensorProto.FLOAT:
            continue
        graph.initializer.remove(weight)
        values = numpy_helper.to_array(weight)
        stored, restore = (_as_int8 if gets_8_bits(values) else _as_float16)(weight.name, values)
        graph.initializer.extend(stored)
        restored.append(restore)
        del constants[weight.name]
    nodes = [*restored, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _as_int8(weight: str, values: np.ndarray) -> tuple[list[onnx.TensorProto], onnx.NodeProto]:
    scale = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True) / LARGEST
    scale[scale == 0] = 1
    names = [f'{weight}_{part}' for part in ('int8', 'scale', 'zero')]
    arrays = (
        np.round(values / scale).astype(np.int8),
        scale.ravel().astype(np.float32),
        np.zeros(scale.size, np.int8),
    )
    stored = [numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)]
    name = f'{weight}/DequantizeLinear'
    return stored, helper.make_node('DequantizeLinear', names, [weight], name, axis=0)


def _as_float16(weight: str, values: np.ndarray) -> tuple[list[onnx.TensorProto], onnx.NodeProto]:
    name = f'{weight}_float16'
    stored = numpy_helper.from_array(values.astype(np.float16), name)
    cast = helper.make_node('Cast', [name], [weight], f'{weight}/Cast', to=TensorProto.FLOAT)
    return [stored], cast
