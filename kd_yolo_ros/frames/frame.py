# SPDX-License-Identifier: Apache-2.0
"""Frame, one picture with its time and name, and Source, an ordered supply of them.

Every kind of source looks the same from outside, so that no command asks what it plays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

DEFAULT_FPS = 25.0  # of pictures that carry no time of their own
DEFAULT_FRAME_ID = 'camera_optical_frame'  # REP-103: optical frames carry this suffix

Size = Optional[Tuple[int, int]]


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        name: file name relative to the source, or `frame_000012`.
        stamp_ns: a bag's header stamp; else the time since the source's first frame.
        frame_id: of the camera.
        load: decodes the picture; use `image`.
        serialized: in a bag, the message's CDR exactly as recorded, so that a replay can
            publish it untouched; None elsewhere and for a rescaled picture.
        message_type: of `serialized`: sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage.
    """

    name: str
    stamp_ns: int
    frame_id: str
    load: Callable[[], np.ndarray] = field(repr=False, compare=False)
    serialized: Optional[bytes] = field(default=None, repr=False)
    message_type: Optional[str] = None

    @property
    def image(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 BGR, decoded anew at each access.

        Raises:
            UserError: a bag's message does not decode; the frames after it still come.
        """
        return self.load()


class Skipped(NamedTuple):
    """A frame that a source left out, and why."""

    name: str
    reason: str


class Source(ABC):
    """An ordered supply of frames; iterating again starts again.

    Attributes:
        description: what it is, for reports.
        length: number of frames; None where there is no end (camera, stream).
        fps: frames per second; None where only the stamps tell.
        skipped: frames left out because they could not be read; a pass over the source may
            find more, and lowers `length` by each.
    """

    description: str = ''
    length: Optional[int] = None
    fps: Optional[float] = None

    def __init__(self, size: Size = None) -> None:
        self.size = size
        self.skipped: List[Skipped] = []

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the first on."""

    def __len__(self) -> int:
        """Return the number of frames; TypeError where there is no end."""
        if self.length is None:
            raise TypeError(f'{self.description} has no end, so no length')
        return self.length

    def close(self) -> None:
        """Release files and devices."""
        return

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def keep(image: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a `Frame.load` for a picture that is decoded already."""
    return lambda: image


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """Return the picture at `size` (width, height), or as it is where size is None."""
    if size is None or (image.shape[1], image.shape[0]) == tuple(size):
        return image
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def stamp_at(index: int, fps: float) -> int:
    """Return the time in ns of frame `index` at a constant rate."""
    return round(index * 1_000_000_000 / fps)
