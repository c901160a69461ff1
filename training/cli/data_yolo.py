# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data yolo`: a YOLO folder as a prepared data set."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options

from .data_shares import names_option, share_options


@click.command()
@click.argument('folder', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the prepared data set.')
@names_option
@share_options
@common_options
def yolo(
    folder: Path,
    out: Path,
    names: tuple[str, ...],
    select: float,
    calibrate: float,
    val: float,
    group_by: str | None,
    json_file: Path | None,
) -> None:
    """Split FOLDER, with images/ and labels/, into a prepared data set; pictures stay there."""
    from ..data.yolo import read_yolo
    from .data_shares import split_and_write

    data = read_yolo(folder, names or None)
    split_and_write(
        data, folder / 'images', out, 'yolo', folder.resolve().name,
        select=select, calibrate=calibrate, val=val, group_by=group_by, json_file=json_file,
    )  # fmt: skip
