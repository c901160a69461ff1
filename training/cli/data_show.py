# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data show`: a contact sheet of labelled pictures."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options


@click.command()
@click.argument('data', type=EXISTING)
@click.option('--split', help='Which split of a prepared data set.')
@click.option('--out', type=EXISTING, required=True, help='The PNG to write.')
@click.option('--count', type=click.IntRange(1, 400), default=16, show_default=True)
@click.option('--seed', type=int, default=0, show_default=True, help='Draws the pictures.')
@click.option(
    '--width',
    type=click.IntRange(64, 4096),
    default=480,
    show_default=True,
    help='Of each picture, in px.',
)
@common_options
def show(
    data: Path,
    split: str | None,
    out: Path,
    count: int,
    seed: int,
    width: int,
    json_file: Path | None,
) -> None:
    """Draw some pictures of DATA with their boxes, outlines and classes into one PNG.

    Crowd regions are drawn in grey.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

    from ..data.read import read_dataset
    from ..data.sheet import contact_sheet
    from ..data.subset import draw

    found = read_dataset(data, split)
    pictures = draw(found.pictures, count, seed)
    png, shown = contact_sheet(pictures, found.names, width)
    write_whole(out, png)
    if json_file:
        report = new_report('data show', data=found.description, pictures=shown, seed=seed)
        write_json(json_file, report)
    click.echo(f'{out}: {len(shown)} of {len(found.pictures)} pictures of {found.description}.')
