# SPDX-License-Identifier: Apache-2.0
"""An object's segmentation as data sets give it, turned into run lengths on a picture."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.rle import Rle

Size = Tuple[float, float]  # width, height


def to_rle(segmentation: Any, unit: Size, size: Tuple[int, int], where: str) -> Rle:
    """Return a segmentation's pixels.

    Args:
        segmentation: outlines, or COCO's run lengths, compressed or not.
        unit: (width, height) that outlines refer to.
        size: (width, height) of the picture.
        where: names the object in messages.

    Raises:
        UserError: it is neither, or broken.
    """
    if isinstance(segmentation, dict):
        from pycocotools import mask

        (width, height), lengths = _runs(segmentation, unit, where)
        runs = {'size': [height, width], 'counts': lengths}
        return _resized(mask.frPyObjects(runs, height, width), size)
    return _filled(segmentation, unit, size, where)


def check(segmentation: Any, unit: Optional[Size], where: str) -> None:
    """Raise what `to_rle` would, without filling a picture.

    Args:
        segmentation: as in `to_rle`.
        unit: likewise; None where that is not known yet.
        where: names the object in messages.
    """
    if isinstance(segmentation, dict):
        _runs(segmentation, unit, where)
    else:
        _points(segmentation, where)


def box_rle(box: Sequence[float], size: Tuple[int, int]) -> Rle:
    """Return the pixels of a box, x1 y1 x2 y2 in pixels of a picture of (width, height)."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return _filled([[x1, y1, x2, y1, x2, y2, x1, y2]], size, size, 'box')


def _filled(outlines: Any, unit: Size, size: Tuple[int, int], where: str) -> Rle:
    from pycocotools import mask

    width, height = size
    factor = np.array([width / unit[0], height / unit[1]])
    flat = [(points * factor).ravel().tolist() for points in _points(outlines, where)]
    return mask.merge(mask.frPyObjects(flat, height, width))


def _points(outlines: Any, where: str) -> List[np.ndarray]:
    """Return outlines, each (K, 2)."""
    try:
        points = [np.asarray(outline, np.float64).reshape(-1, 2) for outline in outlines]
        if not points or not all(len(one) > 2 and np.isfinite(one).all() for one in points):
            raise ValueError
    except (TypeError, ValueError):
        raise UserError(
            f'{where} has a broken segmentation, expected outlines of three or more points '
            'x1, y1, x2, y2, …'
        ) from None
    return points


def _runs(
    segmentation: Any, unit: Optional[Size], where: str
) -> Tuple[Tuple[int, int], List[int]]:
    """Return the (width, height) and the lengths of runs that fill it: pycocotools takes any."""
    try:
        height, width = (int(side) for side in segmentation['size'])
        counts = segmentation['counts']
        if isinstance(counts, (str, bytes)):
            text = counts.encode('ascii') if isinstance(counts, str) else counts
            lengths = _decompressed(text)
        else:
            lengths = [int(length) for length in counts]
        if min(height, width) <= 0 or min(lengths) < 0 or sum(lengths) != height * width:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f'{where} has a broken segmentation, expected run lengths (counts) that add up to '
            'the pixels of its size'
        ) from None
    if unit not in (None, (width, height)):
        raise UserError(
            f'{where} has a broken segmentation, expected run lengths of a picture of '
            f'{unit[0]:g}x{unit[1]:g} pixels as the picture is, not of {width}x{height}'
        )
    return (width, height), lengths


def _decompressed(counts: bytes) -> List[int]:
    """Return the run lengths of COCO's text: 5 bits a character, from the lowest on.

    From the third on a length is told by its difference to the one before the last.

    Raises:
        ValueError: the text ends within a number, or has other characters.
    """
    lengths: List[int] = []
    number, shift = 0, 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last one of this number; its highest bit is the sign
            number -= (bits & 16) << (shift - 4) if bits & 16 else 0
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number, shift = 0, 0
    if shift:
        raise ValueError
    return lengths


def _resized(rle: Rle, size: Tuple[int, int]) -> Rle:
    from pycocotools import mask

    width, height = size
    if list(rle['size']) == [height, width]:
        return rle
    pixels = cv2.resize(mask.decode(rle), (width, height), interpolation=cv2.INTER_NEAREST)
    return mask.encode(np.asfortranarray(pixels))
