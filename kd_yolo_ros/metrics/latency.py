# SPDX-License-Identifier: Apache-2.0
"""Times in milliseconds: the names of the stages, and percentiles of many samples.

The same names stand in every report, topic and table.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np

RECEIVE = 'receive'  # stamp of sending -> callback
CONVERT = 'convert'
LETTERBOX = 'letterbox'
INFER = 'infer'
DECODE = 'decode'
NMS = 'nms'
MASKS = 'masks'
MESSAGE = 'message'
PUBLISH = 'publish'
TOTAL = 'total'  # callback -> published

STAGES = (
    RECEIVE, CONVERT, LETTERBOX, INFER, DECODE, NMS, MASKS, MESSAGE, PUBLISH, TOTAL,
)  # fmt: skip
MODEL_STAGES = (INFER, DECODE, NMS)  # what a latency ratio between models counts
PERCENTILES = (10, 50, 90, 95, 99)

Summary = Dict[str, Union[int, float, None]]


def percentiles(samples_ms: Iterable[float]) -> Summary:
    """Return p10, p50, p90, p95, p99, mean, min, max and count.

    Without samples all but the count are None.
    """
    samples = np.fromiter(samples_ms, np.float64)
    names = [f'p{p}' for p in PERCENTILES]
    if not samples.size:
        return {**dict.fromkeys([*names, 'mean', 'min', 'max']), 'count': 0}
    values = np.percentile(samples, PERCENTILES)
    return {
        **{name: float(value) for name, value in zip(names, values)},
        'mean': float(samples.mean()),
        'min': float(samples.min()),
        'max': float(samples.max()),
        'count': int(samples.size),
    }


class StageTimes:
    """Collects each frame's {stage: ms}."""

    def __init__(self) -> None:
        self._samples: Dict[str, List[float]] = {}

    def add(self, stages_ms: Mapping[str, float]) -> None:
        """Take one frame's times; ValueError for a stage of an unknown name."""
        for stage, ms in stages_ms.items():
            if stage not in STAGES:
                raise ValueError(f'unknown stage {stage!r}, expected one of {", ".join(STAGES)}')
            self._samples.setdefault(stage, []).append(float(ms))

    def __getitem__(self, stage: str) -> Sequence[float]:
        """Return one stage's samples in the order they came, empty where there are none."""
        return self._samples.get(stage, [])

    def summary(self) -> Dict[str, Summary]:
        """Return {stage: percentiles}, in the order in which a frame passes the stages."""
        return {stage: percentiles(self[stage]) for stage in STAGES if stage in self._samples}

    def sum_ms(self, stages: Sequence[str] = MODEL_STAGES) -> Optional[np.ndarray]:
        """Return each frame's sum over the stages; None where they differ in length."""
        columns = [self[stage] for stage in stages if stage in self._samples]
        if not columns or len({len(column) for column in columns}) != 1:
            return None
        return np.sum(columns, axis=0)
