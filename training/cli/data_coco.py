# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data coco`: a COCO instances json as a prepared data set."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options
from kd_yolo_ros.errors import UserError

from .data_shares import share_options


@click.command()
@click.argument('file', type=EXISTING, metavar='JSON')
@click.option('--images', type=EXISTING, help='Its pictures; without, images/ beside it.')
@click.option('--out', type=EXISTING, required=True, help='Folder of the prepared data set.')
@share_options
@common_options
def coco(
    file: Path,
    images: Path | None,
    out: Path,
    select: float,
    calibrate: float,
    val: float,
    group_by: str | None,
    json_file: Path | None,
) -> None:
    """Split a COCO instances JSON into a prepared data set; pictures stay where they are."""
    from kd_yolo_ros.metrics.dataset import coco_images

    from ..data.coco import read_coco
    from ..data.prepared import SPLITS
    from .data_shares import split_and_write

    if file.resolve().parent == out.resolve() and file.stem in SPLITS:
        raise UserError(f'{file} would be overwritten; name another folder.')
    images = images or coco_images(file)
    split_and_write(
        read_coco(file, images), images, out, 'coco', file.name,
        select=select, calibrate=calibrate, val=val, group_by=group_by, json_file=json_file,
    )  # fmt: skip
