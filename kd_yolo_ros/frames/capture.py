# SPDX-License-Identifier: Apache-2.0
"""What video files, cameras and GStreamer pipelines share: one cv2.VideoCapture.

Each of them only says how it is opened and when its frames were taken.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Callable, Iterator, Optional

import cv2

from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID, Frame, Size, Source, keep, resized


class CaptureSource(Source):
    """Frames read one after another from a cv2.VideoCapture."""

    def __init__(self, size: Size = None) -> None:
        super().__init__(size)
        self._capture: Optional[Any] = None

    @abstractmethod
    def open_capture(self) -> Any:
        """Return an opened cv2.VideoCapture, or raise UserError."""

    def frames(self, stamp_of: Callable[[int], int]) -> Iterator[Frame]:
        """Yield the frames from the first on; `stamp_of(index)` gives their times in ns."""
        self.close()
        capture = self._capture = self.open_capture()
        index = 0
        while capture.isOpened():
            ok, image = capture.read()
            if not ok:
                return
            yield Frame(
                f'frame_{index:06d}',
                stamp_of(index),
                DEFAULT_FRAME_ID,
                keep(resized(image, self.size)),
            )
            index += 1

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class LiveSource(CaptureSource):
    """Frames without an end, stamped with the wall clock when they arrive."""

    def __iter__(self) -> Iterator[Frame]:
        return self.frames(lambda _: time.time_ns())


def known_fps(capture: Any) -> Optional[float]:
    """Return the rate that the capture states, None where it states none."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return float(fps) if 0 < fps < 1000 else None
