# SPDX-License-Identifier: Apache-2.0
"""What is seen of outlines that were drawn one over the other, from back to front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .contours import contours


def visible_pieces(
    outlines: Sequence[np.ndarray], size: tuple[int, int], wanted: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    """Return what is seen of each outline that is asked for, as outlines.

    One that nothing covers is returned as it is. Of one that is covered in part there is an
    outline for each connected piece, along the borders of the pixels and with its holes filled;
    of one that is covered altogether there is none.

    Args:
        outlines: of all that stands in the picture, (K, 2) in pixels each, the farthest first.
        size: width and height of the picture.
        wanted: which of them to return.
    """
    width, height = size
    front = np.full((height, width), -1, np.int32)  # the number of the nearest outline
    areas = np.zeros(len(outlines), int)
    windows = []
    for number, outline in enumerate(outlines):
        window, covered = _covered(outline, size)
        front[window][covered] = number
        areas[number] = covered.sum()
        windows.append(window)
    pieces: list[tuple[np.ndarray, ...]] = []
    for number in wanted:
        rows, columns = windows[number]
        seen = front[rows, columns] == number
        if seen.sum() == areas[number]:
            pieces.append((outlines[number],))
        else:
            corner = np.array((columns.start, rows.start), np.float64)
            pieces.append(tuple(piece + corner for piece in contours(seen)))
    return pieces


def _covered(outline: np.ndarray, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the rows and columns of a picture that an outline reaches, and its pixels there."""
    from pycocotools import mask

    left, top = np.floor(outline.min(0)).clip(0, size).astype(int).tolist()
    right, bottom = np.ceil(outline.max(0)).clip(0, size).astype(int).tolist()
    window = slice(top, bottom), slice(left, right)
    if right <= left or bottom <= top:
        return window, np.zeros((max(bottom - top, 0), max(right - left, 0)), bool)
    flat = (outline - (left, top)).ravel().tolist()
    (runs,) = mask.frPyObjects([flat], bottom - top, right - left)
    return window, mask.decode(runs).astype(bool)
