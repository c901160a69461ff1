# SPDX-License-Identifier: Apache-2.0
"""Where pictures come from: files, folders, data sets, videos, bags, cameras, streams.

`open_source` finds out which of them a path is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import DEFAULT_FPS, Frame, Size, Skipped, Source
from kd_yolo_ros.frames.pictures import PICTURE_SUFFIXES, Pictures

__all__ = ['Frame', 'Skipped', 'Source', 'open_source']

ACCEPTED = (
    'a picture, a folder of pictures, a data set (a folder with images/), a video file, '
    'a rosbag2 folder, an .mcap or .db3 file, a camera (0, /dev/video0) or gst:PIPELINE'
)


def open_source(
    path: Union[str, Path],
    size: Size = None,
    topic: Optional[str] = None,
    fps: float = DEFAULT_FPS,
) -> Source:
    """Return the source that `path` names.

    Args:
        path: what to open, see ACCEPTED.
        size: (width, height) to which pictures are rescaled; as they are without.
        topic: a bag's image topic; its only one without.
        fps: the rate at which pictures that carry no time are played.

    Raises:
        UserError: nothing is there, it is none of those, or it holds no readable picture.
    """
    text = str(path)
    if text.startswith('gst:'):
        from kd_yolo_ros.frames.gstreamer import GStreamer

        return GStreamer(text[len('gst:') :], size)
    if text.isdigit() or text.startswith('/dev/video'):
        from kd_yolo_ros.frames.camera import Camera

        return Camera(text, size)
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path} does not exist, expected {ACCEPTED}')
    if path.suffix in ('.db3', '.mcap') or (path / 'metadata.yaml').is_file():
        from kd_yolo_ros.frames.bag import Bag

        return Bag(path, topic, size)
    if path.is_dir():
        return Pictures(path, fps, size)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Pictures(path, fps, size)
    from kd_yolo_ros.frames.video import VIDEO_SUFFIXES, Video

    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Video(path, size)
    raise UserError(f'{path} is no source of pictures, expected {ACCEPTED}')
