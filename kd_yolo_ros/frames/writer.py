# SPDX-License-Identifier: Apache-2.0
"""Where pictures go: a folder of files, or a video that appears when it is whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import DEFAULT_FPS
from kd_yolo_ros.letterbox import Letterbox


class PictureWriter:
    """Writes each picture to a folder, under the name of its source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = f'the pictures in {folder}'

    def write(self, picture: np.ndarray, name: str) -> None:
        """Write one picture; a name without a picture's suffix becomes a .jpg."""
        path = self.folder / name
        if not path.suffix:
            path = path.with_suffix('.jpg')
        scratch = _beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(scratch), picture):
                raise OSError
            os.replace(scratch, path)
        except OSError:
            raise UserError(f'{path} cannot be written; check the folder and the disk.') from None
        finally:
            _remove(scratch)

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        return


class VideoWriter:
    """Writes an MP4; pictures of another size than the first are fitted into it."""

    def __init__(self, path: Path, fps: Optional[float]) -> None:
        self.path = path
        self.description = str(path)
        self._fps = fps or DEFAULT_FPS
        self._scratch = _beside(path)
        self._writer: Optional[cv2.VideoWriter] = None
        self._letterbox: Optional[Letterbox] = None

    def write(self, picture: np.ndarray, name: str = '') -> None:
        """Append one (H, W, 3) uint8 BGR picture."""
        if self._writer is None or self._letterbox is None:
            # The codec wants even sides.
            height, width = (side - side % 2 for side in picture.shape[:2])
            self._letterbox = Letterbox(height, width)
            self._writer = cv2.VideoWriter(
                str(self._scratch), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, (width, height)
            )
            if not self._writer.isOpened():
                raise UserError(
                    f'{self.path} cannot be written; check the folder, or that OpenCV has FFmpeg.'
                )
        self._writer.write(self._letterbox(picture)[0])

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            os.replace(self._scratch, self.path)
        else:
            _remove(self._scratch)


def _beside(path: Path) -> Path:
    """Return where to write what is to become `path` once it is whole."""
    return path.with_name(f'.{path.stem}-{os.getpid()}{path.suffix}')


def _remove(scratch: Path) -> None:
    """Remove what may not even have come into being."""
    with contextlib.suppress(OSError):
        scratch.unlink()
