# SPDX-License-Identifier: Apache-2.0
"""Feature distillation by correlation, PKD (Cao et al., NeurIPS 2022, arXiv:2207.02039)."""

from __future__ import annotations

from torch import Tensor

from .adapters import normalized


def pearson_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return each picture's share of the loss, (B,); their mean is that of the batch.

    Half the mean squared difference of normalized channels, which over a batch is 1 - r, r being
    Pearson's correlation of the channel.

    Args:
        student: (B, C, H, W), adapted.
        teacher: (B, C, H, W).
    """
    return (normalized(student) - normalized(teacher)).square().mean((1, 2, 3)) / 2
