# SPDX-License-Identifier: Apache-2.0
"""Noise for asphalt, walls, clouds and leaves; made once in each process."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np


@cache
def clouds(seed: int, size: int = 512, finest: int = 2, fade: float = 0.55) -> np.ndarray:
    """Return tileable noise (size, size) float32 0..1 of several scales, coarse ones first."""
    source = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    weight, cells = 1.0, 4
    while size // cells >= finest:
        grid = source.random((cells, cells), np.float32)
        grid = np.pad(grid, 2, mode='wrap')
        step = size // cells
        large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * large[2 * step : 2 * step + size, 2 * step : 2 * step + size]
        weight, cells = weight * fade, cells * 2
    return cv2.normalize(total, None, 0, 1, cv2.NORM_MINMAX)


@cache
def grain(seed: int, size: int = 512) -> np.ndarray:
    """Return tileable fine noise (size, size) float32 with mean 0, as of asphalt."""
    source = np.random.default_rng(seed)
    fine = source.normal(0, 1, (size, size)).astype(np.float32)
    stains = clouds(seed + 1, size, 8) - 0.5
    return fine * 5 + stains * 38


@cache
def sensor_noise(height: int, width: int) -> np.ndarray:
    """Return (height, width, 3) int16 noise of a standard deviation of 16."""
    source = np.random.default_rng(7)
    return (source.normal(0, 16, (height, width, 3))).astype(np.int16)
