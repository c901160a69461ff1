# SPDX-License-Identifier: Apache-2.0
"""`check_pictures`: decodes every picture of a data set once and says which are broken.

OpenCV hands out a damaged JPEG as if it were whole and only warns on the error stream, so the
decoding happens in processes whose error stream is read.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.image_encoding import decode_compressed

from .dataset import Picture, Problem

PICTURES_PER_PROCESS = 32  # fewer are decoded before a process has started
_DAMAGE = re.compile(rb'(?:Corrupt JPEG data|Premature end|libpng error|TIFF_Error)[^\n]*')
# Some encoders leave a few bytes behind the last pixel, which harms nothing.
_PADDING = re.compile(rb'Corrupt JPEG data: \d{1} extraneous bytes before marker 0xd9')

_warnings: BinaryIO  # of a decoding process: what its error stream goes to


def check_pictures(
    pictures: Sequence[Picture],
    progress: Callable[[Iterable, str, int], Iterable] | None = None,
    processes: int | None = None,
) -> list[Problem]:
    """Decode every picture and return what is wrong with them, in their order.

    Found are files that are missing, empty, cut off or damaged, and pictures of another size
    than their labels', among them those that EXIF turns by 90° when they are read.

    Args:
        pictures: of any data set.
        progress: as `kd_yolo_ros.cli.common.progress`: items, description and total to items.
        processes: how many decode; without, as many as there are cores.

    Raises:
        UserError: a decoding process was killed.
    """
    if not pictures:
        return []
    most = processes or len(os.sched_getaffinity(0))
    workers = max(1, min(most, len(pictures) // PICTURES_PER_PROCESS))
    files = [picture.file for picture in pictures]
    sizes = [picture.size for picture in pictures]
    # Not forked: this process may have threads that hold locks.
    context = get_context('spawn')
    problems = []
    with ProcessPoolExecutor(workers, context, initializer=_start) as executor:
        try:
            found: Iterable = executor.map(_check, files, sizes, chunksize=8)
            if progress is not None:
                found = progress(found, 'check pictures', len(files))
            for file, what in zip(files, found, strict=True):
                if what:
                    problems.append(Problem(file, what))
        except BrokenProcessPool:
            raise UserError(
                'a process that decodes pictures was killed; is there enough memory?'
            ) from None
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    return problems


def _start() -> None:
    """Send this process' error stream, which C libraries write to, into a file."""
    global _warnings
    cv2.setNumThreads(1)
    _warnings = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process lives)
    os.dup2(_warnings.fileno(), 2)


def _check(file: Path, size: tuple[int, int] | None) -> str:
    """Return what is wrong with a picture, '' where nothing is."""
    _warnings.seek(0)
    _warnings.truncate()
    try:
        data = file.read_bytes()
        picture = decode_compressed(data)
    except OSError as error:
        return f'cannot be read: {error.strerror}'
    except UserError as error:
        return str(error)
    _warnings.seek(0)
    damage = [line for line in _DAMAGE.findall(_warnings.read()) if not _PADDING.match(line)]
    if damage:
        return f'the picture is damaged ({damage[0].decode(errors="replace").strip()})'
    shown = (picture.shape[1], picture.shape[0])
    if size is None or shown == tuple(size):
        return ''
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_IGNORE_ORIENTATION)
    if (stored.shape[1], stored.shape[0]) == tuple(size):
        return (
            f'EXIF turns it to {shown[0]}x{shown[1]}, but its labels are for {size[0]}x{size[1]}; '
            'label it upright, or remove the EXIF orientation'
        )
    return f'it is {shown[0]}x{shown[1]}, but its labels are for {size[0]}x{size[1]}'
