# SPDX-License-Identifier: Apache-2.0
"""A moving average of a network's weights, which is what gets evaluated and shipped.

Polyak and Juditsky, 1992; with a memory that grows at the beginning.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


class WeightAverage:
    """The average of all floating-point tensors of a module.

    Args:
        module: the one that is trained.
        decay: memory of one update, close to 1.
        warmup: updates over which the memory grows to that.

    Attributes:
        module: a copy of the module with the averaged weights, in eval mode.
        updates: how many there were.
    """

    def __init__(self, module: nn.Module, decay: float, warmup: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay
        self._warmup = warmup

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights of now."""
        self.updates += 1
        memory = self._decay * (1 - math.exp(-self.updates / self._warmup))
        mine, theirs = self.module.state_dict(), module.state_dict()
        averaged = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [mine[name] for name in averaged], [theirs[name] for name in averaged], 1 - memory
        )
        for name, tensor in mine.items():  # batch normalization's counter
            if not tensor.is_floating_point():
                tensor.copy_(theirs[name])
