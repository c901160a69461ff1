# SPDX-License-Identifier: Apache-2.0
"""What video files, cameras and GStreamer pipelines share: one cv2.VideoCapture.

Each of them only says how it is opened and when its frames were taken.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from itertools import count
from typing import Any, Callable, Iterator, List, Optional

import cv2

from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID, Frame, Size, Source, keep, resized


class CaptureSource(Source):
    """Frames read one after another from a cv2.VideoCapture."""

    def __init__(self, size: Size = None) -> None:
        super().__init__(size)
        self._captures: List[Any] = []

    @abstractmethod
    def open_capture(self) -> Any:
        """Return an opened cv2.VideoCapture, or raise UserError."""

    def frames(self, stamp_of: Callable[[int], int]) -> Iterator[Frame]:
        """Yield the frames from the first on; `stamp_of(index)` gives their times in ns."""
        capture = self.take_capture()
        self._captures.append(capture)
        try:
            for index in count():
                ok, image = capture.read()
                if not ok:
                    if capture.isOpened():  # else close() ended it, not the source
                        self.ended(index)
                    return
                image = resized(image, self.size)
                name = f'frame_{index:06d}'
                yield Frame(name, stamp_of(index), DEFAULT_FRAME_ID, keep(image))
        finally:
            capture.release()
            self._captures.remove(capture)

    def take_capture(self) -> Any:
        """Return the capture for a new pass."""
        return self.open_capture()

    def ended(self, frames: int) -> None:
        """Take note that a pass came to the end after so many frames."""

    def close(self) -> None:  # noqa: D102
        for capture in self._captures:
            capture.release()


class LiveSource(CaptureSource):
    """Frames without an end, stamped with the wall clock when they arrive."""

    def __init__(self, size: Size = None) -> None:
        super().__init__(size)
        self._opened: Optional[Any] = None

    def open_now(self) -> None:
        """Open at once, to say early that it fails; the first pass goes on with it.

        Opening twice would cost a camera or a network stream seconds.
        """
        self._opened = self.open_capture()
        self.fps = known_fps(self._opened)

    def take_capture(self) -> Any:  # noqa: D102
        capture, self._opened = self._opened, None
        return capture or self.open_capture()

    def close(self) -> None:  # noqa: D102
        super().close()
        if self._opened is not None:
            self._opened.release()
            self._opened = None

    def __iter__(self) -> Iterator[Frame]:
        return self.frames(lambda _: time.time_ns())


def known_fps(capture: Any) -> Optional[float]:
    """Return the rate that the capture states, None where it states none."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return float(fps) if 0 < fps < 1000 else None
