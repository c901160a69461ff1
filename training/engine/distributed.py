# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network, as `torchrun` starts them; or just this one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from kd_yolo_ros.errors import UserError

# The others wait for as long as the first one checks pictures or evaluates.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    """Where this process stands.

    Attributes:
        device: that it computes on.
        rank: its number.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that evaluates, writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the module whose gradients are averaged over all processes."""
        if self.size == 1:
            return model
        devices = [self.device.index] if self.device.type == 'cuda' else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def agree(self, values: Sequence[bool]) -> list[bool]:
        """Return what the first process says; all wait for it and give as many values."""
        if self.size == 1:
            return list(values)
        said = torch.tensor([int(value) for value in values], device=self.device)
        distributed.broadcast(said, 0)
        return [bool(value) for value in said.tolist()]

    def all_have(self, value: int) -> bool:
        """Return whether the value is the same in all processes."""
        if self.size == 1:
            return True
        extremes = torch.tensor([value, -value], device=self.device)
        distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
        return extremes[0].item() == value == -extremes[1].item()


@contextlib.contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, for as long as the context lasts.

    Args:
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'; each process of a host takes a GPU of its own.

    Raises:
        UserError: there is no such device.
    """
    size = int(os.environ.get('WORLD_SIZE', '1'))
    local = int(os.environ.get('LOCAL_RANK', '0'))
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ('cpu', 'cuda'):
        raise UserError(f"'{device}' is no device; give cpu, cuda or cuda:N.")
    if size > 1 and chosen.index is not None:
        raise UserError(
            f'{device}: each of the {size} processes takes a GPU of its own; give cuda.'
        )
    if chosen.type == 'cuda':
        index = chosen.index if chosen.index is not None else local
        if index >= torch.cuda.device_count():
            raise UserError(
                f'there is no GPU {index} here, {torch.cuda.device_count()} are visible; '
                'give --device cpu, or start fewer processes.'
            )
        chosen = torch.device('cuda', index)
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(chosen)
        return
    backend = 'nccl' if chosen.type == 'cuda' else 'gloo'
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(chosen, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
