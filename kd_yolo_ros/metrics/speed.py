# SPDX-License-Identifier: Apache-2.0
"""Times of several models side by side, so that what slows the machine down slows all alike."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Sequence

import numpy as np

from kd_yolo_ros.metrics.evaluation import Predicts
from kd_yolo_ros.metrics.latency import INFER, StageTimes, percentiles

# A model keeps the machine for a few pictures: alternating after each one would charge it for
# the cold caches and the still spinning threads that another runtime leaves behind.
WARM_UP, BLOCK = 3, 10


def interleaved(
    predictors: Sequence[Predicts],
    pictures: Sequence[np.ndarray],
    rounds: int,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> List[StageTimes]:
    """Return the stage times of each predictor, taken in turn.

    Args:
        predictors: loaded and with the thresholds of use.
        pictures: (H, W, 3) uint8 BGR, at least one; each goes through all predictors.
        rounds: of BLOCK pictures through every predictor, after WARM_UP that do not count.
        progress: wraps the rounds.
    """
    times = [StageTimes() for _ in predictors]
    for number in progress(range(rounds)):
        for predictor, collected in zip(predictors, times):
            for step in range(-WARM_UP, BLOCK):
                predictor.predict(pictures[(number * BLOCK + step) % len(pictures)])
                if step >= 0:
                    collected.add(predictor.stages_ms)
    return times


def speed_values(times: StageTimes) -> Dict[str, Any]:
    """Return stages_ms, infer_ms and model_ms (infer + decode + nms), each as percentiles."""
    stages = times.summary()
    sums = times.sum_ms()
    return {
        'stages_ms': stages,
        'infer_ms': stages.get(INFER, percentiles([])),
        'model_ms': percentiles(sums if sums is not None else []),
    }


def add_ratios(results: Sequence[Dict[str, Any]]) -> None:
    """Add `ratio` to results: p50 of model_ms to that of the fastest FP32 of the same network.

    Without an FP32 of that network among the results it is None.
    """
    for result in results:
        floats = [
            other['model_ms']['p50']
            for other in results
            if other['precision'] == 'fp32' and same_network(result, other)
        ]
        result['ratio'] = result['model_ms']['p50'] / min(floats) if floats else None


def same_network(one: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Tell whether two results are of one network with one input size, whatever runs it.

    They are where the names in their manifests and an FP32 file are the same. Without an FP32
    file in common, names alone prove nothing: many an export is called `best`.
    """
    alike = (one['network'], one['input']) == (other['network'], other['input'])
    return alike and not set(one['fp32_sha256']).isdisjoint(other['fp32_sha256'])
