# SPDX-License-Identifier: Apache-2.0
"""Image messages to pictures and back."""

from __future__ import annotations

import array
from typing import Any, Union

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.image_encoding import SUPPORTED_ENCODINGS, decode_compressed, to_bgr


def nanoseconds(stamp: Any) -> int:
    """Return a header's stamp in ns; rclpy's Time refuses those before 1970."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_picture(message: Union[Image, CompressedImage]) -> np.ndarray:
    """Return a message's picture as (H, W, 3) uint8 BGR, as a view of it where possible.

    Raises:
        UserError: the message is broken, or its encoding is unknown.
    """
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    if message.encoding not in SUPPORTED_ENCODINGS:
        return _through_cv_bridge(message)
    return to_bgr(
        message.data,
        message.width,
        message.height,
        message.encoding,
        message.step,
        bool(message.is_bigendian),
    )


def to_image(picture: np.ndarray, header: Header, encoding: str = 'bgr8') -> Image:
    """Return a picture, (H, W, channels) or (H, W), as a message."""
    height, width = picture.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding)
    picture = np.ascontiguousarray(picture)
    message.step = picture.strides[0]
    # rclpy hands an array.array to C in one copy; other containers go element by element.
    data = array.array('B')
    data.frombytes(picture.data.cast('B'))
    message.data = data
    return message


def _through_cv_bridge(message: Image) -> np.ndarray:
    """Convert the encodings that only cv_bridge knows."""
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        raise UserError(
            f"image encoding '{message.encoding}' is not known here and cv_bridge is not "
            f'installed; publish bgr8 or install ros-$ROS_DISTRO-cv-bridge.'
        ) from None
    bridge: Any = CvBridge()
    try:
        return bridge.imgmsg_to_cv2(message, 'bgr8')
    except (CvBridgeError, ValueError) as error:
        raise UserError(
            f"image encoding '{message.encoding}' cannot be converted ({error}); publish bgr8."
        ) from None
