# SPDX-License-Identifier: Apache-2.0
"""What makes a student's feature map comparable with a teacher's: channels and scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPS = 1e-5


class Adapters(nn.Module):
    """A 1x1 convolution for each layer, from the student's channels to the teacher's.

    Without an activation: the teacher's SiLU takes values below zero too. Their weights are drawn
    from a generator of their own, so that a student starts as it would without a teacher.

    Args:
        channels: (student's, teacher's) by layer.
        seed: of the weights.
    """

    def __init__(self, channels: dict[int, tuple[int, int]], seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleDict(
                {str(layer): nn.Conv2d(*pair, 1) for layer, pair in channels.items()}
            )

    def forward(self, layer: int, features: Tensor) -> Tensor:
        """Return the student's map (B, C, H, W) with the teacher's channels, in float32."""
        return self.layers[str(layer)](features).float()


def normalized(features: Tensor) -> Tensor:
    """Return a map (B, C, H, W) whose channels have mean 0 and variance 1 over the batch.

    It is batch normalization without parameters and without memory, for both sides: what is
    compared is where a channel is large, not how large the teacher's values happen to be. Of
    several processes each has its own batch.
    """
    features = features.float()
    variance, mean = torch.var_mean(features, (0, 2, 3), correction=0, keepdim=True)
    return (features - mean) * torch.rsqrt(variance + EPS)
