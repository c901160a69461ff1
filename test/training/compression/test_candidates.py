# SPDX-License-Identifier: Apache-2.0
"""The candidate with the highest AP is taken, whatever was tried."""

from __future__ import annotations

from kd_yolo_training.compression.candidates import (
    AUTO,
    DEFAULT,
    SILU_FLOORS,
    Candidate,
    choose,
)
from kd_yolo_training.compression.ranges import CALIBRATORS


def test_the_best_calibrator_and_then_the_best_floor():
    def ap(candidate: Candidate) -> float:
        return (candidate.calibrator == 'percentile-99.9') + 0.1 * (candidate.silu_floor is None)

    chosen, tried = choose(AUTO, ap)
    assert chosen == Candidate('percentile-99.9', None)
    assert {candidate.calibrator for candidate in tried} == set(CALIBRATORS)
    assert len(tried) == len(CALIBRATORS) + len(SILU_FLOORS) - 1
    assert tried[chosen] == max(tried.values())


def test_one_calibrator_is_tried_with_every_floor():
    chosen, tried = choose('minmax', lambda candidate: -(candidate.silu_floor or 0))
    assert chosen == Candidate('minmax', -6.0)
    assert [candidate.silu_floor for candidate in tried] == list(SILU_FLOORS)


def test_where_no_floor_makes_a_difference():
    chosen, tried = choose(AUTO, lambda candidate: candidate.calibrator == 'minmax', (None,))
    assert chosen == Candidate('minmax', None)
    assert {candidate.silu_floor for candidate in tried} == {None}
    assert len(tried) == len(CALIBRATORS)


def test_without_pictures_for_choices():
    assert choose(AUTO, None) == (Candidate(DEFAULT, -6.0), {})
    assert choose(AUTO, None, (None,)) == (Candidate(DEFAULT, None), {})
    assert choose('entropy', None) == (Candidate('entropy', -6.0), {})
    assert choose('mse', None) == (Candidate('mse', None), {}), 'it finds its own floor'
