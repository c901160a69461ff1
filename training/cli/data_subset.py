# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data subset`: fewer pictures or fewer classes of a split."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options
from kd_yolo_ros.errors import UserError

from .data_shares import comma_separated, refuse_itself, with_sizes


@click.command()
@click.argument('data', type=EXISTING)
@click.option('--split', help='Which split of a prepared data set; the result has only it.')
@click.option('--out', type=EXISTING, required=True, help='Folder of the new data set.')
@click.option('--first', type=click.IntRange(min=1), help='Keep the first so many pictures.')
@click.option('--random', 'count', type=click.IntRange(min=1), help='Keep so many, drawn.')
@click.option('--seed', type=int, default=0, show_default=True, help='Of --random.')
@click.option('--classes', callback=comma_separated, help='Keep pictures with one of these.')
@click.option('--only-classes', is_flag=True, help='Drop all other classes and their labels.')
@common_options
def subset(
    data: Path,
    split: str | None,
    out: Path,
    first: int | None,
    count: int | None,
    seed: int,
    classes: tuple[str, ...],
    only_classes: bool,
    json_file: Path | None,
) -> None:
    """Write some pictures of DATA as a prepared data set; the pictures stay where they are.

    --classes applies first, then --first or --random.
    """
    from ..data.read import read_dataset
    from ..data.subset import common_folder, draw, with_classes
    from .data_result import write_result

    if first and count:
        raise UserError('--first and --random cannot go together; use one of them.')
    if only_classes and not classes:
        raise UserError('--only-classes needs --classes.')
    refuse_itself(data, out)
    found = read_dataset(data, split)
    pictures, names = found.pictures, found.names
    if classes:
        pictures, names = with_classes(pictures, names, classes, only_classes)
    if first:
        pictures = pictures[:first]
    if count:
        pictures = draw(pictures, count, seed)
    if not pictures:
        raise UserError(f'{data} has no picture with {", ".join(classes)}.')
    sized, problems = with_sizes(pictures)
    source = {
        'verb': 'subset',
        'data': found.description,
        'first': first,
        'random': count,
        'seed': seed if count else None,
        'classes': list(classes),
        'only_classes': only_classes,
    }
    problems = [*found.problems, *problems]
    folder = common_folder(pictures)
    write_result(out, names, folder, {split or 'fit': sized}, source, problems, json_file)
