# SPDX-License-Identifier: Apache-2.0
"""A picture's size as it is shown, from its header alone."""

from __future__ import annotations

import warnings
from pathlib import Path

from kd_yolo_ros.errors import UserError

_ORIENTATION = 0x0112  # EXIF
_TURNED = (5, 6, 7, 8)  # by 90° or 270°


def picture_size(file: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of a picture as read: turned as its EXIF says.

    Raises:
        UserError: it is no picture, or cannot be read.
    """
    from PIL import Image

    # What it says of odd headers is either harmless or an error below.
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f'{file} is no picture that can be read: {error}.') from error
    return (height, width) if turned else (width, height)
