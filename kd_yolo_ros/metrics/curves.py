# SPDX-License-Identifier: Apache-2.0
"""Precision, recall and F1 of one class over the score threshold, and where F1 is best."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

GRID = np.linspace(0, 1, 1001)  # score thresholds at which classes are averaged


def at_thresholds(
    scores: np.ndarray, hits: np.ndarray, objects: int, thresholds: np.ndarray
) -> np.ndarray:
    """Return precision, recall and F1 of the detections with score >= each threshold.

    Args:
        scores: (M,) of all detections of a class, in any order.
        hits: (M,) bool, whether a detection is one of the objects.
        objects: number of objects to be found, above 0.
        thresholds: (S,).

    Returns:
        (3, S); precision is 0 where nothing is left.
    """
    order = np.argsort(scores)
    first_kept = np.searchsorted(scores[order], thresholds, 'left')
    kept = len(scores) - first_kept
    hits_before = np.concatenate([[0], np.cumsum(hits[order])])
    found = hits_before[-1] - hits_before[first_kept]
    return np.stack([found / np.maximum(kept, 1), found / objects, 2 * found / (kept + objects)])


def best_f1(scores: np.ndarray, hits: np.ndarray, objects: int) -> Optional[Dict[str, float]]:
    """Return score, f1, precision and recall at one class' best threshold, None without hits."""
    thresholds = np.unique(scores)
    return _best(thresholds, at_thresholds(scores, hits, objects, thresholds))


def best_mean_f1(curves: Sequence[np.ndarray]) -> Optional[Dict[str, float]]:
    """Return the same for the mean over classes; `curves` are `at_thresholds` on `GRID`."""
    return _best(GRID, np.mean(curves, axis=0)) if curves else None


def _best(thresholds: np.ndarray, curve: np.ndarray) -> Optional[Dict[str, float]]:
    """Take the highest of equally good thresholds: it reports the fewest boxes."""
    precision, recall, f1 = curve
    if not f1.any():
        return None
    index = int(np.flatnonzero(f1 == f1.max())[-1])
    return {
        'score': float(thresholds[index]),
        'f1': float(f1[index]),
        'precision': float(precision[index]),
        'recall': float(recall[index]),
    }


def ranked_hits(evaluation: Any, class_index: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return scores and hits of a class at IoU 0.5 as a pycocotools' COCOeval matched them.

    Detections that it ignores, those of crowd regions, are not among them.
    """
    params = evaluation.params
    pictures = len(params.imgIds)
    start = class_index * len(params.areaRng) * pictures  # by class, then size, then picture
    entries = evaluation.evalImgs[start : start + pictures]
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for entry in filter(None, entries):
        counted = ~entry['dtIgnore'][0].astype(bool)
        scores.append(np.asarray(entry['dtScores'])[counted])
        hits.append(entry['dtMatches'][0][counted] > 0)
    return np.concatenate(scores), np.concatenate(hits)
