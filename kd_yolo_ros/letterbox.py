# SPDX-License-Identifier: Apache-2.0
"""Fit a picture into the network's input: scaled as a whole, centred, padded with grey.

Also the way back: boxes in network pixels to boxes in source pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import cv2
import numpy as np

from kd_yolo_ros.manifest import InputSpec

PADDING_GREY = 114  # what YOLOv5 is trained with


@dataclass(frozen=True)
class Placement:
    """Where a source picture lies in the network's input.

    Attributes:
        source: (height, width) of the source picture.
        scaled: (height, width) it is resized to.
        top, left: its first row and column in the network's input.
    """

    source: Tuple[int, int]
    scaled: Tuple[int, int]
    top: int
    left: int

    @classmethod
    def fit(cls, source: Tuple[int, int], target: Tuple[int, int]) -> Placement:
        """Scale `source` (height, width) to the largest size that fits into `target`."""
        scale = min(target[0] / source[0], target[1] / source[1])
        height = min(target[0], max(1, round(source[0] * scale)))
        width = min(target[1], max(1, round(source[1] * scale)))
        # An odd remainder goes to the bottom and right, as in YOLOv5's own letterbox.
        return cls(source, (height, width), (target[0] - height) // 2, (target[1] - width) // 2)

    def to_source(self, boxes: np.ndarray) -> np.ndarray:
        """Map (N, 4) x1 y1 x2 y2 in network pixels to source pixels, clipped to the picture."""
        height, width = self.source
        scale = np.array([width / self.scaled[1], height / self.scaled[0]] * 2, np.float32)
        offset = np.array([self.left, self.top] * 2, np.float32)
        boxes = (boxes - offset) * scale
        limit = np.array([width, height] * 2, np.float32)
        return np.clip(boxes, 0, limit, out=boxes)


class Letterbox:
    """Letterboxes pictures into one buffer that is allocated once.

    The buffer is overwritten by the next picture.
    """

    def __init__(self, height: int, width: int) -> None:
        """Allocate the (height, width, 3) uint8 BGR buffer."""
        self.buffer = np.full((height, width, 3), PADDING_GREY, np.uint8)
        self.placement: Optional[Placement] = None

    def __call__(self, picture: np.ndarray) -> Tuple[np.ndarray, Placement]:
        """Letterbox a (H, W, 3) uint8 picture of any size.

        Returns:
            The (height, width, 3) uint8 buffer and where the picture lies in it.

        Raises:
            ValueError: not such a picture.
        """
        # OpenCV would resize another kind into an array of its own and leave the old picture here.
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f'a {picture.shape} {picture.dtype} array is no (H, W, 3) uint8 one')
        if not picture.size:
            raise ValueError(f'a {picture.shape} array is no (H, W, 3) uint8 one with pixels')
        source = picture.shape[:2]
        if self.placement is None or self.placement.source != source:
            self.buffer[:] = PADDING_GREY
            self.placement = Placement.fit(source, self.buffer.shape[:2])
        place = self.placement
        (height, width), top, left = place.scaled, place.top, place.left
        area = self.buffer[top : top + height, left : left + width]
        if (height, width) == source:
            area[:] = picture
        else:
            cv2.resize(picture, (width, height), dst=area, interpolation=cv2.INTER_LINEAR)
        return self.buffer, place


def to_network_input(picture: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Turn a letterboxed (H, W, 3) uint8 BGR picture into the tensor that a model file takes.

    Our own graphs take the picture as it is, without a copy; exports of other tools mostly want
    float32, RGB, NCHW in 0..1.

    Returns:
        (1, H, W, 3) or (1, 3, H, W), of the dtype that `spec` names.
    """
    swap = spec.colour_order == 'rgb'
    if spec.dtype == 'float32' and spec.layout == 'nchw':
        return cv2.dnn.blobFromImage(picture, spec.scale, swapRB=swap)
    if swap:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    if spec.dtype == 'float32':
        picture = picture.astype(np.float32) * np.float32(spec.scale)
    if spec.layout == 'nchw':
        picture = np.ascontiguousarray(picture.transpose(2, 0, 1))
    return picture[np.newaxis]
