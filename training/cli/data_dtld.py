# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data dtld`: DriveU's traffic lights as tiles of 8 bits with two classes."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, progress
from kd_yolo_ros.errors import UserError

if TYPE_CHECKING:
    from ..data.dataset import Picture

SHARES = {'val': 0.2, 'select': 0.08, 'calibrate': 0.04}  # of all tiles, by whole routes
PICTURES = 'pictures'


@click.command()
@click.argument('root', type=EXISTING)
@click.option('--out', type=EXISTING, required=True, help='Folder of the prepared data set.')
@click.option('--labels', type=EXISTING, help='Label file; without, DTLD_all.json or .yml.')
@click.option(
    '--tile', type=click.IntRange(min=32), default=640, show_default=True, help='Side, in px.'
)
@click.option(
    '--overlap',
    type=click.FloatRange(0, 0.9),
    default=0.2,
    show_default=True,
    help='Share of a side that neighbouring tiles have in common.',
)
@click.option(
    '--background',
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help='Share of the tiles without a light that is kept.',
)
@common_options
def dtld(
    root: Path,
    out: Path,
    labels: Path | None,
    tile: int,
    overlap: float,
    background: float,
    json_file: Path | None,
) -> None:
    """Cut the pictures of ROOT, with City/Route/Sequence/, into tiles of 8 bits.

    Lights are relevant or not relevant. Whole routes go to fit, calibrate, select and val.
    Tiles that are there already are not made again, so an interrupted run goes on.
    """
    from ..data.dtld import NAMES, find_labels, read_labels
    from ..data.dtld_tiles import cut_frame
    from ..data.split import split_groups
    from .data_result import write_result

    file = labels or find_labels(root)
    frames, problems = read_labels(file)
    routes: dict[str, list[Picture]] = {}
    counts: Counter[str] = Counter()
    work = partial(
        cut_frame, root=root, folder=out / PICTURES, side=tile, overlap=overlap,
        background=background,
    )  # fmt: skip
    # Threads are enough: decoding and encoding do not hold the interpreter.
    executor = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        made = progress(executor.map(work, frames), 'dtld', len(frames))
        for frame, result in zip(frames, made, strict=True):
            problems += result.problems
            counts.update(result.counts)
            routes.setdefault(frame.route, []).extend(result.tiles)
    finally:
        executor.shutdown(cancel_futures=True)
    routes = {route: found for route, found in routes.items() if found}
    if not routes:
        first = f': {problems[0].file}: {problems[0].what}' if problems else ''
        raise UserError(f'none of the {len(frames)} pictures of {file} gave a tile{first}.')
    splits = split_groups(routes, SHARES)
    source = {
        'verb': 'dtld',
        'data': file.name,
        'tile': tile,
        'overlap': overlap,
        'background': background,
    }
    order = ('fit', 'calibrate', 'select', 'val')
    write_result(
        out, NAMES, out / PICTURES, {split: splits[split] for split in order}, source, problems,
        json_file, dict(counts),
    )  # fmt: skip
