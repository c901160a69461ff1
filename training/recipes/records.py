# SPDX-License-Identifier: Apache-2.0
"""What is noted of every finished step, and by it which steps have to run.

A step is finished when its command is the one that was noted, what it made is there, and so is
every step that it uses, none of them having run again since; so is every step of a recipe that it
runs. What it reads outside of the recipe's folder counts where a step of another recipe made it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kd_yolo_ros.metrics.report import new_report, write_json

from .nested import is_nested, nested
from .recipe import OUT, Step, overlap, within

FOLDER = 'steps'

Record = dict[str, Any]


def log_file(out: Path, step: Step) -> Path:
    """Return where everything goes that a step says."""
    return out / FOLDER / f'{step.name}.log'


def report_file(out: Path, step: Step) -> Path:
    """Return where a step's own report goes, that of its --json."""
    return out / FOLDER / f'{step.name}.report.json'


def read_record(out: Path, name: str) -> Record | None:
    """Return what is noted of a step; None where nothing is, or what is there is damaged."""
    record = _read(_file(out, name))
    return record if record and {'command', 'uses', 'finished'} <= record.keys() else None


def read_report(out: Path, step: Step) -> Record | None:
    """Return a step's own report, or None."""
    return _read(report_file(out, step))


def write_record(out: Path, step: Step, earlier: Sequence[Step], seconds: float) -> Record:
    """Note that a step has finished now, and return what was noted."""
    uses = {name: _finished(out, name) for name in step.uses(earlier)}
    record = new_report(
        'recipe step',
        step=step.name,
        command=_command(step),
        uses=uses,
        outside=_outside(step, out),
        seconds=round(seconds, 1),
        finished=time.time(),
    )
    write_json(_file(out, step.name), record)
    _attempt_file(out, step).unlink(missing_ok=True)
    return record


def begin(out: Path, step: Step) -> float:
    """Remove what is noted of a step and what it reported, as it is about to run.

    Returns:
        seconds of earlier attempts at the same command that did not finish.
    """
    _file(out, step.name).unlink(missing_ok=True)
    report_file(out, step).unlink(missing_ok=True)
    spent, file, log = 0.0, _attempt_file(out, step), log_file(out, step)
    earlier = _read(file) or {}
    if earlier.get('command') == _command(step) and log.is_file():
        # Until it said its last: of a kill nobody can take note.
        spent = earlier['spent'] + max(0.0, log.stat().st_mtime - earlier['began'])
    write_json(file, {'command': _command(step), 'spent': spent, 'began': time.time()})
    return spent


def pending(steps: Sequence[Step], out: Path, anew: Sequence[str] = ()) -> dict[str, str]:
    """Return the steps that have to run, by name, with the reason where they ran before.

    Args:
        steps: of a recipe.
        out: its folder.
        anew: what will have been made anew, outside of it, until they run.

    Raises:
        UserError: a step's recipe, that ran before, cannot be read any more.
    """
    reasons: dict[str, str] = {}
    for number, step in enumerate(steps):
        record = read_record(out, step.name)
        reason = _reason(step, steps[:number], record, reasons, out, anew) if record else ''
        if reason is not None:
            reasons[step.name] = reason
    return reasons


def folders_from_before(steps: Sequence[Step], out: Path, anew: Sequence[str] = ()) -> list[str]:
    """Return the folders that are there of steps that finished and have to run again.

    Args: as of `pending`; of a step that runs a recipe it is the folders of that one's steps.
    """
    plan = pending(steps, out, anew)
    run = [step for step in steps if step.name in plan]
    anew = [*anew, *(made for step in run for made in step.made(out))]
    folders: list[str] = []
    for step in run:
        if is_nested(step):
            recipe, folder = nested(step, out)
            folders += folders_from_before(recipe.steps, folder, anew)
        elif plan[step.name]:
            folders += [made for made in step.made(out) if Path(made).is_dir()]
    return folders


def _reason(
    step: Step,
    earlier: Sequence[Step],
    record: Record,
    again: dict[str, str],
    out: Path,
    anew: Sequence[str],
) -> str | None:
    if record['command'] != _command(step):
        return f'its command changed{_difference(record["command"], _command(step))}'
    for name in step.uses(earlier):
        if name in again or record['uses'].get(name) != _finished(out, name):
            return f'{name} is made anew'
    outside = _outside(step, out)
    noted = record.get('outside', outside)
    for path in step.inputs:
        if noted.get(path) != outside.get(path) or any(overlap(path, made) for made in anew):
            return f'{path} is made anew'
    for made in step.made(out):
        if not Path(made).exists():
            return f'{made} is gone'
    if is_nested(step):
        recipe, folder = nested(step, out)
        for name, reason in pending(recipe.steps, folder).items():
            return f'{name} in it{": " * bool(reason)}{reason or " is to do"}'
    return None


def _outside(step: Step, out: Path) -> dict[str, float]:
    """Return when other recipes' steps made what a step reads, by its path."""
    found = {}
    for path in step.inputs:
        if OUT in path or not os.path.exists(path):
            continue
        for folder in Path(os.path.abspath(path)).parents:
            makers = _makers(path, folder) if folder != Path(os.path.abspath(out)) else []
            if makers:
                found[path] = max(makers)
                break
    return found


def _makers(path: str, folder: Path) -> list[float]:
    """Return when steps that made a path finished, of the recipe of that folder."""
    times = []
    for file in folder.glob(f'{FOLDER}/*.json'):
        record = read_record(folder, file.stem)
        if record:
            made = Step(file.stem, '', tuple(record['command'])).made(folder)
            if any(within(os.path.abspath(path), os.path.abspath(one)) for one in made):
                times.append(record['finished'])
    return times


def _finished(out: Path, name: str) -> float | None:
    return (read_record(out, name) or {}).get('finished')


def _command(step: Step) -> list[str]:
    return [*step.verb.split(), *step.words]


def _difference(old: Sequence[str], new: Sequence[str]) -> str:
    """Return ': was --epochs 20, is --epochs 30', of the options that differ."""
    one, other = _options(old), _options(new)
    gone = ' '.join(option for option in one if option not in other)
    came = ' '.join(option for option in other if option not in one)
    parts = [f'was {gone}'] * bool(gone) + [f'is {came}'] * bool(came)
    return f': {", ".join(parts)}' if parts else ''


def _options(words: Sequence[str]) -> list[str]:
    """Join every option with its value."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith('--') and not word.startswith('--'):
            joined[-1] += f' {word}'
        else:
            joined.append(word)
    return joined


def _file(out: Path, name: str) -> Path:
    return out / FOLDER / f'{name}.json'


def _attempt_file(out: Path, step: Step) -> Path:
    return out / FOLDER / f'.{step.name}.attempt'


def _read(file: Path) -> Record | None:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
