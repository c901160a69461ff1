# SPDX-License-Identifier: Apache-2.0
"""From mask coefficients and prototypes to the pixels that each object covers.

Nothing is computed outside of the objects' boxes, neither prototypes nor pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np

from kd_yolo_ros.letterbox import Placement

UNLABELLED = 255  # in a semantic map, where no object is
PIXELS_AT_ONCE = 1 << 16  # their logits stay in a core's own cache


@dataclass(frozen=True)
class Masks:
    """Which pixels each object covers, in a picture of `size`.

    Attributes:
        size: (height, width) of the picture that the masks are for.
        corners: (N, 2) int64, left and top of each crop in that picture.
        crops: N bool arrays (h, w), true where the object is; (0, 0) where the box holds no
            pixel's centre.
    """

    size: Tuple[int, int]
    corners: np.ndarray
    crops: Tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        if self.corners.shape != (len(self.crops), 2):
            raise ValueError(f'corners {self.corners.shape} do not fit {len(self.crops)} crops')

    def __len__(self) -> int:
        return len(self.crops)

    def select(self, keep: np.ndarray) -> Masks:
        """Return the masks that `keep` (indices or a mask) names, in that order."""
        kept = np.arange(len(self))[keep]
        return Masks(self.size, self.corners[kept], tuple(self.crops[i] for i in kept))

    def full(self, index: int) -> np.ndarray:
        """Return one object's mask as a (H, W) bool picture."""
        picture = np.zeros(self.size, bool)
        self._within(picture, index)[...] = self.crops[index]
        return picture

    def instance_map(self, out: Optional[np.ndarray] = None) -> np.ndarray:
        """Paint all objects into one picture, (H, W) uint16.

        The k-th object, from 0, is k + 1, and 0 is the background. Where objects overlap, the one
        with the better score lies on top, which is the first one.

        Args:
            out: such an array, contiguous, to be painted over; None makes one.
        """
        return self._paint(np.arange(1, len(self) + 1), 0, np.uint16, out)

    def semantic_map(self, class_ids: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
        """Paint all objects' classes into one picture, (H, W) uint8.

        Args:
            class_ids: (N,) of the objects, in 0..254; no object is 255.
            out: as in `instance_map`.

        Raises:
            ValueError: a class id that has no place in a byte.
        """
        if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < UNLABELLED:
            raise ValueError(f'class ids up to {class_ids.max()}; a semantic map holds 0..254')
        return self._paint(class_ids, UNLABELLED, np.uint8, out)

    def _paint(
        self, values: np.ndarray, background: int, dtype: type, out: Optional[np.ndarray]
    ) -> np.ndarray:
        picture = np.empty(self.size, dtype) if out is None else out
        if (picture.shape, picture.dtype) != (tuple(self.size), dtype):
            raise ValueError(f'a {picture.shape} {picture.dtype} array is none for these masks')
        picture[...] = background
        for index in reversed(range(len(self))):
            crop = self.crops[index]
            if crop.size:
                value: np.ndarray = np.full(crop.shape, values[index], dtype)
                # Several times faster than numpy's assignments through a mask.
                cv2.copyTo(value, crop.view(np.uint8), self._within(picture, index))
        return picture

    def _within(self, picture: np.ndarray, index: int) -> np.ndarray:
        (left, top), (height, width) = self.corners[index], self.crops[index].shape
        return picture[top : top + height, left : left + width]


def decode_masks(
    coefficients: np.ndarray,
    protos: np.ndarray,
    boxes: np.ndarray,
    placement: Placement,
    network: Tuple[int, int],
    size: Tuple[int, int],
) -> Masks:
    """Compose each object's mask and sample it straight at the pixels of the wanted picture.

    A mask is where the sum of the prototypes, weighted with the object's coefficients, is above 0
    (a probability above 0.5), inside the object's box (Bolya et al., YOLACT, ICCV 2019). The sums
    are interpolated linearly between the prototypes' cells, once, at the centres of the pixels.

    Args:
        coefficients: (N, M) float32.
        protos: (M, h, w) float32 of the whole network input, in any order in memory.
        boxes: (N, 4) x1 y1 x2 y2 in network pixels.
        placement: where the source picture lies in the network's input.
        network: (height, width) of that input.
        size: (height, width) of the picture that the masks are for, which shows all of the source.
    """
    sides = np.array([size[1] / placement.source[1], size[0] / placement.source[0]] * 2)
    # A pixel belongs to the box that holds its centre.
    corners = np.ceil(placement.to_source(boxes) * sides - 0.5).astype(np.int64)
    rows = _samples(size[0], placement.top, placement.scaled[0], network[0], protos.shape[1])
    columns = _samples(size[1], placement.left, placement.scaled[1], network[1], protos.shape[2])
    crops = []
    with np.errstate(invalid='ignore', over='ignore'):  # what is not finite covers nothing
        for (left, top, right, bottom), weights in zip(corners.tolist(), coefficients):
            inside = rows.part(top, bottom), columns.part(left, right)
            filled = left < right and top < bottom
            crops.append(_mask(weights, protos, *inside) if filled else np.zeros((0, 0), bool))
    return Masks(size, corners[:, :2], tuple(crops))


class _Samples(NamedTuple):
    """Where the pixels of one side lie between the cells of the prototypes.

    Attributes:
        cells: (n,) the cell before each pixel's centre.
        weights: (n,) float32, how far the centre is on the way to the next cell, in 0..1.
    """

    cells: np.ndarray
    weights: np.ndarray

    def part(self, first: int, end: int) -> _Samples:
        return _Samples(self.cells[first:end], self.weights[first:end])


def _samples(pixels: int, offset: int, scaled: int, network: int, cells: int) -> _Samples:
    """Sample the prototypes along a side, at pixels that share `scaled` network pixels."""
    centres = (np.arange(pixels) + 0.5) * (scaled / pixels) + offset
    places = np.clip(centres * (cells / network) - 0.5, 0, cells - 1)
    before = np.minimum(places.astype(np.int64), cells - 2)
    return _Samples(before, (places - before).astype(np.float32))


def _mask(
    coefficients: np.ndarray, protos: np.ndarray, rows: _Samples, columns: _Samples
) -> np.ndarray:
    """Return the (h, w) bool mask at these rows and columns, at least one of each."""
    top, left = rows.cells[0], columns.cells[0]
    cells = protos[:, top : rows.cells[-1] + 2, left : columns.cells[-1] + 2]
    # Not a matrix product over all objects: BLAS would wake its threads for that and wait for
    # them, while their cores are busy with inference.
    logits = np.einsum('m,mij->ij', coefficients, cells)
    column = columns.cells - left
    lines = logits.take(column, 1)
    lines += (logits.take(column + 1, 1) - lines) * columns.weights
    slopes = np.diff(lines, axis=0)
    row, weights = rows.cells - top, rows.weights[:, np.newaxis]
    mask = np.empty((len(row), len(column)), bool)
    step = max(1, PIXELS_AT_ONCE // len(column))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        values = slopes.take(row[part], 0)
        values *= weights[part]
        values += lines.take(row[part], 0)
        np.greater(values, 0, out=mask[part])
    return mask
