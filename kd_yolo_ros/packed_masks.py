# SPDX-License-Identifier: Apache-2.0
"""Every object's own mask in a few bytes: overlaps survive, which a map of instances loses.

The form of the topic `~/debug/masks`: int32 little-endian height, width and number of the masks;
left, top, width and height of each one's crop; then the bits of each crop, row by row, padded to
whole bytes.
"""

from __future__ import annotations

import numpy as np

from kd_yolo_ros.masks import Masks

FORMAT = 'kd_yolo_ros/masks'
INT = np.dtype('<i4')


def pack_masks(masks: Masks) -> bytes:
    """Return masks as bytes."""
    sides = [crop.shape[::-1] for crop in masks.crops]
    places = np.concatenate((masks.corners, np.reshape(sides, (-1, 2))), 1)
    return b''.join(
        (
            np.array((*masks.size, len(masks.crops)), INT).tobytes(),
            places.astype(INT).tobytes(),
            *(np.packbits(crop).tobytes() for crop in masks.crops),
        )
    )


def unpack_masks(packed: bytes) -> Masks:
    """Return what `pack_masks` was given.

    Raises:
        ValueError: the bytes are not such masks.
    """
    height, width, count = np.frombuffer(packed, INT, 3).tolist()
    places = np.frombuffer(packed, INT, 4 * count, 3 * INT.itemsize).reshape(-1, 4)
    at = (3 + 4 * count) * INT.itemsize
    crops = []
    for crop_width, crop_height in places[:, 2:].tolist():
        pixels = crop_width * crop_height
        length = -(-pixels // 8)
        bits = np.frombuffer(packed, np.uint8, length, at)
        crops.append(np.unpackbits(bits, count=pixels).reshape(crop_height, crop_width) != 0)
        at += length
    return Masks((height, width), places[:, :2].astype(np.int64), tuple(crops))
