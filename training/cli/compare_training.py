# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo compare-training`: fine-tuning here and with ultralytics' trainer, side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, print_table, progress
from kd_yolo_ros.errors import UserError

from .requirements import needs


@needs('torch', 'ultralytics', 'safetensors', 'scipy', 'onnxruntime')
@click.command('compare-training')
@click.option('--data', type=EXISTING, required=True, help='A prepared data set; fit is used.')
@click.option(
    '--reported',
    type=EXISTING,
    required=True,
    help='A prepared data set (its val split), COCO json or YOLO folder to measure AP on.',
)
@click.option('--weights', type=EXISTING, required=True, help='YOLOv5 checkpoint to start from.')
@click.option('--epochs', type=click.IntRange(min=1), default=15, show_default=True)
@click.option('--imgsz', type=click.IntRange(min=32), default=320, show_default=True)
@click.option('--batch', type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    '--seed',
    'seeds',
    type=int,
    multiple=True,
    default=(0,),
    show_default=True,
    help='Of a run of each trainer; may be given several times.',
)
@click.option(
    '--threads', type=click.IntRange(min=1), help='Of the network, both alike.  [default: cores]'
)
@click.option('--ours', type=EXISTING, help='YAML: more options of kd-yolo train, by name.')
@click.option('--theirs', type=EXISTING, help='YAML: more options of ultralytics, by its names.')
@click.option(
    '--out',
    type=EXISTING,
    default='runs/compare-training',
    show_default=True,
    help='Folder for the figures and all runs; goes on with what is there.',
)
@common_options
def compare_training(
    data: Path,
    reported: Path,
    weights: Path,
    epochs: int,
    imgsz: int,
    batch: int,
    seeds: tuple[int, ...],
    threads: int | None,
    ours: Path | None,
    theirs: Path | None,
    out: Path,
    json_file: Path | None,
) -> None:
    """Fine-tune from one trunk with both trainers and measure both with our evaluator.

    Both have the same pictures, epochs, batch and input, and otherwise their own defaults; AP is
    that of the averaged weights after the last epoch, which were chosen on nothing.
    """
    from kd_yolo_ros.metrics.report import new_report, write_json, write_whole

    from ..data.prepared import is_prepared
    from ..data.read import read_dataset
    from ..peers.accuracy import Task, compare, means
    from ..peers.plots import accuracy_plot

    task = Task(
        data=data,
        reported=read_dataset(reported, 'val' if is_prepared(reported) else None),
        weights=weights,
        epochs=epochs,
        batch=batch,
        imgsz=imgsz,
        threads=threads or len(os.sched_getaffinity(0)),
        ours=_options(ours),
        theirs=_options(theirs),
    )
    bar = progress(range(0), 'compare', 2 * len(seeds) * 100)  # percent of each run
    percent: dict[str, int] = {}

    def on_step(name: str, done: int, total: int) -> None:
        percent[name] = 100 * done // total
        bar.set_postfix_str(f'{name}, {done} of {total}', refresh=False)
        bar.update(sum(percent.values()) - bar.n)

    with bar:
        rows = compare(task, seeds, out, on_step)
    report = new_report(
        'compare-training',
        data=data.name,
        reported=task.reported.description,
        weights=weights.name,
        epochs=epochs,
        imgsz=imgsz,
        batch=batch,
        threads=task.threads,
        results=rows,
    )
    write_json(out / 'compare-training.json', report)
    if json_file:
        write_json(json_file, report)
    below = f'{task.reported.description} · {epochs} epochs · {imgsz} px · batch {batch}'
    write_whole(out / 'compare-training.png', accuracy_plot(rows, below))
    names = task.reported.names
    shown = rows if len(seeds) == 1 else [*rows, *means(rows)]
    print_table(
        f'AP50-95 after training; {below}',
        ['trainer', 'seed', 'AP50-95', 'AP50', *names, 'pictures/s', 'train s'],
        [
            [
                row['trainer'],
                row['seed'],
                row['map50_95'],
                row['map50'],
                *(row['per_class'][name]['map50_95'] for name in names),
                row['images_per_s'],
                row['train_s'],
            ]
            for row in shown
        ],
    )
    click.echo(f'Figures and picture: {out}')


def _options(file: Path | None) -> dict[str, Any]:
    """Read a YAML file of options; none where there is no file."""
    if file is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8')) or {}
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f'{file} is not readable YAML ({str(error).splitlines()[0]}).') from None
    if not isinstance(content, dict):
        raise UserError(f'{file} is not a mapping of option names to values.')
    return content
