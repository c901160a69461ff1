# SPDX-License-Identifier: Apache-2.0
"""Pictures scaled to the training size, decoded once and then kept in memory.

The memory is shared with worker processes that are forked later: whoever decodes a picture
first, decodes it for all.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import psutil

from kd_yolo_ros.frames.pictures import read_picture

from .dataset import Picture

MEMORY_SHARE = 0.4  # of what is free; the rest is for the network and the user's other work


class PictureStore:
    """Reads pictures as (H, W, 3) uint8 BGR with a long side of `imgsz`.

    Args:
        pictures: with their sizes known.
        imgsz: pixels.
        keep: True keeps every picture in memory, None only if they fit into a share of what is
            free, False none.

    Attributes:
        kept: whether they are kept.
    """

    def __init__(self, pictures: Sequence[Picture], imgsz: int, keep: bool | None = None) -> None:
        self.imgsz = imgsz
        self._files = [picture.file for picture in pictures]
        self._shapes = [scaled_shape(picture.size, imgsz) for picture in pictures]
        lengths = [height * width * 3 for height, width in self._shapes]
        self._starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        total = int(self._starts[-1])
        fits = total < MEMORY_SHARE * free_memory()
        self.kept = total > 0 and (fits if keep is None else keep)
        if self.kept:
            # Anonymous shared mappings take memory only where they are written to.
            self._bytes = np.frombuffer(mmap.mmap(-1, total), np.uint8)
            self._there = np.frombuffer(mmap.mmap(-1, len(lengths)), np.uint8)

    def __len__(self) -> int:
        return len(self._files)

    def load(self, index: int) -> np.ndarray:
        """Return one picture, which the caller may change.

        Raises:
            UserError: the file cannot be read.
        """
        shape = (*self._shapes[index], 3)
        if not self.kept:
            return self._read(index)
        place = self._bytes[self._starts[index] : self._starts[index + 1]].reshape(shape)
        if not self._there[index]:
            place[:] = self._read(index)
            self._there[index] = 1  # after the pixels: another process may be reading
        return place.copy()

    def _read(self, index: int) -> np.ndarray:
        picture = read_picture(self._files[index])
        height, width = self._shapes[index]
        if picture.shape[:2] == (height, width):
            return picture
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def free_memory(control_group: Path = Path('/sys/fs/cgroup')) -> float:
    """Return the bytes that this process may take: its share, of what a container allows."""
    free = psutil.virtual_memory().available
    try:  # containers and batch systems limit memory without the kernel's totals telling
        limit = int((control_group / 'memory.max').read_text())
        free = min(free, limit - int((control_group / 'memory.current').read_text()))
    except (OSError, ValueError):  # no control groups, or 'max': no limit
        pass
    # Each process that torchrun starts on a host keeps pictures of its own.
    return free / int(os.environ.get('LOCAL_WORLD_SIZE', '1'))


def scaled_shape(size: tuple[int, int], imgsz: int) -> tuple[int, int]:
    """Return (height, width) of a (width, height) picture scaled to a long side of imgsz."""
    width, height = size
    scale = imgsz / max(width, height)
    return max(1, round(height * scale)), max(1, round(width * scale))
