# SPDX-License-Identifier: Apache-2.0
"""The building blocks of YOLOv5: convolution, bottleneck, cross-stage block, pooling, prototypes.

Attribute names are those of the public checkpoints, so that their tensors load by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


class Conv(nn.Module):
    """Convolution, batch normalization, SiLU: (B, c_in, H, W) to (B, c_out, H/stride, W/stride).

    Args:
        padding: pixels on each side; by default half the kernel.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated map."""
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Fold the batch normalization into the convolution; the module must be in eval mode."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.bn)
            self.bn = nn.Identity()


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution, with a residual connection when `shortcut` is set."""

    def __init__(self, channels: int, shortcut: bool = True) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 1)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage partial block (Wang et al., CSPNet, 2020) with three convolutions.

    One half of the channels passes through `depth` bottlenecks, the other goes round them.
    """

    def __init__(self, c_in: int, c_out: int, depth: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden, 1)
        self.cv2 = Conv(c_in, hidden, 1)
        self.cv3 = Conv(2 * hidden, c_out, 1)
        self.m = nn.Sequential(*(Bottleneck(hidden, shortcut) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, c_out, H, W)."""
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling (He et al., 2014); poolings in a row stand for 5, 9 and 13."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 5) -> None:
        super().__init__()
        hidden = c_in // 2
        self.cv1 = Conv(c_in, hidden, 1)
        self.cv2 = Conv(4 * hidden, c_out, 1)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, c_out, H, W)."""
        x = self.cv1(x)
        pooled = [x]
        for _ in range(3):
            pooled.append(self.m(pooled[-1]))
        return self.cv2(torch.cat(pooled, 1))


class Proto(nn.Module):
    """Prototypes that masks are composed of (Bolya et al., YOLACT, ICCV 2019, 3.1).

    From the finest level of the pyramid at stride 8 to twice its resolution.
    """

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__()
        self.cv1 = Conv(c_in, hidden, 3)
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.cv2 = Conv(hidden, hidden, 3)
        self.cv3 = Conv(hidden, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, c_out, 2 H, 2 W)."""
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))


class Concat(nn.Module):
    """Join feature maps of one size along their channels."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (B, all channels, H, W)."""
        return torch.cat(maps, 1)
