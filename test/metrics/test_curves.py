# SPDX-License-Identifier: Apache-2.0
"""Precision, recall and F1 over the score threshold, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.metrics.curves import GRID, at_thresholds, best_f1, best_mean_f1

# In order of the score: hit, hit, miss, hit, miss; 4 objects, one of which is never found.
SCORES = np.array([0.5, 0.9, 0.3, 0.8, 0.6])
HITS = np.array([True, True, False, True, False])


def test_every_threshold():
    precision, recall, f1 = at_thresholds(
        SCORES, HITS, 4, np.array([0.0, 0.3, 0.4, 0.55, 0.8, 0.85, 0.95])
    )
    np.testing.assert_allclose(precision, [3 / 5, 3 / 5, 3 / 4, 2 / 3, 1, 1, 0])
    np.testing.assert_allclose(recall, [3 / 4, 3 / 4, 3 / 4, 1 / 2, 1 / 2, 1 / 4, 0])
    np.testing.assert_allclose(f1, [6 / 9, 6 / 9, 6 / 8, 4 / 7, 4 / 6, 2 / 5, 0])


def test_the_best_threshold():
    best = best_f1(SCORES, HITS, 4)
    assert best == {'score': 0.5, 'f1': 0.75, 'precision': 0.75, 'recall': 0.75}


def test_detections_of_one_score_come_together():
    best = best_f1(np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, True, False, False]), 2)
    assert best['score'] == 0.5 and best['f1'] == pytest.approx(4 / 5)


def test_of_equal_thresholds_the_highest():
    """One of 3 objects with one box, or two with five: F1 is 0.5 both times."""
    hits = np.array([True, False, False, False, True])
    best = best_f1(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), hits, 3)
    assert best == {'score': 0.9, 'f1': 0.5, 'precision': 1.0, 'recall': pytest.approx(1 / 3)}


@pytest.mark.parametrize('count', [0, 3])
def test_no_hits(count):
    scores, hits = np.linspace(0.1, 0.9, count), np.zeros(count, bool)
    assert best_f1(scores, hits, 2) is None
    assert not at_thresholds(scores, hits, 2, GRID).any()
    assert best_mean_f1([at_thresholds(scores, hits, 2, GRID)]) is None
    assert best_mean_f1([]) is None


def test_the_mean_over_classes():
    """One class wants a threshold in (0.2, 0.4], the other in (0.35, 0.9]: common is 0.4."""
    one = at_thresholds(np.array([0.4, 0.2]), np.array([True, False]), 1, GRID)
    other = at_thresholds(np.array([0.9, 0.35]), np.array([True, False]), 1, GRID)
    best = best_mean_f1([one, other])
    assert best == {'score': pytest.approx(0.4), 'f1': 1.0, 'precision': 1.0, 'recall': 1.0}
