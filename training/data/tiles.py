# SPDX-License-Identifier: Apache-2.0
"""Large pictures with small objects in overlapping tiles, so that nothing has to be shrunk."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MIN_SHARE = 0.4  # of a box's area that a tile must show for the box to stay
MIN_SIDE = 3.0  # px that a cut box must still measure

WHOLE, NOT_SHOWN, REMAINDER = 1, 0, -1


class Tile(NamedTuple):
    """A part of a picture, in px: its upper left corner and its size."""

    x: int
    y: int
    width: int
    height: int


def tiles(width: int, height: int, side: int, overlap: float) -> list[Tile]:
    """Return the fewest tiles that cover a picture, spread evenly.

    Args:
        width: of the picture, in px.
        height: of the picture, in px.
        side: of a tile; less where the picture is smaller.
        overlap: share of a side that neighbours at least have in common.
    """
    return [
        Tile(x, y, min(side, width), min(side, height))
        for y in _starts(height, side, overlap)
        for x in _starts(width, side, overlap)
    ]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - overlap))) + 1
    return [round(start) for start in np.linspace(0, length - side, count).tolist()]


def cut(boxes: np.ndarray, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Cut boxes at the borders of a tile.

    Args:
        boxes: (N, 4), x1 y1 x2 y2 in px of the whole picture.
        tile: where to cut.

    Returns:
        inside: (N, 4), the boxes in px of the tile.
        kept: (N,) int: WHOLE for a box that stays, NOT_SHOWN, or REMAINDER for one of which the
            tile shows less than MIN_SHARE or MIN_SIDE px.
    """
    size = np.array([tile.width, tile.height] * 2)
    inside = np.clip(boxes - np.array([tile.x, tile.y] * 2), 0, size)
    sides = inside[:, 2:] - inside[:, :2]
    before = boxes[:, 2:] - boxes[:, :2]
    # A light of two pixels that lies in the tile as a whole is no remainder.
    uncut = (sides >= before - 1e-3).all(1)
    enough = (sides.prod(1) >= MIN_SHARE * before.prod(1)) & (sides >= MIN_SIDE).all(1)
    shown = (sides > 0).all(1)
    kept = np.where(uncut | enough, WHOLE, REMAINDER)
    return inside, np.where(shown, kept, NOT_SHOWN)
