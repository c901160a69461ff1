# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data export`: a split as a YOLO folder or a COCO json, for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, progress
from kd_yolo_ros.errors import UserError

from .data_shares import refuse_itself, with_sizes


@click.command()
@click.argument('data', type=EXISTING)
@click.option('--split', help='Which split of a prepared data set.')
@click.option('--out', type=EXISTING, required=True, help='The new folder.')
@click.option(
    '--format', 'form', type=click.Choice(['yolo', 'coco']), default='yolo', show_default=True
)
@click.option(
    '--pictures',
    'how',
    type=click.Choice(['symlink', 'hardlink', 'copy']),
    default='symlink',
    show_default=True,
    help='How the pictures get into images/.',
)
@common_options
def export(
    data: Path, split: str | None, out: Path, form: str, how: str, json_file: Path | None
) -> None:
    """Write a split of DATA as images/ and labels/ (yolo) or images/ and instances.json (coco).

    YOLO rows are polygons where an object has one outline, else boxes; the form knows no crowd
    regions.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json

    from ..data.export import export as write
    from ..data.read import read_dataset

    refuse_itself(data, out)
    found = read_dataset(data, split)
    pictures, problems = with_sizes(found.pictures) if form == 'coco' else (found.pictures, [])
    if not pictures:
        raise UserError(f'none of the pictures of {data} can be read.')
    write(pictures, found.names, out, form, how, progress)
    objects = sum(len(picture.boxes) for picture in pictures)
    crowd = sum(int(picture.crowd.sum()) for picture in pictures)
    if json_file:
        report = new_report(
            'data export', data=found.description, format=form, pictures=len(pictures),
            objects=objects, crowd=crowd,
            problems=[[str(p.file), p.what] for p in (*found.problems, *problems)],
        )  # fmt: skip
        write_json(json_file, report)
    lost = f'; {crowd} crowd regions left out' if crowd and form == 'yolo' else ''
    click.echo(f'{out}: {len(pictures)} pictures, {objects} objects as {form}{lost}.')
