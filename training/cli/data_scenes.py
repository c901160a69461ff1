# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data scenes`: generated street scenes in the layout of Cityscapes."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from kd_yolo_ros.cli.common import common_options, print_table, progress
from kd_yolo_ros.errors import UserError

from .picture_size import PictureSize


@click.command()
@click.option('--out', type=click.Path(path_type=Path), required=True, help='Folder to write.')
@click.option('--train', type=click.IntRange(min=0), default=2000, show_default=True)
@click.option('--val', type=click.IntRange(min=0), default=500, show_default=True)
@click.option('--size', type=PictureSize(), default='1024x512', show_default=True)
@click.option('--seed', type=int, default=0, show_default=True)
@click.option(
    '--sequences', type=click.IntRange(min=0), default=0, help='Drives with labels on every frame.'
)
@click.option('--frames', type=click.IntRange(min=1), default=30, show_default=True)
@click.option('--fps', type=click.FloatRange(min=1), default=17.0, show_default=True)
@click.option('--processes', type=click.IntRange(min=1), help='[default: the number of cores]')
@common_options
def scenes(
    out: Path,
    train: int,
    val: int,
    size: tuple[int, int],
    seed: int,
    sequences: int,
    frames: int,
    fps: float,
    processes: int | None,
    json_file: Path | None,
) -> None:
    """Generate labelled street scenes: the ten classes of Cityscapes, in its layout.

    They are drawn, not photographed, and no substitute for real data. The same command continues
    an interrupted run, or adds pictures where --train or --val grew.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

    from ..data.cityscapes import NAMES, find_frames, read_frame
    from ..data.scenes.write import plan, write
    from ..data.sheet import contact_sheet

    counts = {'train': train, 'val': val}
    jobs = plan(out, seed, counts, size, sequences, frames, fps)
    if not jobs:
        raise UserError('Nothing to generate: --train, --val and --sequences are all 0.')
    found: dict[str, Counter[str]] = {}
    pictures: Counter[str] = Counter()
    start = time.perf_counter()
    for job, labels in progress(write(jobs, processes), 'scenes', len(jobs)):
        where = 'sequences' if job.frames else job.split
        found.setdefault(where, Counter()).update(labels)
        pictures[where] += job.pictures
    seconds = time.perf_counter() - start
    if train or val:
        frames_made = find_frames(out, 'train' if train else 'val')[:200:23]
        labelled = [picture for picture, _ in map(read_frame, frames_made) if picture is not None]
        write_whole(out / 'scenes.png', contact_sheet(labelled, NAMES, 512)[0])
    rate = pictures.total() / seconds
    if json_file:
        write_json(
            json_file,
            new_report(
                'data scenes', seed=seed, size=list(size), pictures=pictures, objects=found,
                seconds=seconds, pictures_per_second=rate,
            ),
        )  # fmt: skip
    total = sum(found.values(), Counter())
    print_table(
        f'{out}: {pictures.total()} pictures in {seconds:.0f} s ({rate:.1f} per second)',
        ['label', *found],
        [['pictures', *(pictures[s] for s in found)]]
        + [[label, *(found[s][label] for s in found)] for label, _ in total.most_common()],
    )
