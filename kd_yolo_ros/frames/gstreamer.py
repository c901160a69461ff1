# SPDX-License-Identifier: Apache-2.0
"""A GStreamer pipeline that ends in an appsink.

Needs an OpenCV built with GStreamer, as apt and JetPack have it and PyPI does not.
"""

from __future__ import annotations

from typing import Any

import cv2

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.capture import LiveSource
from kd_yolo_ros.frames.frame import Size


class GStreamer(LiveSource):
    """The pipeline behind `gst:`; UserError where OpenCV or the pipeline cannot do it."""

    def __init__(self, pipeline: str, size: Size = None) -> None:
        super().__init__(size)
        self.pipeline = pipeline
        self.description = f'GStreamer pipeline {pipeline!r}'
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise UserError(
                f'{self.description} needs an OpenCV built with GStreamer, and this one '
                f'({cv2.__version__}) is not: use the OpenCV of apt (python3-opencv) or JetPack'
            )
        self.open_now()

    def open_capture(self) -> Any:  # noqa: D102
        capture = cv2.VideoCapture(self.pipeline, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise UserError(
                f'{self.description} does not start: it must end in an appsink, '
                'for example videotestsrc ! videoconvert ! video/x-raw,format=BGR ! appsink'
            )
        return capture
