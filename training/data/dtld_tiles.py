# SPDX-License-Identifier: Apache-2.0
"""The pictures of DTLD as tiles of 8 bits, each made once."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_whole

from .dataset import Picture, Problem
from .dtld import NAMES, Frame, read_raw
from .labels import Label, missing_picture, to_picture
from .picture_size import picture_size
from .tiles import REMAINDER, WHOLE, cut, tiles


@dataclass
class Cut:
    """What came of one picture.

    Attributes:
        tiles: the pictures that were written, or had been.
        problems: what was wrong with the picture or its labels.
        counts: boxes and tiles that were left out on purpose, by what they were.
    """

    tiles: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def cut_frame(
    frame: Frame, root: Path, folder: Path, side: int, overlap: float, background: float
) -> Cut:
    """Cut a picture into tiles and write those that are not there yet.

    A tile without a light is background; a share of them is kept, by the hash of their names.
    A tile that shows nothing but remainders of lights is neither and left out.

    Args:
        frame: the picture and its labels.
        root: the data set.
        folder: where the tiles go, as city/route/sequence/file_x_y_side.png.
        side: of a tile, in px.
        overlap: share of a side that neighbours have in common.
        background: share of the tiles without a light that is kept.

    Raises:
        UserError: a tile cannot be written.
    """
    file = root / frame.image
    missing = missing_picture(file)
    if missing:
        return Cut(problems=[missing])
    try:
        size = picture_size(file)
    except UserError as error:
        return Cut(problems=[Problem(file, f'{error} It is left out.')])
    scale = np.array(size * 2, np.float64)
    labels = [
        Label(f'label {index}', int(class_id), tuple((box / scale).tolist()))
        for index, (box, class_id) in enumerate(zip(frame.boxes, frame.class_ids, strict=True))
    ]
    whole, problems = to_picture(file, labels, len(NAMES), size)
    result = Cut(problems=problems)
    image: np.ndarray | None = None
    for tile in tiles(*size, side, overlap):
        inside, kept = cut(whole.boxes * scale, tile)
        rows = kept == WHOLE
        remainders = int((kept == REMAINDER).sum())
        result.counts['remainders_dropped'] += remainders
        name = frame.image.with_name(f'{frame.image.stem}_{tile.x}_{tile.y}_{side}.png')
        if not rows.any():
            if remainders:
                result.counts['tiles_with_remainders_only'] += 1
                continue
            if _fraction(str(name)) >= background:
                result.counts['background_tiles_left_out'] += 1
                continue
        target = folder / name
        if not target.exists():
            if image is None:
                try:
                    image = read_raw(file)
                except UserError as error:
                    return Cut(problems=[Problem(file, f'{error} It is left out.')])
            part = image[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            write_whole(target, cv2.imencode('.png', part)[1].tobytes())
        picture = Picture(
            file=target,
            boxes=(inside[rows] / np.array([tile.width, tile.height] * 2)).astype(np.float32),
            class_ids=whole.class_ids[rows],
            crowd=whole.crowd[rows],
            polygons=((),) * int(rows.sum()),
            size=(tile.width, tile.height),
        )
        result.tiles.append(picture)
    return result


def _fraction(name: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], 'big') / 2**64
