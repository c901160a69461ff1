# SPDX-License-Identifier: Apache-2.0
"""What an inference node says of itself on /diagnostics, once a second."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Dict, Optional

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from kd_yolo_ros.backends import Running
from kd_yolo_ros.metrics.latency import percentiles

LATENCY_WINDOW = 250  # frames the percentiles look back on: ten seconds at 25 Hz
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class FrameStatistics:
    """Counts frames and remembers their latencies; used by the executor and the worker.

    Attributes:
        processed: frames answered with detections.
        skipped: frames left out because they were bad or too late.
        lost: messages that the middleware reported lost.
        qos_mismatches: publishers whose quality of service does not fit the subscription.
        stamps_back: frames whose stamp was older than that of the frame before.
        last_problem: the newest reason of a skip.
    """

    def __init__(self) -> None:
        self.processed = 0
        self.skipped = 0
        self.lost = 0
        self.qos_mismatches = 0
        self.stamps_back = 0
        self.last_problem = ''
        self._latencies_ms: Deque[float] = deque(maxlen=LATENCY_WINDOW)
        self._lock = threading.Lock()

    def answer(self, latency_ms: float) -> None:
        """Count a frame that was answered this long after its stamp."""
        with self._lock:
            self.processed += 1
            self._latencies_ms.append(latency_ms)

    def skip(self, reason: str) -> None:
        """Count a frame that was left out."""
        with self._lock:
            self.skipped += 1
            self.last_problem = reason

    def latency(self) -> Dict[str, Any]:
        """Return the percentiles of the last frames, stamp to published, in ms."""
        with self._lock:
            return percentiles(list(self._latencies_ms))


class Diagnostics:
    """Turns the statistics into messages; remembers the last one to give rates."""

    def __init__(self, node_name: str) -> None:
        self._name = node_name
        self._before: Dict[str, int] = {}
        self._before_s: Optional[float] = None

    def message(
        self,
        stamp: Time,
        now_s: float,
        statistics: FrameStatistics,
        received: int,
        replaced: int,
        model: Dict[str, str],
        running: Running,
    ) -> DiagnosticArray:
        """Return both statuses; `now_s` is a monotonic time in seconds."""
        counts = {
            'received': received,
            'processed': statistics.processed,
            'replaced': replaced,
            'skipped': statistics.skipped,
            'lost': statistics.lost,
            'qos_mismatches': statistics.qos_mismatches,
            'stamps_back': statistics.stamps_back,
        }
        new = {key: value - self._before.get(key, 0) for key, value in counts.items()}
        seconds = now_s - self._before_s if self._before_s is not None else None
        self._before, self._before_s = counts, now_s
        level, text = _judge(new, statistics)
        images = DiagnosticStatus(
            level=level, name=f'{self._name}: images', message=text, hardware_id=self._name
        )
        rate = f'{new["received"] / seconds:.1f}' if seconds else ''
        images.values = [
            KeyValue(key='rate_hz', value=rate),
            *(KeyValue(key=key, value=str(value)) for key, value in counts.items()),
            KeyValue(key='last_problem', value=statistics.last_problem),
        ]
        latency = statistics.latency()
        inference = DiagnosticStatus(
            level=OK,
            name=f'{self._name}: inference',
            message=f'{running.runtime} {running.precision} on {running.provider}',
            hardware_id=self._name,
        )
        values = {
            **model,
            'runtime': f'{running.runtime} {running.runtime_version}',
            'provider': running.provider,
            'precision': running.precision,
            'threads': str(running.threads),
            **{
                f'latency_{p}_ms': '' if latency[p] is None else f'{latency[p]:.2f}'
                for p in ('p50', 'p95', 'p99')
            },
        }
        inference.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array = DiagnosticArray(status=[images, inference])
        array.header.stamp = stamp
        return array


def _judge(new: Dict[str, int], statistics: FrameStatistics) -> Any:
    """Return the level and the sentence for what happened since the last message."""
    if new['skipped']:
        every = new['skipped'] == new['received']
        text = f'{new["skipped"]} frames skipped: {statistics.last_problem}'
        return (ERROR if every else WARN), text
    if new['lost']:
        return WARN, f'{new["lost"]} messages lost by the middleware'
    if new['stamps_back']:
        return WARN, 'the stamp went back: a looping bag, or a restarted clock'
    if not new['received'] and statistics.qos_mismatches:
        return ERROR, 'no images received: a publisher has an incompatible quality of service'
    if not new['received']:
        return WARN, 'no images received'
    return OK, 'images are processed'
