# SPDX-License-Identifier: Apache-2.0
"""Weights against class imbalance, by the effective number of samples.

Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dataset import Picture

BETA = 0.999


def class_counts(pictures: Sequence[Picture], classes: int) -> np.ndarray:
    """Return the objects of each class that are trained on, (classes,) int64; no crowds."""
    counts = np.zeros(classes, np.int64)
    for picture in pictures:
        counts += np.bincount(picture.class_ids[~picture.crowd], minlength=classes)
    return counts


def class_weights(counts: np.ndarray, beta: float = BETA) -> np.ndarray:
    """Return w = (1 - beta) / (1 - beta ** n) for each class, with a mean of 1 over those there.

    Args:
        counts: (classes,) objects of each class. One that never occurs weighs 1, which no
            sample carries; it must not enter the mean, which it would outweigh.
        beta: 0 weighs all classes alike, towards 1 by the inverse of their frequency.

    Returns:
        (classes,) float64.

    Raises:
        ValueError: beta is not in 0..1, or is 1.
    """
    if not 0 <= beta < 1:
        raise ValueError(f'beta has to be at least 0 and below 1, not {beta}')
    there = counts > 0
    weights = np.ones(len(counts))
    weights[there] = (1 - beta) / (1 - beta ** counts[there].astype(np.float64))
    weights[there] /= weights[there].mean()
    return weights
