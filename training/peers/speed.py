# SPDX-License-Identifier: Apache-2.0
"""Pictures per second of our training loop next to ultralytics', in alternating blocks.

Both load the same pictures, keep them in memory, augment them alike and step after each batch.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from kd_yolo_ros.metrics.report import write_json

from ..data.prepared import is_prepared
from ..data.read import read_dataset
from . import OURS, THEIRS
from .ours import train_ours
from .ultralytics import train_peer

BLOCK = 'block.json'
WARM_UP = 1  # epochs of each block that do not count: decoding, first-time work


@dataclass(frozen=True)
class Case:
    """One size of network on one size of picture."""

    size: str
    imgsz: int

    def __str__(self) -> str:
        return f'{self.size} {self.imgsz} px'


@dataclass(frozen=True)
class Load:
    """What each block does.

    Attributes:
        data: what `kd-yolo train --data` takes.
        batch: pictures of a step.
        epochs: of a block; the first of them does not count.
        threads: of the network.
        workers: of our loader; the peer has none on a CPU. None for our default.
    """

    data: Path
    batch: int
    epochs: int
    threads: int
    workers: int | None = None


@dataclass(frozen=True)
class Block:
    """What one process measured.

    Attributes:
        images_per_s: of each epoch that counts.
        busy_percent: of all cores, by others, just before it started.
    """

    images_per_s: tuple[float, ...]
    busy_percent: float


def measure(
    cases: Sequence[Case],
    load: Load,
    blocks: int,
    folder: Path,
    on_block: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Run every case `blocks` times with each trainer, each block in a process of its own.

    The trainers take turns, and which of them begins alternates, so that noise of the machine
    hits both alike. Finished blocks in `folder` are not repeated; half of one is.

    Args:
        cases: what is timed.
        load: what each block does.
        blocks: of each case and trainer.
        folder: of all blocks.
        on_block: called with the name of each block before it starts.

    Returns:
        Rows of `summary`.

    Raises:
        UserError: the data cannot be read, or a trainer failed.
    """
    done: dict[tuple[Case, str], list[Block]] = {}
    for number in range(blocks):
        for case in cases:
            for trainer in (OURS, THEIRS) if number % 2 == 0 else (THEIRS, OURS):
                on_block(f'{case} {trainer}')
                place = folder / f'{case.size}-{case.imgsz}' / f'{trainer}-{number}'
                block = _block(case, trainer, load, number, place)
                done.setdefault((case, trainer), []).append(block)
    return summary(done)


def summary(done: Mapping[tuple[Case, str], Sequence[Block]]) -> list[dict[str, Any]]:
    """Return a row for each case and trainer: pictures per second over all counted epochs.

    `ratio` stands in our rows: our median over the other's. `busy_percent` is how much of the
    machine others used before the worst block: figures from a busy machine are worth little.
    """
    rows = []
    for (case, trainer), blocks in sorted(done.items(), key=lambda item: str(item[0])):
        values = [rate for block in blocks for rate in block.images_per_s]
        p10, median, p90 = (float(v) for v in np.percentile(values, (10, 50, 90)))
        row: dict[str, Any] = {
            'case': str(case),
            'size': case.size,
            'imgsz': case.imgsz,
            'trainer': trainer,
            'median': median,
            'p10': p10,
            'p90': p90,
            'epochs': len(values),
            'busy_percent': max(block.busy_percent for block in blocks),
            'ratio': None,
        }
        other = [rate for block in done.get((case, THEIRS), ()) for rate in block.images_per_s]
        if trainer == OURS and other:
            row['ratio'] = median / float(np.median(other))
        rows.append(row)
    return rows


def _block(case: Case, trainer: str, load: Load, number: int, folder: Path) -> Block:
    """Run one block, unless it is there."""
    file = folder / BLOCK
    wanted = {
        'data': str(load.data.resolve()),
        **{k: v for k, v in vars(load).items() if k != 'data'},
    }
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = json.loads(file.read_text(encoding='utf-8'))
        if known['load'] == wanted:
            return Block(tuple(known['images_per_s']), known['busy_percent'])
    shutil.rmtree(folder, ignore_errors=True)  # the rest of an interrupted block
    busy = psutil.cpu_percent(interval=0.5)
    epoch_s = (_ours if trainer == OURS else _theirs)(case, load, number, folder)
    count = len(_fit(load.data).pictures)
    block = Block(tuple(count / seconds for seconds in epoch_s[WARM_UP:]), busy)
    write_json(file, {'load': wanted, **vars(block)})
    return block


def _ours(case: Case, load: Load, block: int, folder: Path) -> tuple[float, ...]:
    options = {
        'data': str(load.data.resolve()),
        'model': case.size,
        'imgsz': case.imgsz,
        'epochs': load.epochs,
        'batch': load.batch,
        'threads': load.threads,
        'seed': block,
        'nominal-batch': load.batch,
        'close-mosaic': 0,
        'autoanchor': False,
        'keep': True,
    }
    if load.workers is not None:
        options['workers'] = load.workers
    return train_ours(options, folder).epoch_s


def _theirs(case: Case, load: Load, block: int, folder: Path) -> tuple[float, ...]:
    run = train_peer(
        case.size,
        _fit(load.data),
        folder,
        imgsz=case.imgsz,
        epochs=load.epochs,
        batch=load.batch,
        threads=load.threads,
        seed=block,
        nbs=load.batch,
        optimizer='SGD',
        close_mosaic=0,
        cache=True,
        amp=False,
        deterministic=False,
    )
    return run.epoch_s


def _fit(data: Path) -> Any:
    return read_dataset(data, 'fit' if is_prepared(data) else None)
