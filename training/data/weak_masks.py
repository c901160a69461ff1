# SPDX-License-Identifier: Apache-2.0
"""Instance masks where only boxes and a semantic map are known: which pixels are whose.

A pixel can be an object's only if the map gives it the object's class and the object's box holds
it. Of several such boxes the smallest has it: it is more likely to lie in front, and has fewer
pixels to lose. A connected piece that goes on outside of the box, where no other box has it, for
more than it covers inside is not the object's: it is something of the class that has no box.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from kd_yolo_ros.metrics.semantic import NOTHING, truth_map

from .contours import contours
from .dataset import Picture

NOBODY = -1


class Agreement(NamedTuple):
    """How pseudo masks agree with true ones, for the K objects that have a true one.

    Attributes:
        class_ids: (K,) int64.
        iou: (K,) float64; 0 for an object without a pseudo mask.
        masked: (K,) bool, whether there is a pseudo mask.
    """

    class_ids: np.ndarray
    iou: np.ndarray
    masked: np.ndarray


def with_pseudo_masks(picture: Picture, semantic: np.ndarray) -> Picture:
    """Return a picture with pseudo masks for outlines; boxes and classes stay.

    Args:
        picture: its outlines, if any, are not looked at.
        semantic: (H, W) class ids, of the size of the picture, or anything negative.
    """
    height, width = semantic.shape
    boxes = np.round(picture.boxes * np.array([width, height] * 2)).astype(np.int64)
    masks: list[tuple[np.ndarray, ...]] = [()] * len(boxes)
    for class_id in np.unique(picture.class_ids):
        rows = np.flatnonzero(picture.class_ids == class_id)
        found = _pieces(semantic == class_id, boxes[rows])
        for row, pieces in zip(rows.tolist(), found, strict=True):
            if not picture.crowd[row]:  # it competes for its pixels, but is no object
                masks[row] = tuple(
                    (piece / (width, height)).astype(np.float32) for piece in pieces
                )
    return dataclasses.replace(picture, polygons=tuple(masks))


def painted(picture: Picture) -> np.ndarray:
    """Return the semantic map that a picture's own outlines paint, (H, W) class ids or -1.

    Of two objects in one place the smaller is seen; crowds, and what has a box only, are not.
    """
    assert picture.size is not None, picture.file
    truth = picture.truth
    rles = truth.masks_on(*picture.size)
    ignored = ~picture.outlined
    labels = truth_map(rles, picture.class_ids, ignored, picture.size[::-1])
    return np.where(labels >= 0, labels, NOTHING)


def agreement(true: Picture, pseudo: Picture) -> Agreement:
    """Compare the outlines of a picture's objects with their pseudo masks."""
    from pycocotools import mask

    assert true.size is not None, true.file
    rows = np.flatnonzero(true.outlined)
    masks = [one.truth.masks_on(*true.size) for one in (true, pseudo)]
    known = pseudo.truth.has_mask
    iou = [
        mask.iou([masks[1][row]], [masks[0][row]], [0])[0, 0] if known[row] else 0.0
        for row in rows
    ]
    return Agreement(true.class_ids[rows], np.array(iou, np.float64), known[rows])


def _pieces(region: np.ndarray, boxes: np.ndarray) -> list[list[np.ndarray]]:
    """Return the outlines of each box' object, (K, 2) in pixels.

    Args:
        region: (H, W) bool, the pixels of one class.
        boxes: (N, 4) int64, x1 y1 x2 y2 of all that is of this class.
    """
    owner = np.full(region.shape, NOBODY, np.int32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row in np.argsort(-areas, kind='stable'):
        owner[_window(boxes[row])] = row
    found = []
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if x1 >= x2 or y1 >= y2:  # thinner than a pixel
            found.append([])
            continue
        # As far around the box as it is wide and high: what goes on there is more than inside.
        left, top = max(0, 2 * x1 - x2), max(0, 2 * y1 - y2)
        around = _window((left, top, 2 * x2 - x1, 2 * y2 - y1))
        whose, is_class = owner[around], region[around]
        mine = is_class & (whose == row)
        kept = _mostly_inside(mine, is_class & (whose == NOBODY))
        found.append([piece + (left, top) for piece in contours(kept)])
    return found


def _mostly_inside(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return `inside` without the pieces that go on for more than that in `outside`."""
    count, pieces = cv2.connectedComponents((inside | outside).astype(np.uint8), connectivity=8)
    within = np.bincount(pieces[inside], minlength=count)
    beyond = np.bincount(pieces[outside], minlength=count)
    return inside & (within >= beyond)[pieces]


def _window(box: np.ndarray | tuple[int, ...]) -> tuple[slice, slice]:
    x1, y1, x2, y2 = box
    return slice(y1, y2), slice(x1, x2)
