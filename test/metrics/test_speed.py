# SPDX-License-Identifier: Apache-2.0
"""Turns of several models, in the order that is fair, and ratios to the right one of them."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.metrics.latency import StageTimes
from kd_yolo_ros.metrics.speed import (
    BLOCK,
    WARM_UP,
    add_ratios,
    interleaved,
    same_network,
    speed_values,
)

ROUNDS = 3


class Counts:
    """Notes who was asked for which picture; each answer takes a millisecond more."""

    class_names = ('thing',)

    def __init__(self, name, asked):
        self.name, self.asked, self.stages_ms = name, asked, {}

    def predict(self, picture):
        self.asked.append((self.name, int(picture[0, 0, 0])))
        self.stages_ms = {'letterbox': 7.0, 'infer': float(len(self.asked)), 'nms': 1.0}
        return Detections.empty()


def test_models_take_turns_after_a_warm_up():
    asked: list[tuple[str, int]] = []
    pictures = [np.full((2, 2, 3), number, np.uint8) for number in range(4)]
    times = interleaved([Counts(name, asked) for name in 'ab'], pictures, ROUNDS)
    turn = WARM_UP + BLOCK
    assert len(asked) == 2 * ROUNDS * turn
    assert [asked[i][0] for i in range(0, len(asked), turn)] == ['a', 'b'] * ROUNDS
    shown = {name: [number for who, number in asked if who == name] for name in 'ab'}
    assert shown['a'] == shown['b'], 'both see the same pictures'
    counted = [len(times[0]['infer']), len(times[1]['infer'])]
    assert counted == [ROUNDS * BLOCK] * 2
    # The first that counts is the one after the warm-up.
    assert times[0]['infer'][0] == WARM_UP + 1 and times[1]['infer'][0] == turn + WARM_UP + 1


def test_the_model_is_its_stages_without_the_letterbox():
    times = StageTimes()
    times.add({'letterbox': 7.0, 'infer': 10.0, 'decode': 2.0, 'nms': 1.0})
    values = speed_values(times)
    assert values['model_ms']['p50'] == 13 and values['infer_ms']['p99'] == 10
    assert set(values['stages_ms']) == {'letterbox', 'infer', 'decode', 'nms'}


def result(precision, p50, network='n', size=(640, 640), fp32='a'):
    return {
        'network': network,
        'fp32_sha256': list(fp32),
        'input': list(size),
        'precision': precision,
        'model_ms': {'p50': p50},
    }


def test_ratios_are_to_the_fastest_fp32_of_the_network():
    results = [
        result('fp32', 20.0),
        result('fp32', 16.0),
        result('int8', 8.0),
        result('fp32', 4.0, size=(320, 320)),
        result('int8', 3.0, size=(320, 320)),
        result('int8', 3.0, network='other'),
        result('int8', 3.0, fp32='b'),
        result('int8', 3.0, fp32=''),
        result('int8', 4.0, fp32='ba'),
    ]
    add_ratios(results)
    assert [r['ratio'] for r in results[:5]] == pytest.approx([1.25, 1, 0.5, 1, 0.75])
    assert [r['ratio'] for r in results[5:]] == [None, None, None, 0.25]


def test_names_alone_are_no_network():
    """Many an export is called `best`."""
    one, other = result('fp32', 1.0), result('fp32', 1.0, fp32='b')
    assert same_network(one, one) and not same_network(one, other)
    assert not same_network(result('int8', 1.0, fp32=''), result('int8', 1.0, fp32=''))
