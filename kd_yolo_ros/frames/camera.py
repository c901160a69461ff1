# SPDX-License-Identifier: Apache-2.0
"""A camera of this machine, by number or device file.

Without an end; its frames carry the wall clock's time.
"""

from __future__ import annotations

from typing import Any

import cv2

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.capture import LiveSource
from kd_yolo_ros.frames.frame import Size


class Camera(LiveSource):
    """`0` or `/dev/video0`; UserError where it does not open."""

    def __init__(self, device: str, size: Size = None) -> None:
        super().__init__(size)
        self.device = device
        self.description = f'camera {device}'
        self.open_now()

    def open_capture(self) -> Any:  # noqa: D102
        capture = cv2.VideoCapture(int(self.device) if self.device.isdigit() else self.device)
        if not capture.isOpened():
            raise UserError(
                f'{self.description} does not open: check that it is connected, '
                'that no other program holds it and that you may read its /dev/video file'
            )
        return capture
