# SPDX-License-Identifier: Apache-2.0
"""What `data yolo` and `data coco` share: how a set without splits is split."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kd_yolo_ros.cli.common import progress
from kd_yolo_ros.errors import UserError

if TYPE_CHECKING:
    from ..data.dataset import DataSet, Picture, Problem

SHARE = click.FloatRange(0, 1)


def comma_separated(
    _: click.Context, __: click.Parameter, value: str | list[str] | None
) -> tuple[str, ...]:
    """Return the parts of `a,b,c` (or of a config file's list) without spaces around them."""
    parts = value.split(',') if isinstance(value, str) else value or ()
    return tuple(str(part).strip() for part in parts if str(part).strip())


def names_option(command: Callable) -> Callable:
    """Add --names: the classes where the data set does not name them."""
    return click.option(
        '--names', callback=comma_separated, help='Class names in order: green,red,yellow.'
    )(command)


def share_options(command: Callable) -> Callable:
    """Add --select, --calibrate, --val and --group-by."""
    command = click.option(
        '--group-by',
        metavar='REGEX',
        help='Pictures with the same first group in their names stay together: "(.*)\\.rf\\."',
    )(command)
    command = click.option(
        '--val', type=SHARE, default=0, show_default=True, help='Share only to be reported on.'
    )(command)
    command = click.option(
        '--calibrate',
        type=SHARE,
        default=0.05,
        show_default=True,
        help='Share of what is not val for INT8 calibration.',
    )(command)
    return click.option(
        '--select',
        type=SHARE,
        default=0.1,
        show_default=True,
        help='Share of what is not val for every choice, as early stopping.',
    )(command)


def split_and_write(
    data: DataSet,
    images: Path,
    out: Path,
    verb: str,
    name: str,
    *,
    select: float,
    calibrate: float,
    val: float,
    group_by: str | None,
    json_file: Path | None,
) -> None:
    """Split a data set by the shares and write it as a prepared one.

    Where all its pictures lie in train/, val/ and test/, val stays val, test is left out, and
    train is split.

    Raises:
        UserError: the shares or the expression are wrong, or there is nothing to write.
    """
    from ..data.split import group_by as group
    from ..data.split import official_split, split_groups
    from .data_result import write_result

    pictures, problems = with_sizes(data.pictures)
    by_name = {os.path.relpath(picture.file, images): picture for picture in pictures}
    official = official_split(by_name)
    if official:
        if val:
            raise UserError(f'{images} has a val/ of its own; leave --val away.')
        by_name = official['train']
    rest = 1 - val
    shares = {'val': val, 'select': rest * select, 'calibrate': rest * calibrate}
    splits = split_groups(group(by_name, group_by), shares)
    if official:
        splits['val'] = list(official['val'].values())
    source = {
        'verb': verb,
        'data': name,
        'val': val,
        'select': select,
        'calibrate': calibrate,
        'group_by': group_by,
        'official_val': official is not None,
    }
    order = ('fit', 'calibrate', 'select', 'val')
    write_result(
        out,
        data.names,
        images,
        {split: splits[split] for split in order},
        source,
        [*data.problems, *problems],
        json_file,
    )


def refuse_itself(data: Path, out: Path) -> None:
    """Raise UserError where the new folder is that of the data set which is read."""
    folder = data if data.is_dir() else data.parent
    if folder.resolve() == out.resolve():
        raise UserError(f'{out} is the data set itself; name another folder.')


def with_sizes(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Problem]]:
    """Return the pictures with their sizes, and what was wrong with those that have none."""
    from ..data.dataset import Problem
    from ..data.picture_size import picture_size

    sized, problems = [], []
    for picture in progress(pictures, 'read sizes', len(pictures)):
        if picture.size is None:
            try:
                picture = dataclasses.replace(picture, size=picture_size(picture.file))
            except UserError as error:
                problems.append(Problem(picture.file, f'{error} It is left out.'))
                continue
        sized.append(picture)
    return sized, problems
