# SPDX-License-Identifier: Apache-2.0
"""What a network found in a series of pictures, kept in a file so that it is found only once."""

from __future__ import annotations

import dataclasses
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.metrics.evaluation import Predicts
from kd_yolo_ros.metrics.report import write_whole
from kd_yolo_ros.metrics.rle import EncodedMasks, encode

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


class Found(NamedTuple):
    """What was found in one picture.

    Attributes:
        detections: without their masks, which would take megabytes of a picture.
        size: (width, height) of the picture in pixels.
        masks: of the detections; None where the network finds none.
    """

    detections: Detections
    size: Tuple[int, int]
    masks: Optional[EncodedMasks] = None


def compressed(detections: Detections, picture: np.ndarray) -> Found:
    """Return what was found in an (H, W, …) picture, to be kept."""
    size = (picture.shape[1], picture.shape[0])
    if detections.masks is None:
        return Found(detections, size)
    return Found(dataclasses.replace(detections, masks=None), size, encode(detections.masks))


def find(predictor: Predicts, frames: Iterable[Frame], masks: bool = True) -> List[Found]:
    """Return what a predictor finds in each picture, with the thresholds that it has.

    Args:
        predictor: of any network.
        frames: the pictures.
        masks: of a network that segments, compute them too: with the thresholds of AP, of
            hundreds of objects in a picture.
    """
    found = []
    for frame in frames:
        image = frame.image
        found.append(compressed(predictor.predict(image, masks), image))
    return found


def write_found(file: Path, found: Sequence[Found]) -> None:
    """Write what was found, whole or not at all."""
    detections = [one.detections for one in found]
    content = io.BytesIO()
    arrays: Dict[str, Any] = {
        'counts': [len(one) for one in detections],
        'sizes': [one.size for one in found],
        'boxes': np.concatenate([one.boxes for one in detections]),
        'scores': np.concatenate([one.scores for one in detections]),
        'class_ids': np.concatenate([one.class_ids for one in detections]),
        **_mask_arrays([one.masks for one in found]),
    }
    np.savez_compressed(content, **arrays)
    write_whole(file, content.getvalue())


def read_found(file: Path, pictures: int, masks: bool = False) -> Optional[List[Found]]:
    """Return what `write_found` wrote; None where there is nothing whole, or not what is wanted.

    Args:
        file: that it was written to.
        pictures: how many there have to be.
        masks: there have to be masks of all pictures.
    """
    try:
        with np.load(file) as content:
            arrays = {name: content[name] for name in content.files}
        ends = np.cumsum(arrays['counts'])[:-1]
        parts = [np.split(arrays[name], ends) for name in ('boxes', 'scores', 'class_ids')]
        found = [Detections(*one) for one in zip(*parts)]
        sizes = [(int(width), int(height)) for width, height in arrays['sizes']]
        encoded = _masks(arrays)
    except DAMAGED:
        return None
    if not len(found) == len(sizes) == len(encoded) == pictures:
        return None
    if masks and any(of is None for of in encoded):
        return None
    if any(of is not None and len(of) != len(one) for one, of in zip(found, encoded)):
        return None
    return [Found(*one) for one in zip(found, sizes, encoded)]


def _mask_arrays(masks: Sequence[Optional[EncodedMasks]]) -> Dict[str, np.ndarray]:
    """Return masks as arrays; none of them where a picture has none."""
    there = [one for one in masks if one is not None]
    if not there or len(there) < len(masks):
        return {}
    counts = [text for one in there for text in one.counts]
    return {
        'mask_sizes': np.array([one.size for one in there]),
        'mask_lengths': np.array([len(text) for text in counts], np.int64),
        'mask_counts': np.frombuffer(b''.join(counts), np.uint8),
    }


def _masks(arrays: Dict[str, Any]) -> Sequence[Optional[EncodedMasks]]:
    counts = arrays['counts'].tolist()
    if 'mask_sizes' not in arrays:
        return [None] * len(counts)
    ends, text = np.cumsum(arrays['mask_lengths']).tolist(), arrays['mask_counts'].tobytes()
    every = [text[start:end] for start, end in zip([0, *ends], ends)]
    firsts = np.cumsum([0, *counts]).tolist()
    return [
        EncodedMasks((height, width), tuple(every[first : first + count]))
        for (height, width), first, count in zip(arrays['mask_sizes'].tolist(), firsts, counts)
    ]
