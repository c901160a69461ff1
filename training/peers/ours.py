# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo train` in a process of its own, for a comparison with another trainer."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_whole

from ..engine.run_folder import LAST, RESULTS

LOG = 'train.log'
RUN = 'run'  # the folder of the run itself, beside its recipe and log


@dataclass(frozen=True)
class OurRun:
    """What a finished run gave.

    Attributes:
        weights: its averaged weights after the last epoch.
        epoch_s: duration of each epoch without its evaluation, seconds.
    """

    weights: Path
    epoch_s: tuple[float, ...]


def train_ours(
    options: Mapping[str, Any], folder: Path, on_epoch: Callable[[int], None] | None = None
) -> OurRun:
    """Run `kd-yolo train` with options by name, and without evaluation between the epochs.

    A run that was interrupted goes on, a finished one is returned.

    Args:
        options: of the verb, as in its --config; `epochs` among them.
        folder: of the run.
        on_epoch: called with the number of finished epochs.

    Raises:
        UserError: the folder holds another run, or it failed; the message names its log.
    """
    epochs = int(options['epochs'])
    recipe, content = folder / 'recipe.yaml', {**options, 'eval': False}
    if recipe.is_file() and yaml.safe_load(recipe.read_text(encoding='utf-8')) != content:
        raise UserError(f'{folder} holds a run with other options or data; name another folder.')
    if len(_epoch_s(folder)) < epochs:
        write_whole(recipe, yaml.safe_dump(content).encode())
        _run(['--config', str(recipe), '--out', str(folder / RUN)], folder, on_epoch)
    elif on_epoch is not None:
        on_epoch(epochs)
    return OurRun(folder / RUN / LAST, _epoch_s(folder))


def _epoch_s(folder: Path) -> tuple[float, ...]:
    try:
        with open(folder / RUN / RESULTS, newline='', encoding='utf-8') as file:
            return tuple(float(row['train_s']) for row in csv.DictReader(file))
    except FileNotFoundError:
        return ()


def _run(arguments: list[str], folder: Path, on_epoch: Callable[[int], None] | None) -> None:
    command = [sys.executable, '-m', 'kd_yolo_ros.cli.main', 'train', *arguments]
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    with (
        open(folder / LOG, 'w', encoding='utf-8') as log,
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                if on_epoch is not None:
                    on_epoch(len(_epoch_s(folder)))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        lines = (folder / LOG).read_text(encoding='utf-8', errors='replace').strip().splitlines()
        raise UserError(
            f'kd-yolo train ended with status {process.returncode} '
            f'({lines[-1] if lines else "no output"}); all it said is in {folder / LOG}.'
        )
