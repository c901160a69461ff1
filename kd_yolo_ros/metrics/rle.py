# SPDX-License-Identifier: Apache-2.0
"""Masks as run lengths in COCO's form: what pycocotools compares, in a fraction of the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from kd_yolo_ros.masks import Masks

# {'size': [height, width], 'counts': bytes}, as pycocotools takes and gives it.
Rle = Dict[str, Any]


@dataclass(frozen=True)
class EncodedMasks:
    """Which pixels each of N objects covers, compressed.

    Attributes:
        size: (height, width) of the picture that the masks lie in.
        counts: N compressed run lengths, see `encode`.
    """

    size: Tuple[int, int]
    counts: Tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.counts)

    def rles(self) -> List[Rle]:
        """Return them as pycocotools takes them."""
        return [{'size': list(self.size), 'counts': counts} for counts in self.counts]

    def select(self, keep: np.ndarray) -> EncodedMasks:
        """Return those that `keep` (indices or a mask) names, in that order."""
        rows = np.arange(len(self.counts))[keep]
        return EncodedMasks(self.size, tuple(self.counts[row] for row in rows))


def encode(masks: Masks) -> EncodedMasks:
    """Return masks compressed; no picture is filled for it, only their crops are looked at."""
    from pycocotools import mask

    if not masks.crops:
        return EncodedMasks(masks.size, ())
    height, width = masks.size
    runs = [
        {'size': [height, width], 'counts': _runs(np.asarray(crop, bool), corner, masks.size)}
        for crop, corner in zip(masks.crops, masks.corners.tolist())
    ]
    return EncodedMasks(
        masks.size, tuple(rle['counts'] for rle in mask.frPyObjects(runs, height, width))
    )


def _runs(crop: np.ndarray, corner: Sequence[int], size: Tuple[int, int]) -> np.ndarray:
    """Return the lengths of runs down a picture's columns, from left to right: off, on, off, ….

    Args:
        crop: (h, w) bool, all of it inside the picture.
        corner: left and top of it.
        size: (height, width) of the picture.
    """
    left, top = corner
    rows, columns = crop.shape
    height, width = size
    pitch = rows + 1
    padded = np.zeros((columns, pitch), bool)  # a pixel that is off comes before each column
    padded[:, 1:] = crop.T
    flat = np.append(padded.ravel(), False)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    pixels = np.stack([edges[::2], edges[1::2] - 1])  # the first and the last one of each run
    places = (left + pixels // pitch) * height + top + pixels % pitch - 1
    first, last = places
    # Runs through columns of the picture's whole height go on in the next one.
    new = np.append(True, first[1:] != last[:-1] + 1)[: len(first)]
    ends = np.stack([first[new], last[np.append(new[1:], True)[: len(new)]] + 1], axis=1)
    lengths = np.diff(np.concatenate([[0], ends.ravel(), [height * width]]))
    return lengths if lengths[-1] else lengths[:-1]  # as pycocotools leaves it out


def areas(rles: Sequence[Rle]) -> np.ndarray:
    """Return how many pixels each of N masks covers, (N,) float64."""
    from pycocotools import mask

    # One by one: version 2.0.11 takes no more than 255 at once.
    return np.array([mask.area(rle) for rle in rles], np.float64)


def paint(rles: Sequence[Rle], values: Sequence[int], background: int = -1) -> np.ndarray:
    """Return a map in which each mask's pixels have its value; later ones lie on top.

    Args:
        rles: one or more, all of one size.
        values: one for each.
        background: the value of all other pixels.

    Returns:
        (H, W) int32 in Fortran order, as masks come.
    """
    from pycocotools import mask

    painted = np.full(rles[0]['size'], background, np.int32, order='F')
    for rle, value in zip(rles, values):
        painted[mask.decode(rle).view(bool)] = value
    return painted
