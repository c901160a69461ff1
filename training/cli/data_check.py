# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data check`: names every bad label and picture of a data set."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, print_table, progress
from kd_yolo_ros.errors import UserError

SHOWN = 100  # problems that somebody may still read on a terminal


@click.command()
@click.argument('data', type=EXISTING)
@click.option('--split', help='Only this split of a prepared data set.')
@common_options
def check(data: Path, split: str | None, json_file: Path | None) -> None:
    """Read all labels of DATA and decode all its pictures; exit 1 where something is wrong.

    DATA is a prepared data set, a COCO json or a YOLO folder.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json

    from ..data.check import check_pictures
    from ..data.prepared import is_prepared, read_prepared
    from ..data.read import read_dataset

    every = [split] if split or not is_prepared(data) else list(read_prepared(data).splits)
    problems, pictures, objects = [], 0, 0
    for name in every:
        found = read_dataset(data, name)
        pictures += len(found.pictures)
        objects += sum(len(picture.boxes) for picture in found.pictures)
        problems += [*found.problems, *check_pictures(found.pictures, progress)]
    rows = [[str(problem.file), problem.what] for problem in problems]
    if json_file:
        report = new_report(
            'data check',
            data=data.name,
            pictures=pictures,
            objects=objects,
            problems=[{'file': file, 'what': what} for file, what in rows],
        )
        write_json(json_file, report)
    if not problems:
        click.echo(f'{data}: {pictures} pictures with {objects} objects, nothing wrong.')
        return
    print_table(f'Problems of {data}', ['file', 'what'], rows[:SHOWN])
    if len(rows) > SHOWN:
        click.echo(f'… and {len(rows) - SHOWN} more; --json FILE writes them all.')
    raise UserError(
        f'{len(problems)} problems in {data} ({pictures} pictures with {objects} objects).'
    )
