# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo bench-training`: the speed of our training loop next to ultralytics'."""

from __future__ import annotations

import os
from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, print_table, progress

from .requirements import needs

BUSY_PERCENT = 10  # by others, from which on a timing is not to be trusted


@needs('torch', 'ultralytics', 'safetensors', 'scipy')
@click.command('bench-training')
@click.option('--data', type=EXISTING, help='A prepared data set.  [default: generated scenes]')
@click.option(
    '--model',
    'sizes',
    type=click.Choice(list('nsmlx')),
    multiple=True,
    default=('n', 's'),
    show_default=True,
    help='Size of the network; may be given several times.',
)
@click.option(
    '--imgsz',
    'sides',
    type=click.IntRange(min=32),
    multiple=True,
    default=(320, 640),
    show_default=True,
    help='Side of the input; may be given several times.',
)
@click.option('--batch', type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    '--pictures',
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help='How many to generate; best a multiple of the batch.',
)
@click.option(
    '--epochs',
    type=click.IntRange(min=2),
    default=4,
    show_default=True,
    help='Of each block; the first does not count.',
)
@click.option('--blocks', type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    '--threads', type=click.IntRange(min=1), help='Of the network, both alike.  [default: cores]'
)
@click.option(
    '--workers',
    type=click.IntRange(min=0),
    help="Of our loader; ultralytics' has none on a CPU.  [default: that of kd-yolo train]",
)
@click.option(
    '--out',
    type=EXISTING,
    default='runs/bench-training',
    show_default=True,
    help='Folder for the figures and all blocks; finished blocks are not repeated.',
)
@common_options
def bench_training(
    data: Path | None,
    sizes: tuple[str, ...],
    sides: tuple[int, ...],
    batch: int,
    pictures: int,
    epochs: int,
    blocks: int,
    threads: int | None,
    workers: int | None,
    out: Path,
    json_file: Path | None,
) -> None:
    """Time `kd-yolo train` against ultralytics' trainer of its YOLOv5u, block by block.

    Same pictures (kept in memory), batch, augmentation, precision (fp32) and threads; loading
    is counted, evaluation is not.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

    from ..peers.pictures import timing_pictures
    from ..peers.plots import speed_plot
    from ..peers.speed import Case, Load, measure

    load = Load(
        data or timing_pictures(out / f'scenes-{pictures}', pictures, progress=progress),
        batch,
        epochs,
        threads or len(os.sched_getaffinity(0)),
        workers,
    )
    cases = [Case(size, side) for size in sizes for side in sides]
    bar = progress(range(len(cases) * blocks * 2), 'blocks', len(cases) * blocks * 2)
    steps = iter(bar)

    def on_block(name: str) -> None:
        next(steps)
        bar.set_postfix_str(name, refresh=False)

    with bar:
        rows = measure(cases, load, blocks, out, on_block)
    report = new_report(
        'bench-training',
        data=data.name if data else f'{pictures} generated scenes',
        batch=batch,
        threads=load.threads,
        workers=workers,
        blocks=blocks,
        epochs_of_a_block=epochs,
        results=rows,
    )
    write_json(out / 'bench-training.json', report)
    if json_file:
        write_json(json_file, report)
    below = f'batch {batch} · {load.threads} threads · {report["host"]["cpu"]}'
    write_whole(out / 'bench-training.png', speed_plot(rows, below))
    print_table(
        f'Pictures per second, median of epochs; {below}',
        ['network', 'trainer', 'pictures/s', 'p10', 'p90', 'ratio', 'epochs'],
        [
            [r['case'], r['trainer'], r['median'], r['p10'], r['p90'], r['ratio'], r['epochs']]
            for r in rows
        ],
    )
    busy = max(row['busy_percent'] for row in rows)
    if busy > BUSY_PERCENT:
        click.echo(f'Others used up to {busy:.0f} % of the machine: measure again when it idles.')
    click.echo(f'Figures and picture: {out}')
