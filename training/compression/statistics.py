# SPDX-License-Identifier: Apache-2.0
"""What the tensors of an ONNX graph are on calibration pictures: extremes and channel means.

Only a few numbers are kept for each tensor and picture, so memory does not grow with pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

AXES = 'kd_yolo_axes'


@dataclass(frozen=True)
class Statistics:
    """Statistics of a graph's float tensors.

    Attributes:
        low: each tensor's lowest value on each picture, (pictures,).
        high: the same, highest.
        channel_means: of each tensor asked for, (C,), over pictures, rows and columns.
    """

    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    channel_means: dict[str, np.ndarray]


def collect_statistics(
    model: onnx.ModelProto, pictures: Iterable[np.ndarray], means_of: Sequence[str]
) -> Statistics:
    """Run the pictures through the graph once.

    Args:
        model: a float graph with one input.
        pictures: tensors that the graph takes.
        means_of: (1, C, H, W) tensors whose channel means are wanted.
    """
    import onnxruntime

    tensors = float_tensors(model)
    probed = onnx.ModelProto.FromString(model.SerializeToString())
    lows = [_probe(probed, 'ReduceMin', tensor) for tensor in tensors]
    highs = [_probe(probed, 'ReduceMax', tensor) for tensor in tensors]
    means = [_probe_mean(probed, tensor) for tensor in means_of]
    session = onnxruntime.InferenceSession(
        probed.SerializeToString(), providers=['CPUExecutionProvider']
    )
    name = session.get_inputs()[0].name
    extremes = []
    sums = None
    for picture in pictures:
        answers = session.run(lows + highs + means, {name: picture})
        extremes.append(answers[: 2 * len(tensors)])
        new = answers[2 * len(tensors) :]
        sums = new if sums is None else [a + b for a, b in zip(sums, new, strict=True)]
    columns = np.array(extremes, np.float32).T
    return Statistics(
        low=dict(zip(tensors, columns[: len(tensors)], strict=True)),
        high=dict(zip(tensors, columns[len(tensors) :], strict=True)),
        channel_means={
            tensor: total / len(extremes)
            for tensor, total in zip(means_of, sums or [], strict=True)
        },
    )


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of the float32 tensors that nodes give."""
    known = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*known.value_info, *known.output)}
    tensors = [tensor for node in model.graph.node for tensor in node.output]
    return [tensor for tensor in tensors if types.get(tensor) == TensorProto.FLOAT]


def _probe(model: onnx.ModelProto, operator: str, tensor: str) -> str:
    """Add a scalar output with the tensor's extreme and return its name."""
    output = f'{tensor}:{operator}'
    model.graph.node.append(helper.make_node(operator, [tensor], [output], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    return output


def _probe_mean(model: onnx.ModelProto, tensor: str) -> str:
    """Add an output (C,) with the tensor's channel means and return its name."""
    output = f'{tensor}:mean'
    axes = [0, 2, 3]
    if opset(model) < 18:  # from 18 on, the axes are an input
        node = helper.make_node('ReduceMean', [tensor], [output], axes=axes, keepdims=0)
    else:
        node = helper.make_node('ReduceMean', [tensor, AXES], [output], keepdims=0)
        if all(initializer.name != AXES for initializer in model.graph.initializer):
            model.graph.initializer.append(numpy_helper.from_array(np.array(axes), AXES))
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return output


def opset(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that the graph uses."""
    return next(entry.version for entry in model.opset_import if entry.domain in ('', 'ai.onnx'))
