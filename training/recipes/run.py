# SPDX-License-Identifier: Apache-2.0
"""Running a recipe: its steps one after another, the finished ones not again."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

from .copy import with_variables
from .headline import headline
from .nested import is_nested
from .process import run_command
from .recipe import Recipe, Step
from .records import (
    FOLDER,
    begin,
    folders_from_before,
    log_file,
    pending,
    read_record,
    read_report,
    report_file,
    write_record,
)

RECIPE = 'recipe.yaml'  # as it ran, for whoever finds the folder later
RESULT = 'recipe.json'


class StepFailed(Exception):
    """A step ended with another status than 0.

    Attributes:
        status: of its process.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Interrupted(Exception):
    """Ctrl-C in the middle of a step, whose process has ended too."""


def run_recipe(
    recipe: Recipe,
    out: Path,
    tell: Callable[[str], object],
    show: Callable[[bytes], object],
) -> dict[str, Any]:
    """Run every step that is not finished, and write `recipe.json`.

    Args:
        recipe: checked.
        out: its folder.
        tell: is given one line before each step.
        show: is given what the steps say.

    Returns:
        the report: name, variables and, for each step, seconds and its own report's headline.

    Raises:
        StepFailed: a step did; the following ones were not started.
        Interrupted: Ctrl-C.
        UserError: another process is at work in the folder.
        OSError: it cannot be written.
    """
    with _locked(out) as lock:
        plan = pending(recipe.steps, out)
        write_whole(out / RECIPE, with_variables(recipe.text, recipe.variables).encode())
        _tell_plan(recipe, plan, out, tell)
        for number, step in enumerate(recipe.steps):
            place = f'step {number + 1}/{len(recipe.steps)} {step.name}'
            if step.name not in plan:
                tell(f'{place}: finished before')
                continue
            line = f'{place}: kd-yolo {shlex.join(step.command(out))}'
            tell(line)
            spent = begin(out, step)
            with open(log_file(out, step), 'a', encoding='utf-8') as log:
                log.write(f'{line}\n')
            seconds = spent + _run_step(step, place, out, show, lock)
            if is_nested(step):  # the steps that it did not repeat cost something as well
                inner = (read_report(out, step) or {}).get('steps', [])
                seconds = sum(row['seconds'] for row in inner) or seconds
            write_record(out, step, recipe.steps[:number], seconds)
        report = new_report(
            'recipe',
            name=recipe.name,
            variables=recipe.variables,
            steps=[_row(step, out, step.name in plan) for step in recipe.steps],
        )
        write_json(out / RESULT, report)
    return report


def _run_step(step: Step, place: str, out: Path, show: Callable, lock: int) -> float:
    """Run one step and return its seconds; raise where it does not succeed."""
    log = log_file(out, step)
    # A recipe that it runs names its own.
    before = [] if is_nested(step) else [made for made in step.made(out) if Path(made).exists()]
    command = step.command(out)
    if '--json' not in step.words:
        command += ['--json', str(report_file(out, step))]
    start = time.perf_counter()
    try:
        status, line = run_command(command, log, show, lock)
    except KeyboardInterrupt:
        raise Interrupted(f'Interrupted in {place}; the same command goes on there.') from None
    if status:
        hint = ''
        if before:
            hint = f' {", ".join(before)} is from before: move it away to have it made anew.'
        raise StepFailed(f'{place} failed with status {status}: {line} (log: {log}){hint}', status)
    return time.perf_counter() - start


def _tell_plan(
    recipe: Recipe, plan: Mapping[str, str], out: Path, tell: Callable[[str], object]
) -> None:
    again = {name: reason for name, reason in plan.items() if reason}
    if again:
        tell('These steps were finished and run again:')
        for name, reason in again.items():
            tell(f'  {name}: {reason}')
    folders = folders_from_before(recipe.steps, out)
    if folders:
        tell('These folders are from before; where a verb does not go over one, move it away:')
        tell(f'  {shlex.join(folders)}')


def _row(step: Step, out: Path, ran: bool) -> dict[str, Any]:
    record, report = read_record(out, step.name) or {}, read_report(out, step) or {}
    return {
        'step': step.name,
        'seconds': record.get('seconds'),
        'ran_now': ran,
        'result': headline(report),
    }


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[int]:
    """Keep others out of the folder while this process, or a step that it left, is at work."""
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    with open(out / FOLDER / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f'{out} is in use by another `kd-yolo recipe run`, or by a step that one left '
                f'when it was killed; wait until that has ended.'
            ) from None
        yield file.fileno()
