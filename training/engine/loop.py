# SPDX-License-Identifier: Apache-2.0
"""The training loop: epochs of steps, an evaluation after each, a state that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kd_yolo_ros.errors import UserError

from ..data.loader import Batch, TrainingBatches
from ..models.tensor_file import read_tensors, write_tensors
from .distributed import World
from .optimizer import clip_gradients, set_rates
from .run_folder import (
    BEST,
    CURVES,
    LAST,
    RESULTS,
    RESUME,
    write_curves,
    write_table,
    write_weights,
)
from .settings import Settings
from .state import TrainingState

AUTOCAST = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}

Evaluate = Callable[[], dict[str, Any]]
Progress = Callable[[Iterable, str, int, int], Iterable]


def run(
    state: TrainingState,
    batches: TrainingBatches,
    settings: Settings,
    folder: Path,
    world: World,
    info: dict[str, Any],
    evaluate: Evaluate | None,
    progress: Progress,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Train from `state.epoch` on until the last epoch, or until AP no longer grows.

    After every epoch the state, weights and figures are written; a run that is killed goes on
    from the last state and ends with the same weights.

    Args:
        state: a fresh or a restored one.
        batches: what is trained on.
        settings: how.
        folder: of the run.
        world: the processes that share the work; only the first evaluates and writes.
        info: goes into every weights file: architecture, names, anchors, ….
        evaluate: measures the averaged weights on the select split; None never does.
        progress: wraps the batches of an epoch, with a description, their number and size.
        report: called with each epoch's row of results.

    Raises:
        UserError: the loss is no number any more, or the folder cannot be written.
    """
    task = world.wrap(state.task)
    if not world.all_have(state.epoch):
        raise UserError(
            'the processes would go on from different epochs; all hosts need the same --out.'
        )
    while state.epoch < settings.epochs and not world.agree([_is_over(state, settings)])[0]:
        epoch = state.epoch
        started = time.perf_counter()
        means = train_epoch(state, task, batches, settings, world, progress)
        seconds = time.perf_counter() - started
        state.epoch = epoch + 1
        if not world.first:
            continue
        due = state.epoch % settings.eval_every == 0 or state.epoch == settings.epochs
        measured = evaluate() if evaluate and due else {}
        row = {
            'epoch': epoch,
            **means,
            'lr': state.optimizer.param_groups[0]['lr'],  # biases may have another in warm-up
            **{name: measured.get(name) for name in settings.figures},
            'images_per_s': batches.pictures / seconds,
            'train_s': seconds,
            'evaluate_s': time.perf_counter() - started - seconds,
        }
        state.history.append(row)
        kept = (*settings.figures, 'per_class', 'images')
        state.metrics = {name: measured.get(name) for name in kept}
        write_tensors(folder / RESUME, state.tensors(), {**state.numbers(), 'run': info['run']})
        write_results(state, folder, info)
        report(row)


def train_epoch(
    state: TrainingState,
    task: nn.Module,
    batches: TrainingBatches,
    settings: Settings,
    world: World,
    progress: Progress,
) -> dict[str, float]:
    """Train one epoch; return the means of the loss's parts."""
    optimizer, scaler = state.optimizer, state.scaler
    mosaic = state.epoch < settings.mosaic_epochs
    sums: dict[str, Tensor] = {}
    waiting = 0  # batches whose gradients have been added up
    task.train()
    optimizer.zero_grad()
    title = f'epoch {state.epoch + 1}/{settings.epochs}'
    shown: Iterable[Batch] = batches.epoch(state.epoch, mosaic)
    if world.first:
        shown = progress(shown, title, len(batches), settings.batch)
    for number, batch in enumerate(shown):
        wanted = set_rates(optimizer, settings, state.epoch, number, len(batches))
        given = on_device(batch, world.device)
        state.task.epoch = state.epoch + number / len(batches)
        with _autocast(settings.precision, world.device):
            parts = task(*given)
        # Gradients are averaged over processes, but each loss stands for its own pictures.
        scaler.scale(parts['loss'] * world.size).backward()
        waiting += 1
        # No gradient is carried into the next epoch: the state between two has none to save.
        if waiting >= wanted or number == len(batches) - 1:
            scaler.unscale_(optimizer)
            clip_gradients(state.task, settings.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            state.average.update(state.task.model)
            waiting = 0
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value.detach()
    means = {name: float(value) / len(batches) for name, value in sums.items()}
    if not all(torch.isfinite(torch.tensor(list(means.values())))):
        raise UserError(
            f'the loss is no number any more in epoch {state.epoch + 1}; start again with a '
            'lower lr (what was saved after the epoch before is still whole).'
        )
    return means


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, ...]:
    """Return images as float 0..1, targets, and masks where there are some, on the device.

    The images' channels stay last in memory.
    """
    images, *labels = (t.to(device, non_blocking=True) for t in batch if t is not None)
    return images.float().div_(255), *labels


def write_results(state: TrainingState, folder: Path, info: dict[str, Any]) -> None:
    """Write what the last epoch gave, for people and for other verbs.

    It follows from the state alone: after a kill in between, a resumed run writes it again.
    """
    weights = state.average.module.state_dict()
    info = {**info, 'epoch': state.epoch - 1, 'metrics': state.metrics}
    if state.best_epoch in (None, state.epoch - 1):
        write_weights(folder / BEST, weights, info)
    write_weights(folder / LAST, weights, info)
    write_table(folder / RESULTS, state.history)
    write_curves(folder / CURVES, state.history)


def resume(state: TrainingState, folder: Path, info: dict[str, Any], world: World) -> bool:
    """Restore the state of an interrupted run; return whether there was one.

    Raises:
        UserError: it was started with other settings or other data.
    """
    if not (folder / RESUME).is_file():
        return False
    tensors, numbers = read_tensors(folder / RESUME)
    if numbers is None:
        raise UserError(f'{folder / RESUME} was not written by kd-yolo train; give another --out.')
    saved = {**Settings().to_dict(), **numbers['run']}  # a setting that came later: its default
    for name, value in info['run'].items():
        if saved.get(name) != value:
            raise UserError(
                f"the run in {folder} was started with another '{name}'; "
                'give another --out to start a new one.'
            )
    state.restore(tensors, numbers)
    if world.first:
        write_results(state, folder, info)
    return True


def _is_over(state: TrainingState, settings: Settings) -> bool:
    """Whether AP has not grown for as many epochs as the settings wait."""
    best = state.best_epoch
    return best is not None and state.epoch - 1 - best >= settings.patience


def _autocast(precision: str, device: torch.device) -> torch.autocast:
    dtype = AUTOCAST[precision]
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)
