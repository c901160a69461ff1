# SPDX-License-Identifier: Apache-2.0
"""What is noted of every finished step, and by it which steps have to run.

A step is finished when its command is the one that was noted, what it made is there, and so is
every step that it uses, none of them having run again since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kd_yolo_ros.metrics.report import new_report, write_json

from .recipe import OUT, Step

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
    uses = {name: (read_record(out, name) or {}).get('finished') for name in step.uses(earlier)}
    record = new_report(
        'recipe step',
        step=step.name,
        command=_command(step),
        uses=uses,
        seconds=round(seconds, 1),
        finished=time.time(),
    )
    write_json(_file(out, step.name), record)
    return record


def forget(out: Path, step: Step) -> None:
    """Remove what is noted of a step and what it reported, as it is about to run."""
    _file(out, step.name).unlink(missing_ok=True)
    report_file(out, step).unlink(missing_ok=True)


def pending(steps: Sequence[Step], out: Path) -> dict[str, str]:
    """Return the steps that have to run, by name, with the reason where they ran before."""
    reasons: dict[str, str] = {}
    for number, step in enumerate(steps):
        record = read_record(out, step.name)
        reason = _reason(step, steps[:number], record, reasons, out) if record else ''
        if reason is not None:
            reasons[step.name] = reason
    return reasons


def _reason(
    step: Step, earlier: Sequence[Step], record: Record, again: dict[str, str], out: Path
) -> str | None:
    if record['command'] != _command(step):
        return f'its command changed{_difference(record["command"], _command(step))}'
    for name in step.uses(earlier):
        finished = (read_record(out, name) or {}).get('finished')
        if name in again or record['uses'].get(name) != finished:
            return f'{name} is made anew'
    for output in step.outputs:
        if not Path(output.replace(OUT, str(out))).exists():
            return f'{output.replace(OUT, str(out))} is gone'
    return None


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


def _read(file: Path) -> Record | None:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
