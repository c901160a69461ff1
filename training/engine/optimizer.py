# SPDX-License-Identifier: Apache-2.0
"""The optimizer, its groups of parameters, and the schedule of its rates."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from .settings import Settings

WARMUP_STEPS = 100  # at least, however small the data set


def make_optimizer(modules: list[nn.Module], settings: Settings) -> Optimizer:
    """Return an optimizer over all parameters of the modules that want a gradient.

    Weights of convolutions decay, weights of normalizations and biases do not; biases have a
    group of their own because their warm-up differs. Several modules: a student and its
    adapters.
    """
    decayed, scales, biases = [], [], []
    for root in modules:
        for module in root.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                if name == 'bias':
                    biases.append(parameter)
                elif isinstance(module, nn.modules.batchnorm._NormBase):
                    scales.append(parameter)
                else:
                    decayed.append(parameter)
    # Decay belongs to a step; a step of fewer pictures than the nominal ones decays less.
    share = settings.batch * accumulation(settings) / settings.nominal_batch
    groups = [
        {'params': decayed, 'weight_decay': settings.weight_decay * share, 'bias': False},
        {'params': scales, 'weight_decay': 0.0, 'bias': False},
        {'params': biases, 'weight_decay': 0.0, 'bias': True},
    ]
    groups = [group for group in groups if group['params']]
    if settings.optimizer == 'adamw':
        return AdamW(groups, settings.lr, betas=(settings.momentum, 0.999))
    return SGD(groups, settings.lr, momentum=settings.momentum, nesterov=True)


def accumulation(settings: Settings) -> int:
    """Return the batches whose gradients are added up for one step, after warm-up."""
    return max(round(settings.nominal_batch / settings.batch), 1)


def decay(settings: Settings, epoch: int) -> float:
    """Return the share of the learning rate that is left in an epoch, counted from 0."""
    done = epoch / settings.epochs
    left = (1 + math.cos(math.pi * done)) / 2 if settings.schedule == 'cosine' else 1 - done
    return settings.final_lr + (1 - settings.final_lr) * left


def set_rates(
    optimizer: Optimizer, settings: Settings, epoch: int, batch: int, batches: int
) -> int:
    """Set every group's learning rate and momentum for one batch.

    During warm-up rates rise from 0 (of biases they fall from `warmup_bias_lr`), momentum rises
    and gradients are added up over more and more batches.

    Args:
        optimizer: of `make_optimizer`.
        settings: of the run.
        epoch: counted from 0.
        batch: in the epoch, counted from 0.
        batches: of an epoch.

    Returns:
        The number of batches whose gradients make a step now.
    """
    warmup = max(round(settings.warmup_epochs * batches), WARMUP_STEPS)
    if settings.warmup_epochs <= 0:
        warmup = 0
    done = epoch * batches + batch
    rise = min(done / warmup, 1.0) if warmup else 1.0
    target = settings.lr * decay(settings, epoch)
    momentum = settings.warmup_momentum + rise * (settings.momentum - settings.warmup_momentum)
    for group in optimizer.param_groups:
        adam = 'betas' in group
        start = settings.warmup_bias_lr if group['bias'] and not adam else 0.0
        group['lr'] = start + rise * (target - start)
        if adam:
            group['betas'] = (momentum, group['betas'][1])
        else:
            group['momentum'] = momentum
    return max(1, round(1 + rise * (accumulation(settings) - 1)))


def clip_gradients(task: nn.Module, limit: float) -> None:
    """Scale the gradients so that the norm of each part's is at most `limit`; 0 for no limit.

    The parts are the task's children: a student's step does not shrink for its adapters' sake.
    """
    if limit > 0:
        for part in task.children():
            if parameters := list(part.parameters()):
                torch.nn.utils.clip_grad_norm_(parameters, limit)
