# SPDX-License-Identifier: Apache-2.0
"""What the tensors of an ONNX graph are on calibration pictures, from one pass over them.

Every way of choosing ranges reads the same statistics. Memory does not grow with pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

# A histogram has a bin for every half-precision number: its range need not be known beforehand,
# and its bins are 0.1 % wide at any magnitude.
BINS = 1 << 16

# At most so many values of a tensor and picture are counted; extremes are those of all.
COUNTED = 1 << 17


@dataclass(frozen=True)
class Statistics:
    """Statistics of a graph's float tensors.

    Attributes:
        low: each tensor's lowest value on each picture, (pictures,).
        high: the same, highest.
        histograms: how often each half-precision number was there, (BINS,), by its bits.
        channel_means: of each tensor asked for, (C,), over pictures, rows and columns.
    """

    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    histograms: dict[str, np.ndarray]
    channel_means: dict[str, np.ndarray]

    def values(self, tensor: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that occurred, ascending, and how often each did, both (N,)."""
        histogram = self.histograms[tensor]
        bits = np.flatnonzero(histogram)
        values = bits.astype(np.uint16).view(np.float16).astype(np.float64)
        order = np.argsort(values, kind='stable')
        return values[order], histogram[bits][order]


def collect_statistics(
    model: onnx.ModelProto,
    pictures: Iterable[np.ndarray],
    tensors: Sequence[str],
    means_of: Sequence[str] = (),
) -> Statistics:
    """Run the pictures through the graph once.

    Args:
        model: a float graph with one input.
        pictures: tensors that the graph takes, at least one.
        tensors: float tensors whose values are wanted.
        means_of: (1, C, H, W) tensors of these whose channel means are wanted.
    """
    session = _session_giving(model, tensors)
    name = session.get_inputs()[0].name
    low, high = ([[] for _ in tensors] for _ in range(2))
    histograms = np.zeros((len(tensors), BINS), np.int64)
    sums: dict[str, np.ndarray] = {}
    for picture in pictures:
        for index, values in enumerate(session.run(list(tensors), {name: picture})):
            tensor = tensors[index]
            low[index].append(values.min())
            high[index].append(values.max())
            histograms[index] += _histogram(values)
            if tensor in means_of:
                sums[tensor] = sums.get(tensor, 0) + values.mean((0, 2, 3), np.float64)
    count = len(low[0])
    return Statistics(
        low={tensor: np.array(values) for tensor, values in zip(tensors, low, strict=True)},
        high={tensor: np.array(values) for tensor, values in zip(tensors, high, strict=True)},
        histograms=dict(zip(tensors, histograms, strict=True)),
        channel_means={tensor: total / count for tensor, total in sums.items()},
    )


def _session_giving(model: onnx.ModelProto, tensors: Sequence[str]):  # noqa: ANN202
    """Return an ONNX Runtime session that also gives tensors from within the graph."""
    import onnxruntime

    probed = onnx.ModelProto.FromString(model.SerializeToString())
    given = {value.name for value in probed.graph.output}
    probed.graph.output.extend(
        helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)
        for tensor in tensors
        if tensor not in given
    )
    return onnxruntime.InferenceSession(
        probed.SerializeToString(), providers=['CPUExecutionProvider']
    )


def _histogram(values: np.ndarray) -> np.ndarray:
    """Return how often each half-precision number is among the values, (BINS,)."""
    flat = values.ravel()
    # An odd step wanders over rows, columns and channels.
    counted = flat[:: flat.size // COUNTED | 1] if flat.size > COUNTED else flat
    largest = np.finfo(np.float16).max
    halves = np.clip(counted, -largest, largest).astype(np.float16)
    return np.bincount(halves.view(np.uint16), minlength=BINS)


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of the float32 tensors that nodes give."""
    known = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*known.value_info, *known.output)}
    tensors = [tensor for node in model.graph.node for tensor in node.output]
    return [tensor for tensor in tensors if types.get(tensor) == TensorProto.FLOAT]
