# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: labelled pictures side by side, as somebody has to see them once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from kd_yolo_ros.drawing import FONT, class_colour
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import read_picture

from .dataset import Picture

GAP = 6
CROWD = (160, 160, 160)
_FILL = 0.35  # how much of an outline's colour lies over the picture


def contact_sheet(
    pictures: Sequence[Picture], names: Sequence[str], width: int
) -> tuple[bytes, list[str]]:
    """Return a PNG of the pictures with their labels, and the names of those that are on it.

    Args:
        pictures: those that cannot be read are passed over.
        names: class names by class id.
        width: of each picture on the sheet, in px.

    Raises:
        UserError: none of the pictures can be read.
    """
    cells, shown = [], []
    for picture in pictures:
        try:
            image = read_picture(picture.file)
        except UserError:
            continue
        cells.append(draw_labels(image, picture, names, width))
        shown.append(picture.file.name)
    if not cells:
        raise UserError(f'none of the {len(pictures)} pictures can be read.')
    sheet = grid(cells, math.ceil(math.sqrt(len(cells))))
    return cv2.imencode('.png', sheet)[1].tobytes(), shown


def grid(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return (H, W, 3) uint8 BGR pictures of one width in rows, on white."""
    width = cells[0].shape[1]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    shape = (sum(heights) + GAP * (len(rows) + 1), columns * (width + GAP) + GAP, 3)
    sheet = np.full(shape, 255, np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            left = GAP + column * (width + GAP)
            sheet[top : top + cell.shape[0], left : left + width] = cell
        top += height + GAP
    return sheet


def draw_labels(
    image: np.ndarray, picture: Picture, names: Sequence[str], width: int
) -> np.ndarray:
    """Return an (H, W, 3) uint8 BGR picture at `width` with its labels drawn in."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    canvas = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    colours = [
        CROWD if crowd else class_colour(class_id)
        for class_id, crowd in zip(picture.class_ids.tolist(), picture.crowd, strict=True)
    ]
    outlined = canvas.copy()
    for outlines, colour in zip(picture.polygons, colours, strict=True):
        points = [np.round(outline * (width, height)).astype(np.int32) for outline in outlines]
        cv2.fillPoly(outlined, points, colour)
    canvas = cv2.addWeighted(outlined, _FILL, canvas, 1 - _FILL, 0)
    used: set[int] = set()
    boxes = np.round(picture.boxes * (width, height, width, height)).astype(int).tolist()
    for row, (box, colour) in enumerate(zip(boxes, colours, strict=True)):
        class_id = int(picture.class_ids[row])
        left, top, right, bottom = box
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 1)
        # Each class is named once, at its first box: on crowded pictures text hides everything.
        # Soft labels say how certain they are.
        words = [] if colour is CROWD or class_id in used else [names[class_id]]
        if picture.weights is not None and picture.weights[row] < 1:
            words.append(f'{picture.weights[row]:.2f}')
        if words:
            used.add(class_id)
            _name(canvas, ' '.join(words), (left, top), colour)
    return canvas


def _name(
    canvas: np.ndarray, text: str, corner: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    (width, height), baseline = cv2.getTextSize(text, FONT, 0.4, 1)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = max(corner[1] - 1, height + baseline)
    cv2.rectangle(
        canvas, (left, bottom - height - baseline), (left + width, bottom), colour, cv2.FILLED
    )
    dark = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2] > 128
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(canvas, text, (left, bottom - baseline + 1), FONT, 0.4, ink, 1, cv2.LINE_AA)
