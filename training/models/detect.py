# SPDX-License-Identifier: Apache-2.0
"""The anchor-based heads: one 1x1 convolution per level of the pyramid, and masks' prototypes.

They return the raw convolution outputs; losses and the decode turn them into boxes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kd_yolo_ros.manifest import Head

from .blocks import Proto
from .layout import STRIDES

# Width and height in pixels of a 640 picture: k-means of COCO boxes, as published with YOLOv5.
COCO_ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)

# What the head believes before it has seen anything: objects in a 640x640 picture for each level,
# and the share of them that belongs to all classes together.
PRIOR_OBJECTS = 8
PRIOR_SIDE = 640
PRIOR_CLASS = 0.6
SURE = 1 - 1e-5  # of the only class there is: objectness then says all


class Detect(nn.Module):
    """Head of `classes` classes over feature maps with `channels` channels each.

    The buffer `anchors` is (levels, anchors, 2) in cells of the level's grid, as in the public
    checkpoints; `anchors_px` gives it in pixels. An anchor's channels are x, y, w, h, objectness,
    classes, and `masks` coefficients of a mask (see `Segment`).
    """

    def __init__(
        self,
        classes: int,
        channels: tuple[int, ...],
        anchors: Tensor | None = None,
        masks: int = 0,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.masks = masks
        self.strides = STRIDES
        pixels = torch.tensor(COCO_ANCHORS) if anchors is None else anchors
        self.register_buffer('anchors', pixels.float() / self._stride_column())
        self.outputs = (5 + classes + masks) * self.anchors.shape[1]
        self.m = nn.ModuleList(nn.Conv2d(c, self.outputs, 1) for c in channels)
        self.reset_bias()

    @property
    def anchors_px(self) -> Tensor:
        """Anchors in pixels of the network input, (levels, anchors, 2)."""
        return self.anchors * self._stride_column().to(self.anchors.device)

    def _stride_column(self) -> Tensor:
        return torch.tensor(self.strides, dtype=torch.float32).view(-1, 1, 1)

    @torch.no_grad()
    def reset_bias(self) -> None:
        """Start objectness and classes at their prior (Lin et al., Focal Loss, 2017, 4.1).

        Without it the first steps are spent on pushing thousands of empty cells below 0.5.
        """
        anchors, classes = self.anchors.shape[1], slice(5, 5 + self.classes)
        for conv, stride in zip(self.m, self.strides, strict=True):
            bias = conv.bias.view(anchors, -1)
            bias[:, 4] = _logit(PRIOR_OBJECTS / (PRIOR_SIDE / stride) ** 2)
            bias[:, classes] = _logit(PRIOR_CLASS / self.classes if self.classes > 1 else SURE)
            if self.classes == 1:  # which no loss trains
                conv.weight.view(*bias.shape, -1)[:, classes] = 0

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Return per level (B, anchors * (5 + classes + masks), H/stride, W/stride), logits."""
        return tuple(conv(x) for conv, x in zip(self.m, maps, strict=True))


class Segment(Detect):
    """Head that gives each anchor a mask: `masks` coefficients, and as many shared prototypes.

    A mask is the prototypes summed up with the coefficients, before a sigmoid (Bolya et al.,
    YOLACT, ICCV 2019).

    Args:
        classes, channels, anchors, masks: as of `Detect`.
        width: channels of the prototypes' inner layers.
    """

    def __init__(
        self,
        classes: int,
        channels: tuple[int, ...],
        anchors: Tensor | None,
        masks: int,
        width: int,
    ) -> None:
        super().__init__(classes, channels, anchors, masks)
        self.proto = Proto(channels[0], width, masks)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Return what `Detect` does, and the prototypes (B, masks, H/4, W/4) behind."""
        protos = self.proto(maps[0])
        return *super().forward(maps), protos


def describe_head(anchors_px: Tensor, masks: int = 0) -> Head:
    """Return the head as a manifest tells it; `anchors_px` is (levels, anchors, 2)."""
    anchors = tuple(tuple((w, h) for w, h in level) for level in anchors_px.tolist())
    return Head('anchor_grid', STRIDES, anchors, mask_coefficients=masks)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
