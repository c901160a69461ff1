# SPDX-License-Identifier: Apache-2.0
"""The bytes of an image message as the BGR picture that everything else works on.

Knows the encodings that cameras send; knows nothing of ROS itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError


class _Layout(NamedTuple):
    """How an encoding lies in memory and how it becomes BGR."""

    channels: int
    code: Optional[int]
    sample_bytes: int = 1
    even_width: bool = False
    half_planes: bool = False  # chroma planes follow: height * 3 / 2 rows
    least: int = 1  # width and height; OpenCV turns a Bayer picture below 3x3 black


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the
# first two rows from the left: rggb of ROS is BG of OpenCV.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2BGR,
    'bggr': cv2.COLOR_BayerRG2BGR,
    'gbrg': cv2.COLOR_BayerGR2BGR,
    'grbg': cv2.COLOR_BayerGB2BGR,
}
_LAYOUTS = {
    'bgr8': _Layout(3, None),
    '8UC3': _Layout(3, None),
    'rgb8': _Layout(3, cv2.COLOR_RGB2BGR),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2BGR),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2BGR),
    'mono8': _Layout(1, cv2.COLOR_GRAY2BGR),
    '8UC1': _Layout(1, cv2.COLOR_GRAY2BGR),
    'mono16': _Layout(1, cv2.COLOR_GRAY2BGR, sample_bytes=2),
    'yuv422': _Layout(2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),
    'uyvy': _Layout(2, cv2.COLOR_YUV2BGR_UYVY, even_width=True),
    'yuv422_yuy2': _Layout(2, cv2.COLOR_YUV2BGR_YUYV, even_width=True),
    'yuyv': _Layout(2, cv2.COLOR_YUV2BGR_YUYV, even_width=True),
    'nv12': _Layout(1, cv2.COLOR_YUV2BGR_NV12, even_width=True, half_planes=True),
    'nv21': _Layout(1, cv2.COLOR_YUV2BGR_NV21, even_width=True, half_planes=True),
    **{f'bayer_{name}8': _Layout(1, code, least=3) for name, code in _BAYER.items()},
    **{
        f'bayer_{name}16': _Layout(1, code, sample_bytes=2, least=3)
        for name, code in _BAYER.items()
    },
}

SUPPORTED_ENCODINGS = tuple(_LAYOUTS)


def to_bgr(
    data: Any,
    width: int,
    height: int,
    encoding: str,
    step: int,
    is_bigendian: bool = False,
    out: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Return an image message's picture as (H, W, 3) uint8 BGR.

    bgr8 comes back as a view of `data` without a copy (read-only where `data` is); every
    other encoding is converted, into `out` where that has the right shape. Of 16-bit samples
    the high byte is kept.

    Args:
        data: the message's bytes (bytes, array, memoryview or uint8 array).
        width: in pixels.
        height: in pixels.
        encoding: one of SUPPORTED_ENCODINGS, as named by sensor_msgs/image_encodings.
        step: bytes from one row to the next, padding included.
        is_bigendian: byte order of 16-bit samples.
        out: (H, W, 3) uint8 buffer to write the converted picture to.

    Raises:
        UserError: the encoding is unknown, or size, step and data do not fit together.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise UserError(
            f'image encoding {encoding!r} is not supported, expected one of '
            f'{", ".join(SUPPORTED_ENCODINGS)}'
        )
    rows = _check(layout, width, height, encoding, step, len(memoryview(data).cast('B')))
    row_bytes = width * layout.channels * layout.sample_bytes
    # Slicing the padding off and splitting the last axis are both views.
    picture = np.frombuffer(data, np.uint8).reshape(rows, step)[:, :row_bytes]
    if layout.sample_bytes == 2:
        picture = np.ascontiguousarray(picture[:, 0 if is_bigendian else 1 :: 2])
    picture = picture.reshape(rows, width, layout.channels)
    if layout.code is None:
        return picture
    try:
        # Also for rgb8: a reversed view costs nothing here, but makes the resize afterwards
        # copy element by element, which takes many times as long as this conversion.
        return cv2.cvtColor(picture, layout.code, out)
    except cv2.error as error:
        raise UserError(
            f'a {width}x{height} {encoding} image could not be converted to BGR: {error.err}'
        ) from error


def _check(layout: _Layout, width: int, height: int, encoding: str, step: int, size: int) -> int:
    """Return the number of rows in memory, or raise the one sentence that says what is wrong."""
    what = f'{encoding} image of {width}x{height} pixels'
    if min(width, height) < layout.least:
        raise UserError(f'{what}: width and height must be at least {layout.least}')
    if layout.even_width and width % 2:
        raise UserError(f'{what}: {encoding} needs an even width')
    if layout.half_planes and height % 2:
        raise UserError(f'{what}: {encoding} needs an even height')
    row_bytes = width * layout.channels * layout.sample_bytes
    if step < row_bytes:
        raise UserError(f'{what}: got a step of {step} bytes, expected at least {row_bytes}')
    rows = height * 3 // 2 if layout.half_planes else height
    if size != rows * step:
        raise UserError(
            f'{what}: got {size} bytes of data, expected {rows * step} '
            f'({rows} rows of {step} bytes)'
        )
    return rows


def decode_compressed(data: Any) -> np.ndarray:
    """Return a JPEG or PNG (or whatever else OpenCV reads) as (H, W, 3) uint8 BGR.

    The orientation that EXIF names is applied. OpenCV fills the missing part of a cut-off
    JPEG or PNG with grey and calls it a success; here it is an error, since a detector would
    see a road without cars.

    Raises:
        UserError: the data are empty, cut off or no picture.
    """
    raw = np.frombuffer(data, np.uint8)
    if not raw.size:
        raise UserError('the compressed image is empty, expected JPEG or PNG data')
    if _is_cut_off(raw.tobytes()):
        raise UserError(f'the compressed image is cut off after {raw.size} bytes')
    try:
        picture = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise UserError(
            f'the compressed image of {raw.size} bytes could not be decoded, '
            'expected JPEG or PNG data'
        )
    return picture


def _is_cut_off(data: bytes) -> bool:
    """Say whether a JPEG or PNG lacks its end mark.

    In a JPEG's entropy-coded data ff is always stuffed, so an end mark behind the last scan's
    start is the real one, and one before it belongs to an embedded thumbnail.
    """
    if data.startswith(b'\xff\xd8'):
        return data.rfind(b'\xff\xd9') <= data.rfind(b'\xff\xda')
    if data.startswith(b'\x89PNG'):
        return b'IEND' not in data[-64:]
    return False
