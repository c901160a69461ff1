# SPDX-License-Identifier: Apache-2.0
"""What of a data set can be trained on, and a report of the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kd_yolo_ros.errors import UserError

from ..data.balance import class_counts
from ..data.check import check_pictures
from ..data.dataset import DataSet, Problem
from ..data.picture_size import picture_size
from .distributed import World
from .outlets import Outlets
from .run_folder import PROBLEMS, write_table


def usable(
    data: DataSet, folder: Path, stop: bool, outlets: Outlets, world: World | None = None
) -> DataSet:
    """Return the data set without what cannot be trained on, and report that by file.

    Args:
        data: as it was read; its problems count too.
        folder: where the report is written, a CSV for each data set.
        stop: raise instead of going on without the broken pictures.
        outlets: for progress and the summary.
        world: only its first process looks at the pictures.

    Raises:
        UserError: something is broken and `stop` is set, or nothing is left.
    """
    broken = [False] * len(data.pictures)
    report = folder / PROBLEMS
    if world is None or world.first:
        unreadable = check_pictures(data.pictures, outlets.progress)
        files = {problem.file for problem in unreadable}
        broken = [picture.file in files for picture in data.pictures]
        problems = [*data.problems, *unreadable]
        report.unlink(missing_ok=True)
        if problems:
            _report(data.description, problems, report, outlets)
    broken = world.agree(broken) if world else broken
    if stop and (any(broken) or data.problems):
        worst = next((p.file for p, bad in zip(data.pictures, broken, strict=True) if bad), None)
        raise UserError(
            f'{data.description} has problems, one in {worst or data.problems[0].file}; all are '
            f'listed in {report}: mend them, or go on without what is broken (--bad-data skip).'
        )
    pictures = [p for p, bad in zip(data.pictures, broken, strict=True) if not bad]
    if not pictures:
        raise UserError(f'{data.description} holds no picture that can be read.')
    if not class_counts(pictures, len(data.names)).any():
        raise UserError(f'{data.description} holds no labelled object.')
    sized = (p if p.size else replace(p, size=picture_size(p.file)) for p in pictures)
    return replace(data, pictures=tuple(sized))


def _report(name: str, problems: list[Problem], file: Path, outlets: Outlets) -> None:
    rows = [{'data': name, 'file': str(p.file), 'problem': p.what} for p in problems]
    write_table(file, rows)
    shown = ''.join(f'\n  {p.file.name}: {p.what}' for p in problems[:5])
    more = f'\n  and {len(problems) - 5} more' if len(problems) > 5 else ''
    outlets.say(f'{name}: {len(problems)} problems, listed in {file}{shown}{more}')
