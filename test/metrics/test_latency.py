# SPDX-License-Identifier: Apache-2.0
"""Percentiles and the stages' names."""

from __future__ import annotations

import pytest

from kd_yolo_ros.metrics.latency import STAGES, StageTimes, percentiles


def test_percentiles():
    summary = percentiles(float(value) for value in range(101))
    for percent in (10, 50, 90, 95, 99):
        assert summary[f'p{percent}'] == percent
    assert (summary['mean'], summary['min'], summary['max']) == (50, 0, 100)
    assert summary['count'] == 101


def test_no_samples():
    summary = percentiles([])
    assert summary['count'] == 0 and summary['p50'] is None and summary['p99'] is None


def test_stages_come_in_the_order_of_a_frame():
    times = StageTimes()
    times.add({'nms': 1.0, 'infer': 10.0, 'letterbox': 2.0})
    times.add({'infer': 20.0, 'letterbox': 4.0, 'nms': 3.0, 'publish': 0.5})
    summary = times.summary()
    assert list(summary) == ['letterbox', 'infer', 'nms', 'publish']
    assert summary['infer']['p50'] == 15 and summary['publish']['count'] == 1
    assert list(times['infer']) == [10, 20] and list(times['masks']) == []


def test_model_time_is_the_sum_of_each_frame():
    times = StageTimes()
    times.add({'infer': 10.0, 'decode': 1.0, 'nms': 2.0, 'letterbox': 50.0})
    times.add({'infer': 20.0, 'decode': 1.0, 'nms': 4.0, 'letterbox': 50.0})
    assert times.sum_ms().tolist() == [13, 25]
    assert StageTimes().sum_ms() is None
    times.add({'infer': 1.0})
    assert times.sum_ms() is None


def test_unknown_stages_are_refused():
    with pytest.raises(ValueError, match="'inference'"):
        StageTimes().add({'inference': 1.0})
    assert len(set(STAGES)) == len(STAGES)
