# SPDX-License-Identifier: Apache-2.0
"""All that a training run has to remember to go on as if it had never been stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kd_yolo_ros.errors import UserError

from .ema import WeightAverage


@dataclass
class TrainingState:
    """A run between two epochs.

    Attributes:
        task: what is trained; its forward gives the loss.
        average: of the network's weights.
        optimizer: over the task's parameters.
        scaler: of fp16 gradients; switched off for other precisions.
        epoch: the next one, counted from 0.
        history: a row for each epoch so far.
        metrics: of the last epoch's evaluation, where there was one.
        merit: the figure of `history` by which epochs are compared.
    """

    task: nn.Module
    average: WeightAverage
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] | None = None
    merit: str = 'map50_95'

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the highest AP so far; None before the first evaluation."""
        rated = [row for row in self.history if row.get(self.merit) is not None]
        return max(rated, key=lambda row: row[self.merit])['epoch'] if rated else None

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that is a tensor, by name."""
        found = {f'task.{k}': v for k, v in self.task.state_dict().items()}
        found.update({f'average.{k}': v for k, v in self.average.module.state_dict().items()})
        for number, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found[f'optimizer.{number}.{key}'] = value
        return found

    def numbers(self) -> dict[str, Any]:
        """Return the rest, of JSON's types."""
        return {
            'epoch': self.epoch,
            'updates': self.average.updates,
            'scaler': self.scaler.state_dict(),
            'history': self.history,
            'metrics': self.metrics,
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take over what `tensors` and `numbers` gave.

        Raises:
            UserError: they are of another network.
        """
        try:
            self.task.load_state_dict(_part(tensors, 'task.'))
            self.average.module.load_state_dict(_part(tensors, 'average.'))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f'the saved run is of another network ({reason}).') from None
        for number, parameter in enumerate(self._parameters()):
            saved = _part(tensors, f'optimizer.{number}.')
            # AdamW keeps its step counter on the CPU, wherever the parameter is.
            self.optimizer.state[parameter] = {
                key: value.clone() if key == 'step' else value.to(parameter.device, copy=True)
                for key, value in saved.items()
            }
        self.average.updates = numbers['updates']
        self.scaler.load_state_dict(numbers['scaler'])
        self.epoch = numbers['epoch']
        self.history = numbers['history']
        self.metrics = numbers['metrics']

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group['params']]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
