# SPDX-License-Identifier: Apache-2.0
"""What a network found in a series of pictures, kept in a file so that it is found only once."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Iterable, List, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.metrics.evaluation import Predicts
from kd_yolo_ros.metrics.report import write_whole

# A picture's detections, and its (width, height) in pixels.
Found = Tuple[Detections, Tuple[int, int]]

# What numpy and zipfile raise at a file that is not whole or not as it was.
DAMAGED = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    zlib.error,
    zipfile.BadZipFile,
)


def find(predictor: Predicts, frames: Iterable[Frame]) -> List[Found]:
    """Return what a predictor finds in each picture, with the thresholds that it has."""
    found = []
    for frame in frames:
        image = frame.image
        found.append((predictor.predict(image), (image.shape[1], image.shape[0])))
    return found


def write_found(file: Path, found: Sequence[Found]) -> None:
    """Write what was found, whole or not at all."""
    detections = [one for one, _ in found]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        counts=[len(one) for one in detections],
        sizes=[size for _, size in found],
        boxes=np.concatenate([one.boxes for one in detections]),
        scores=np.concatenate([one.scores for one in detections]),
        class_ids=np.concatenate([one.class_ids for one in detections]),
    )
    write_whole(file, content.getvalue())


def read_found(file: Path, pictures: int) -> Optional[List[Found]]:
    """Return what `write_found` wrote of so many pictures; None where there is nothing whole."""
    try:
        with np.load(file) as content:
            arrays = {name: content[name] for name in content.files}
        ends = np.cumsum(arrays['counts'])[:-1]
        parts = [np.split(arrays[name], ends) for name in ('boxes', 'scores', 'class_ids')]
        found = [Detections(*one) for one in zip(*parts)]
        sizes = [(int(width), int(height)) for width, height in arrays['sizes']]
    except DAMAGED:
        return None
    return list(zip(found, sizes)) if len(found) == len(sizes) == pictures else None
