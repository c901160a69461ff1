# SPDX-License-Identifier: Apache-2.0
"""A video file; a frame's stamp is its index over the rate.

Frames carry no time of their own: a replay starts at zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import cv2

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.capture import CaptureSource, known_fps
from kd_yolo_ros.frames.frame import DEFAULT_FPS, Frame, Size, Skipped, stamp_at

VIDEO_SUFFIXES = frozenset({'.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm', '.mpg', '.mpeg'})


class Video(CaptureSource):
    """A video file; UserError where it does not open or holds no frame."""

    def __init__(self, path: Path, size: Size = None) -> None:
        super().__init__(size)
        self.path = path
        self.description = path.name
        capture = self.open_capture()
        self.fps = known_fps(capture) or DEFAULT_FPS
        self.length = self._count(capture)
        capture.release()
        if next(iter(self), None) is None:
            raise UserError(f'{path} holds no frame that can be decoded')

    def __iter__(self) -> Iterator[Frame]:
        fps = self.fps or DEFAULT_FPS
        return self.frames(lambda index: stamp_at(index, fps))

    def ended(self, frames: int) -> None:  # noqa: D102
        # A damaged or cut-off file decodes to fewer frames than it announces.
        missing = len(self) - frames
        if missing > 0:
            self.skipped.append(Skipped(self.path.name, f'{missing} frames do not decode'))
        self.length = frames

    def open_capture(self) -> Any:  # noqa: D102
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise UserError(
                f'{self.path} does not open as a video: it is cut off, no video, '
                'or of a codec that this OpenCV lacks'
            )
        return capture

    def _count(self, capture: Any) -> int:
        """Count the packets without decoding them; the header's number is an estimate."""
        if capture.set(cv2.CAP_PROP_FORMAT, -1):
            packets = 0
            while capture.grab():
                packets += 1
            return packets
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
