# SPDX-License-Identifier: Apache-2.0
"""Calibrators: from what a tensor is on calibration pictures to the range that 8 bits span.

Which is best differs by network and data, so it is chosen by AP (`candidates`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np
import onnx

from .statistics import Statistics

Range = tuple[float, float]

PIXELS = (0.0, 255.0)

# Bins of the histogram that entropy is computed on, the levels that are left after
# quantization, and by how many bins the threshold moves (S. Migacz, 8-bit Inference with
# TensorRT, GTC 2017: 2048 bins and 128 levels).
ENTROPY_BINS, ENTROPY_LEVELS, ENTROPY_STEP = 2048, 128, 16
SMOOTHING = 1e-4  # least probability after rounding: without one, an empty bin would decide alone

# Of the mean squared error: steps of 8 bits, and ranges that are tried at either end.
LEVELS, SHARES = 255, 64


def minmax(statistics: Statistics, tensor: str) -> Range:
    """Span everything that occurred: nothing saturates, and outliers cost resolution."""
    return float(statistics.low[tensor].min()), float(statistics.high[tensor].max())


def moving_average(statistics: Statistics, tensor: str) -> Range:
    """Span the mean of the pictures' extremes."""
    return float(statistics.low[tensor].mean()), float(statistics.high[tensor].mean())


def picture_quantile(statistics: Statistics, tensor: str, share: float) -> Range:
    """Span the extremes of all but the pictures that go furthest; `share` of them fit."""
    return (
        float(np.quantile(statistics.low[tensor], 1 - share)),
        float(np.quantile(statistics.high[tensor], share)),
    )


def percentile(statistics: Statistics, tensor: str, percent: float) -> Range:
    """Span the middle `percent` of all values, half of the rest cut at either end."""
    values, counts = statistics.values(tensor)
    cumulative = np.cumsum(counts)
    cut = (1 - percent / 100) / 2 * cumulative[-1]
    last = len(values) - 1
    first = min(int(np.searchsorted(cumulative, cut, side='right')), last)
    final = min(int(np.searchsorted(cumulative, cumulative[-1] - cut)), last)
    low, high = minmax(statistics, tensor)
    return max(float(values[first]), low), min(float(values[final]), high)


def entropy(statistics: Statistics, tensor: str) -> Range:
    """Span the magnitudes after whose cut the rounded distribution is nearest to the true one.

    The threshold with the smallest Kullback-Leibler divergence (Migacz, 2017).
    """
    values, counts = statistics.values(tensor)
    low, high = minmax(statistics, tensor)
    largest = float(np.abs(values).max())
    if not largest:
        return low, high
    bins = np.minimum((np.abs(values) / largest * ENTROPY_BINS).astype(int), ENTROPY_BINS - 1)
    histogram = np.bincount(bins, counts, ENTROPY_BINS)
    histogram[0] = histogram[1]  # the many zeros would outweigh everything else
    candidates = range(ENTROPY_LEVELS, ENTROPY_BINS + 1, ENTROPY_STEP)
    best = min(candidates, key=lambda kept: _divergence(histogram, kept))
    threshold = best / ENTROPY_BINS * largest
    return max(low, -threshold), min(high, threshold)


def _divergence(histogram: np.ndarray, kept: int) -> float:
    """Return KL(true ‖ rounded) where values beyond the first `kept` bins saturate."""
    true = histogram[:kept].copy()
    filled = true > 0
    levels = np.arange(kept) * ENTROPY_LEVELS // kept
    totals = np.bincount(levels, true, ENTROPY_LEVELS)
    sharing = np.bincount(levels, filled, ENTROPY_LEVELS)
    rounded = (totals / np.maximum(sharing, 1))[levels] * filled
    true[-1] += histogram[kept:].sum()
    if not rounded.any() or not true.any():
        return np.inf
    true, rounded = true / true.sum(), rounded / rounded.sum()
    seen = true > 0
    # The last bin took in what lies beyond, and was perhaps empty itself.
    rounded = np.maximum(rounded[seen], SMOOTHING)
    return float((true[seen] * np.log(true[seen] / rounded)).sum())


def mse(
    statistics: Statistics,
    tensor: str,
    bend: Callable[[np.ndarray], np.ndarray] = np.positive,
    symmetric: bool = False,
) -> Range:
    """Span what leaves the smallest mean squared error after rounding to 8 bits.

    Args:
        statistics: of the pictures.
        tensor: its name.
        bend: the function that the tensor goes into; the error is that of its result.
        symmetric: the 8 bits will span as much below 0 as above.
    """
    values, counts = statistics.values(tensor)
    exact = bend(values)

    def error(span: Range) -> float:
        lowest, highest = min(span[0], 0.0), max(span[1], 0.0)  # 0 itself is always exact
        scale = (highest - lowest) / LEVELS or 1.0
        zero = np.round(-lowest / scale)
        rounded = np.clip(np.round(values / scale) + zero, 0, LEVELS) - zero
        return float((np.square(bend(rounded * scale) - exact) * counts).sum())

    low, high = minmax(statistics, tensor)
    shares = np.linspace(1, 0, SHARES, endpoint=False)
    if symmetric:
        largest = max(-low, high)
        return min(((-share * largest, share * largest) for share in shares), key=error)
    high = min(((low, share * high) for share in shares), key=error)[1]
    return min(((share * low, high) for share in shares), key=error)


def _silu(values: np.ndarray) -> np.ndarray:
    return values * (0.5 + 0.5 * np.tanh(values / 2))


CALIBRATORS: Mapping[str, Callable[[Statistics, str], Range]] = {
    'minmax': minmax,
    'moving-average': moving_average,
    'picture-quantile': partial(picture_quantile, share=0.8),
    'percentile-99.9': partial(percentile, percent=99.9),
    'percentile-99.99': partial(percentile, percent=99.99),
    'percentile-99.999': partial(percentile, percent=99.999),
    'entropy': entropy,
    'mse': mse,
}


def activation_ranges(
    model: onnx.ModelProto,
    statistics: Statistics,
    calibrator: str,
    silu_floor: float | None,
    symmetric: bool = False,
) -> dict[str, Range]:
    """Return for each tensor the (low, high) that its 8 bits span.

    Args:
        model: the float graph.
        statistics: of its tensors.
        calibrator: one of CALIBRATORS.
        silu_floor: what goes into a SiLU saturates below this; None for as low as it goes. The
            lower part of SiLU is flat, so the bits do more good elsewhere.
        symmetric: the 8 bits will span as much below 0 as above.
    """
    how = calibrator, silu_floor, _before_silu(model), _pixels(model)
    return spans(statistics, *how, symmetric)


def spans(
    statistics: Statistics,
    calibrator: str,
    silu_floor: float | None,
    before_silu: Collection[str],
    pixels: Collection[str],
    symmetric: bool = False,
) -> dict[str, Range]:
    """Return for each tensor the (low, high) that its 8 bits span.

    Args:
        statistics: of the tensors.
        calibrator: one of CALIBRATORS.
        silu_floor: see `activation_ranges`.
        before_silu: tensors that go into a SiLU and nowhere else.
        pixels: tensors of whole numbers in 0..255, which that range keeps exact.
        symmetric: see `activation_ranges`.
    """
    ranges = {}
    for tensor in statistics.low:
        if calibrator == 'mse':
            bend = _silu if tensor in before_silu else np.positive
            low, high = mse(statistics, tensor, bend, symmetric)
        else:
            low, high = CALIBRATORS[calibrator](statistics, tensor)
        if tensor in pixels:
            low, high = PIXELS
        elif tensor in before_silu and silu_floor is not None:
            low = max(low, silu_floor)
        ranges[tensor] = low, high
    return ranges


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
