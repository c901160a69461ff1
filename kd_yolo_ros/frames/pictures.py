# SPDX-License-Identifier: Apache-2.0
"""Picture files: one, a folder of them, or the images/ of a data set.

Pictures that cannot be read are counted and left out; a data set is rarely perfect.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import (
    DEFAULT_FPS,
    DEFAULT_FRAME_ID,
    Frame,
    Size,
    Skipped,
    Source,
    keep,
    resized,
    stamp_at,
)
from kd_yolo_ros.image_encoding import decode_compressed

PICTURE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm'})


def picture_folder(path: Path) -> Path:
    """Return where a folder's pictures lie: its images/ if it has one (a data set)."""
    return path / 'images' if (path / 'images').is_dir() else path


def list_pictures(folder: Path) -> List[Path]:
    """Return all picture files below `folder`, in order of their relative names."""
    return sorted(
        Path(root) / name
        for root, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith('.')
    )


class Pictures(Source):
    """A picture file, a folder (with its sub-folders), or a data set's images/.

    The EXIF orientation is applied: labelling tools show pictures upright, and so does the
    training pipeline that reads YOLO labels, hence boxes are relative to the upright picture.
    """

    def __init__(
        self,
        path: Path,
        fps: float = DEFAULT_FPS,
        size: Size = None,
        only: Optional[Iterable[str]] = None,
    ) -> None:
        """Find the pictures of a folder, or `only` those of these names, relative to it."""
        super().__init__(size)
        self.fps = fps
        if only is not None:
            self.folder, found = path, sorted(path / name for name in only)
        elif path.is_dir():
            self.folder = picture_folder(path)
            found = list_pictures(self.folder)
        else:
            self.folder, found = path.parent, [path]
        if not found:
            raise UserError(
                f'{self.folder} holds no picture ({", ".join(sorted(PICTURE_SUFFIXES))})'
            )
        self._paths = [file for file in found if self._has_content(file)]
        # One picture has to decode here already, so that "nothing readable" is said at once.
        while self._paths and not self._decodes(self._paths[0]):
            del self._paths[0]
        if not self._paths:
            first = self.skipped[0]
            raise UserError(
                f'none of the {len(found)} pictures in {path} can be read: '
                f'{first.name}: {first.reason}'
            )
        self.length = len(self._paths)
        self.description = f'{self.length} pictures of {path.name}' if path.is_dir() else path.name

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path in list(self._paths):
            try:
                image = resized(read_picture(path), self.size)
            except UserError as error:
                self._skip(path, str(error))
                self._paths.remove(path)
                self.length = len(self._paths)
                continue
            yield Frame(
                self._name(path),
                stamp_at(index, self.fps or DEFAULT_FPS),
                DEFAULT_FRAME_ID,
                keep(image),
            )
            index += 1

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.append(Skipped(self._name(path), reason))

    def _has_content(self, path: Path) -> bool:
        try:
            if path.stat().st_size:
                return True
            self._skip(path, 'the file is empty')
        except OSError as error:
            self._skip(path, error.strerror or str(error))
        return False

    def _decodes(self, path: Path) -> bool:
        try:
            read_picture(path)
        except UserError as error:
            self._skip(path, str(error))
            return False
        return True


def read_picture(path: Path) -> np.ndarray:
    """Return a picture file as (H, W, 3) uint8 BGR; UserError where it cannot be read."""
    try:
        return decode_compressed(path.read_bytes())
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from error
