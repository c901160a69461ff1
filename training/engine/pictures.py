# SPDX-License-Identifier: Apache-2.0
"""What a network is fed, and what it answers, as pictures for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.drawing import class_colour, draw
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.letterbox import Letterbox
from kd_yolo_ros.masks import Masks
from kd_yolo_ros.metrics.report import write_whole
from kd_yolo_ros.predictor import Predictor

from ..data.dataset import DataSet, Picture
from ..data.loader import Batch
from ..data.outlines import MASK_STRIDE
from ..data.sheet import grid

MOST = 16  # pictures of a sheet
COLUMNS = 4
SHOWN_SCORE = 0.25  # what the nodes publish by default
TILE = (270, 480)  # height and width of a prediction


def write_batch(path: Path, batch: Batch) -> None:
    """Write a training batch with its boxes and masks: what the network really sees."""
    images = batch.images[:MOST].permute(0, 2, 3, 1).numpy()
    tiles = []
    for number, image in enumerate(images):
        canvas = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        height, width = canvas.shape[:2]
        mine = batch.targets[:, 0] == number
        targets = batch.targets[mine].numpy()
        if batch.masks is not None:
            for row, mask in zip(targets, batch.masks[mine].numpy(), strict=True):
                _tint(canvas, mask == 1, class_colour(int(row[1])))
        for _, class_id, x, y, w, h in targets[:, :6]:
            corners = np.array((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            pixels = corners * np.array((width, height, width, height))
            x1, y1, x2, y2 = pixels.round().astype(int)
            cv2.rectangle(canvas, (x1, y1), (x2, y2), class_colour(int(class_id)), 1)
        tiles.append(canvas)
    _write(path, tiles)


def _tint(canvas: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Colour what a mask covers, of the picture's size divided by MASK_STRIDE, half through."""
    covered = mask.repeat(MASK_STRIDE, 0).repeat(MASK_STRIDE, 1)
    canvas[covered] = (canvas[covered] + np.array(colour)) / 2


def write_predictions(path: Path, predictor: Predictor, data: DataSet) -> None:
    """Write some pictures twice: with their labels, and with what the network finds."""
    step = max(1, len(data.pictures) // (MOST // 2))
    with_masks = predictor.manifest.head.mask_coefficients > 0
    tiles = []
    for picture in data.pictures[::step][: MOST // 2]:
        image = read_picture(picture.file)
        height, width = image.shape[:2]
        keep = ~picture.crowd
        truth = Detections(
            (picture.boxes * np.array((width, height, width, height)))[keep].astype(np.float32),
            np.ones(keep.sum(), np.float32),
            picture.class_ids[keep],
            masks_of(picture, (height, width)).select(keep) if with_masks else None,
        )
        found = predictor.predict(image)
        found = found.select(found.scores >= SHOWN_SCORE)
        for what in (truth, found):
            tiles.append(Letterbox(*TILE)(draw(image, what, data.names))[0])
    _write(path, tiles)


def masks_of(picture: Picture, size: tuple[int, int]) -> Masks:
    """Return the masks that are judged by, on a picture of (height, width); none of mere boxes."""
    from pycocotools import mask

    truth = picture.truth
    rles = truth.masks_on(size[1], size[0])
    corners = np.zeros((len(rles), 2), np.int64)
    crops = [np.zeros((0, 0), bool)] * len(rles)
    for row in np.flatnonzero(truth.has_mask):
        left, top, width, height = mask.toBbox(rles[row]).astype(int)
        corners[row] = left, top
        whole = mask.decode(rles[row])
        crops[row] = whole[top : top + height, left : left + width].astype(bool)  # a copy
    return Masks(size, corners, tuple(crops))


def _write(path: Path, tiles: Sequence[np.ndarray]) -> None:
    _, data = cv2.imencode(path.suffix, grid(tiles, min(COLUMNS, len(tiles))))
    write_whole(path, data.tobytes())
