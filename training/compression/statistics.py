# SPDX-License-Identifier: Apache-2.0
"""What the tensors of an ONNX graph are on calibration pictures, from one pass over them.

Every way of choosing ranges reads the same statistics. Memory does not grow with pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from kd_yolo_ros.errors import UserError

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


class Collector:
    """Gathers the statistics of tensors, picture by picture."""

    def __init__(self, tensors: Sequence[str], means_of: Collection[str] = ()) -> None:
        """Know what is wanted; see `collect_statistics`."""
        self._low: dict[str, list[float]] = {tensor: [] for tensor in tensors}
        self._high: dict[str, list[float]] = {tensor: [] for tensor in tensors}
        self._histograms = {tensor: np.zeros(BINS, np.int64) for tensor in tensors}
        self._sums: dict[str, np.ndarray] = {}
        self._means_of = set(means_of)

    def add(self, tensor: str, values: np.ndarray) -> None:
        """Take a tensor's values on the next picture."""
        self._low[tensor].append(values.min())
        self._high[tensor].append(values.max())
        self._histograms[tensor] += _histogram(values)
        if tensor in self._means_of:
            self._sums[tensor] = self._sums.get(tensor, 0) + values.mean((0, 2, 3), np.float64)

    def statistics(self) -> Statistics:
        """Return what was gathered.

        Raises:
            UserError: there was no picture.
        """
        if not all(self._low.values()):
            raise UserError('There is no picture to calibrate on; give others.')
        return Statistics(
            low={tensor: np.array(values) for tensor, values in self._low.items()},
            high={tensor: np.array(values) for tensor, values in self._high.items()},
            histograms=self._histograms,
            channel_means={
                tensor: total / len(self._low[tensor]) for tensor, total in self._sums.items()
            },
        )


def collect_statistics(
    model: onnx.ModelProto,
    pictures: Iterable[np.ndarray],
    tensors: Sequence[str],
    means_of: Collection[str] = (),
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
    collected = Collector(tensors, means_of)
    for picture in pictures:
        outputs = session.run(list(tensors), {name: picture})
        for tensor, values in zip(tensors, outputs, strict=True):
            collected.add(tensor, values)
    return collected.statistics()


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
