# SPDX-License-Identifier: Apache-2.0
"""YOLOv5 in its v6.0 layout: backbone, feature pyramid and head, sizes n s m l x.

Tensor names are those of the public checkpoints (model.0.conv.weight … model.24.m.2.bias).
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import C3, SPPF, Concat, Conv
from .detect import Detect, Segment
from .layout import HEAD_INPUTS, SIZES

PROTOTYPE_WIDTH = 256  # of size l


class YOLOv5(nn.Module):
    """The network; `model` is its list of layers, the last of them the head.

    Args:
        size: one of `SIZES`.
        classes: number of classes.
        anchors: (3, 3, 2) pixels; by default those for COCO.
        masks: coefficients and prototypes of masks, 32 in public checkpoints; 0 for boxes alone.
    """

    def __init__(
        self, size: str, classes: int, anchors: Tensor | None = None, masks: int = 0
    ) -> None:
        super().__init__()
        self.size = size
        layers = pyramid(size)
        channels = tuple(layers[i][1].cv3.conv.out_channels for i in HEAD_INPUTS)
        self.sources = [source for source, _ in layers]
        self.model = nn.ModuleList(layer for _, layer in layers)
        if masks:
            width = scaled(PROTOTYPE_WIDTH, size)
            self.model.append(Segment(classes, channels, anchors, masks, width))
        else:
            self.model.append(Detect(classes, channels, anchors))

    @property
    def head(self) -> Detect:
        """The last layer."""
        return self.model[-1]

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the output of every layer before the head, by layer index.

        Args:
            images: (B, 3, H, W) float, RGB in 0..1; H and W multiples of 32.
        """
        outputs: list[Tensor] = []
        for index, source in enumerate(self.sources):
            previous = outputs[-1] if outputs else images
            inputs = previous if source is None else [previous, outputs[source]]
            outputs.append(self.model[index](inputs))
        return outputs

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the head's raw outputs; shapes as in `Detect.forward` and `Segment.forward`."""
        features = self.features(images)
        return self.head([features[i] for i in HEAD_INPUTS])

    def fuse(self) -> YOLOv5:
        """Fold every batch normalization into its convolution, for inference; return self."""
        self.eval()
        for module in self.modules():
            if isinstance(module, Conv):
                module.fuse()
        return self


def scaled(channels: int, size: str) -> int:
    """Return how many channels of size l there are in another, a multiple of 8."""
    _, share = SIZES[size]
    return -(-int(channels * share) // 8) * 8


def pyramid(size: str) -> list[tuple[int | None, nn.Module]]:
    """Return the layers before the head, each with the earlier layer it also reads, or None.

    Every layer reads the one before it; a `Concat` joins that with the layer named beside it.
    """
    depth_share, _ = SIZES[size]

    def c(channels: int) -> int:
        return scaled(channels, size)

    def d(bottlenecks: int) -> int:
        return max(round(bottlenecks * depth_share), 1)

    return [
        (None, Conv(3, c(64), 6, 2, 2)),  # 0, stride 2
        (None, Conv(c(64), c(128), 3, 2)),  # 1, stride 4
        (None, C3(c(128), c(128), d(3))),
        (None, Conv(c(128), c(256), 3, 2)),  # 3, stride 8
        (None, C3(c(256), c(256), d(6))),
        (None, Conv(c(256), c(512), 3, 2)),  # 5, stride 16
        (None, C3(c(512), c(512), d(9))),
        (None, Conv(c(512), c(1024), 3, 2)),  # 7, stride 32
        (None, C3(c(1024), c(1024), d(3))),
        (None, SPPF(c(1024), c(1024))),  # 9, end of the backbone
        (None, Conv(c(1024), c(512), 1)),
        (None, nn.Upsample(scale_factor=2, mode='nearest')),
        (6, Concat()),
        (None, C3(2 * c(512), c(512), d(3), shortcut=False)),
        (None, Conv(c(512), c(256), 1)),
        (None, nn.Upsample(scale_factor=2, mode='nearest')),
        (4, Concat()),
        (None, C3(2 * c(256), c(256), d(3), shortcut=False)),  # 17, head at stride 8
        (None, Conv(c(256), c(256), 3, 2)),
        (14, Concat()),
        (None, C3(2 * c(256), c(512), d(3), shortcut=False)),  # 20, head at stride 16
        (None, Conv(c(512), c(512), 3, 2)),
        (10, Concat()),
        (None, C3(2 * c(512), c(1024), d(3), shortcut=False)),  # 23, head at stride 32
    ]
