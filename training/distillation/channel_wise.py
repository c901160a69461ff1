# SPDX-License-Identifier: Apache-2.0
"""Channel-wise distillation, CWD (Shu et al., ICCV 2021, arXiv:2011.13256)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .adapters import normalized


def channel_wise_loss(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    """Return each picture's loss, (B,).

    Every channel becomes a distribution over the cells, phi(x) = softmax(x / tau); the loss is
    tau² / C sum over channels of KL(phi(teacher) || phi(student)). Both sides are normalized
    before, which the paper leaves out: SiLU's channels differ in scale by orders.

    Args:
        student: (B, C, H, W), adapted.
        teacher: (B, C, H, W).
        tau: temperature; a higher one counts more than the most salient cells.
    """
    mine = functional.log_softmax(normalized(student).flatten(2) / tau, 2)
    theirs = functional.log_softmax(normalized(teacher).flatten(2) / tau, 2)
    divergence = (theirs.exp() * (theirs - mine)).sum(2)
    return divergence.mean(1) * tau**2
