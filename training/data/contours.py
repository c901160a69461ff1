# SPDX-License-Identifier: Apache-2.0
"""From the pixels of an object to its outlines, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np


def contours(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the outline of each connected piece of a (H, W) mask, (K, 2) float64 in pixels.

    It runs along the borders of the pixels, so that filling it gives the piece back. Holes are
    filled, since a list of outlines cannot tell them.
    """
    pixels = mask.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return
    # OpenCV's contours run through the centres of pixels. With three for one, the first and the
    # last of these are those at the borders.
    window = pixels[top : top + height, left : left + width]
    tripled = cv2.resize(window, (3 * width, 3 * height), interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(tripled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in found:
        yield _corners((contour[:, 0] + 1) // 3) + (float(left), float(top))


def _corners(points: np.ndarray) -> np.ndarray:
    """Leave out the points of (K, 2) that repeat the one before, or lie on the way straight on."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before = np.sign(points - np.roll(points, 1, axis=0))
    after = np.sign(np.roll(points, -1, axis=0) - points)
    return points[(before != after).any(axis=1)]
