# SPDX-License-Identifier: Apache-2.0
"""Backends that also tell where their time goes, by the runtime's own counters."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type, Union

import numpy as np

from kd_yolo_ros.backends.onnxruntime import OnnxRuntimeBackend
from kd_yolo_ros.backends.openvino import OpenVinoBackend

WARM_UP = 5  # inferences that do not count


class OperatorTime(NamedTuple):
    """What the nodes of one kind took of an inference.

    Attributes:
        kind: of operator, as the runtime calls it; OpenVINO's with the type it computed in.
        nodes: number of them.
        ms: sum over the nodes of each one's median.
    """

    kind: str
    nodes: int
    ms: float


class ProfiledOnnxRuntime(OnnxRuntimeBackend):
    """ONNX Runtime with its profiler on; after `operator_times` it no longer counts."""

    def operator_times(self, batch: np.ndarray, runs: int) -> List[OperatorTime]:
        """Run a batch some times and return the kinds of operators, slowest first."""
        for _ in range(WARM_UP + runs):
            self.infer(batch)
        path = self._session.end_profiling()
        try:
            with open(path, encoding='utf-8') as file:
                events = json.load(file)
        finally:
            os.unlink(path)
        times: Dict[Tuple[str, str], List[float]] = defaultdict(list)
        for event in events:
            if event.get('cat') == 'Node' and event['name'].endswith('_kernel_time'):
                kind = event['args']['op_name']
                times[kind, event['name']].append(event['dur'] / 1e3)
        return _by_kind({key: values[-runs:] for key, values in times.items()})

    def _options(self, threads: Optional[int]) -> Any:
        options = super()._options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(tempfile.gettempdir(), 'kd-yolo-profile')
        return options


class ProfiledOpenVino(OpenVinoBackend):
    """OpenVINO with its performance counters on."""

    config = {**OpenVinoBackend.config, 'PERF_COUNT': 'YES'}

    def operator_times(self, batch: np.ndarray, runs: int) -> List[OperatorTime]:
        """Run a batch some times and return the kinds of operators, slowest first."""
        times: Dict[Tuple[str, str], List[float]] = defaultdict(list)
        for number in range(WARM_UP + runs):
            self.infer(batch)
            if number < WARM_UP:
                continue
            for node in self._request.get_profiling_info():
                # Such as brgconv_avx512_I8: what it computed in stands last.
                kind = f'{node.node_type} {node.exec_type.rpartition("_")[2]}'
                times[kind, node.node_name].append(node.real_time.total_seconds() * 1e3)
        return _by_kind(times)


Profiled = Union[Type[ProfiledOnnxRuntime], Type[ProfiledOpenVino]]
PROFILED: Dict[str, Profiled] = {
    'onnxruntime': ProfiledOnnxRuntime,
    'openvino': ProfiledOpenVino,
}


def _by_kind(times: Dict[Tuple[str, str], List[float]]) -> List[OperatorTime]:
    """Sum medians by kind; nodes that were fused away take no time and are not counted."""
    counts: Dict[str, int] = defaultdict(int)
    sums: Dict[str, float] = defaultdict(float)
    for (kind, _), values in times.items():
        median = float(np.median(values))
        if median > 0:
            counts[kind] += 1
            sums[kind] += median
    found = [OperatorTime(kind, counts[kind], sums[kind]) for kind in sums]
    return sorted(found, key=lambda operator: -operator.ms)
