# SPDX-License-Identifier: Apache-2.0
"""Outlines as rows of as many points each, which is what transforms take, and masks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OUTLINE_POINTS = 128  # of an object in all its pieces; of COCO's objects one in 500 has more
LEAST_POINTS = 4  # of a piece
MASK_STRIDE = 4  # pixels of the network's input for one of a mask, as of the head's prototypes
UNKNOWN = 255  # in the mask of an object whose outline is not known


def outline(rings: Sequence[np.ndarray], box: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return an object's polygons as OUTLINE_POINTS points, and where in them each polygon ends.

    Corners are kept where there are not too many, the rest is spread evenly along the lines. The
    extremes are kept always, so that the box of the points is the box of the polygons. Of very
    many pieces the smallest are left out.

    Args:
        rings: (K, 2) each; without any, the box is the outline.
        box: (4,) x1 y1 x2 y2.
    """
    if not rings:
        x1, y1, x2, y2 = box
        rings = (np.array(((x1, y1), (x2, y1), (x2, y2), (x1, y2)), np.float32),)
    points = np.concatenate(rings)
    extremes = np.unique((points.argmin(0), points.argmax(0)))
    closed = [np.concatenate((ring, ring[:1])).astype(np.float64) for ring in rings]
    along = [
        np.append(0, np.linalg.norm(np.diff(ring, axis=0), axis=1).cumsum()) for ring in closed
    ]
    counts = _shares(np.array([at[-1] for at in along]), OUTLINE_POINTS - len(extremes))
    parts, start = [], 0
    for ring, at, count in zip(closed, along, counts, strict=True):
        mine = extremes[(extremes >= start) & (extremes < start + len(ring) - 1)] - start
        start += len(ring) - 1
        corners = at[:-1] if len(ring) - 1 <= count else at[:0]
        even = np.linspace(0, at[-1], count - len(corners), endpoint=False)
        wanted = np.sort(np.concatenate((corners, even, at[mine])))
        parts.append(np.stack([np.interp(wanted, at, ring[:, axis]) for axis in (0, 1)], 1))
    ends = np.cumsum([len(part) for part in parts])
    return np.concatenate(parts).astype(np.float32), tuple(ends.tolist())


def _shares(lengths: np.ndarray, points: int) -> np.ndarray:
    """Return how many points each piece gets: by its length, LEAST_POINTS, or none at all."""
    counts = np.zeros(len(lengths), int)
    by_length = points * lengths / max(lengths.sum(), 1e-12)
    longest_first = np.argsort(-lengths, kind='stable')
    for piece in longest_first:
        wanted = max(LEAST_POINTS, int(by_length[piece]))
        if counts.sum() + wanted <= points:
            counts[piece] = wanted
    counts[longest_first[0]] += points - counts.sum()
    return counts


def mask_of(points: np.ndarray, ends: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return which pixels an outline covers, (height, width) uint8 of 0 and 1.

    What any of its pieces covers is covered, as in COCO, whose tools decide on the borders. What
    is too small for any pixel keeps the one in its middle.

    Args:
        points: (K, 2) x and y, 0 to 1 from border to border; what is outside is cut.
        ends: where in them each piece ends.
        height: of the mask.
        width: of the mask.
    """
    from pycocotools import mask

    canvas = np.zeros((height, width), np.uint8)
    pixels = points.astype(np.float64) * (width, height)
    left, top = np.floor(pixels.min(0)).clip(0, (width - 1, height - 1)).astype(int)
    right, bottom = np.ceil(pixels.max(0)).clip((left + 1, top + 1), (width, height)).astype(int)
    pieces = np.split(pixels - (left, top), ends[:-1])
    flat = [piece.ravel().tolist() for piece in pieces if len(piece) > 2]
    if flat:
        runs = mask.frPyObjects(flat, int(bottom - top), int(right - left))
        canvas[top:bottom, left:right] = mask.decode(mask.merge(runs))
    if not canvas.any():
        canvas[(top + bottom - 1) // 2, (left + right - 1) // 2] = 1
    return canvas
