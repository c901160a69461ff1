# SPDX-License-Identifier: Apache-2.0
"""What a network finds in a data set's pictures; it is run only where no file tells already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from kd_yolo_ros.checkpoints import open_predictor
from kd_yolo_ros.frames.pictures import read_picture
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.metrics.found import Found, compressed, read_found, write_found

from ..data.dataset import DataSet
from ..data.fingerprint import fingerprint
from .models import Model

DETECTIONS = 'detections'  # the folder of what was found


def pictures_hash(data: DataSet) -> str:
    """Return a hash of all that detections depend on beside the network.

    That is the files of the pictures, by size and time, and the version that reads and decodes.
    """
    digest = hashlib.sha256(f'{fingerprint(data)} {version("kd_yolo_ros")}'.encode())
    for picture in data.pictures:
        file = picture.file.stat()
        digest.update(f' {file.st_size} {file.st_mtime_ns}'.encode())
    return digest.hexdigest()[:16]


def found_file(folder: Path, model: Model, pictures: str) -> Path:
    """Return where it is kept what a network finds in pictures of that `pictures_hash`."""
    masks = '-masks' if model.task == 'segment' else ''
    return folder / DETECTIONS / f'{model.sha256[:16]}-{pictures}{masks}.npz'


def find(
    model: Model,
    data: DataSet,
    file: Path,
    threads: int | None = None,
    progress: Callable[..., Iterable] = lambda items, *_: items,
    title: str = 'detect',
) -> list[Found]:
    """Return what a network finds with the thresholds of AP, picture by picture.

    Args:
        model: the network.
        data: the pictures; all of them readable.
        file: read where it is there, else written; its name says of which network and pictures.
        threads: of one inference.
        progress: wraps an iterable, with its description, length and unit.
        title: the description.

    Raises:
        UserError: the network does not run, or the file cannot be written.
    """
    known = read_found(file, len(data.pictures))
    if known is not None:
        return known
    predictor = open_predictor(model.path, model.runtime, model.precision, threads, AP_THRESHOLDS)
    found: list[Found] = []
    for picture in progress(data.pictures, title, len(data.pictures), ' pictures'):
        image = read_picture(picture.file)
        found.append(compressed(predictor.predict(image), image))
    write_found(file, found)
    return found
