# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo train`: labelled pictures become a trained detector, with masks or without."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from kd_yolo_ros.cli.common import (
    EXISTING,
    check_out,
    common_options,
    print_table,
    progress,
    read_config,
)
from kd_yolo_ros.errors import UserError

from ..engine.settings import Settings, setting_fields
from .requirements import needs

MASK_TITLES = {'mask_map50_95': 'mask AP50-95', 'mask_map50': 'mask AP50'}
_TYPES = {'int': int, 'int | None': int, 'float': float, 'float | None': float, 'str': str}


def setting_options(command: Callable) -> Callable:
    """Add an option for every setting, with its default and its choices."""
    for field in reversed(setting_fields()):
        name = field.name.replace('_', '-')
        if field.type == 'bool':
            option = click.option(
                f'--{name}/--no-{name}',
                default=field.default,
                show_default=True,
                help=field.metadata['help'],
            )
        else:
            choices = field.metadata.get('choices')
            option = click.option(
                f'--{name}',
                type=click.Choice(choices) if choices else _TYPES[field.type],
                default=field.default,
                show_default=field.default is not None,
                help=field.metadata['help'],
            )
        command = option(command)
    return command


def _resume(ctx: click.Context, param: click.Parameter, folder: Path | None) -> None:
    """Take all options from the run that is to go on."""
    if folder is None:
        return
    from ..engine.run_folder import SETTINGS, read_settings

    read_settings(folder)
    read_config(ctx, param, folder / SETTINGS)
    ctx.default_map = {**(ctx.default_map or {}), 'out': folder}


@needs('torch', 'ultralytics', 'safetensors', 'scipy')
@click.command()
@click.option(
    '--data',
    type=EXISTING,
    required=True,
    help='A prepared data set (its fit and select splits), a COCO json or a YOLO folder.',
)
@click.option(
    '--select-data',
    type=EXISTING,
    help='Labelled pictures that choose the best epoch.  [default: the select split of --data]',
)
@click.option(
    '--eval/--no-eval',
    'evaluates',
    default=True,
    show_default=True,
    help='Measure AP on the select pictures after every epoch.',
)
@click.option(
    '--weights',
    type=EXISTING,
    help='Start from this checkpoint: .pt, .safetensors or a run; of a larger network, such as '
    'the teacher, from some of its channels.',
)
@click.option(
    '--teacher',
    'teachers',
    type=EXISTING,
    multiple=True,
    help='Learn from this checkpoint too, as the gains --distil-… say; may be repeated.',
)
@click.option(
    '--anchors',
    type=EXISTING,
    help='Take the anchors of this checkpoint.  [default: those of a teacher whose answers are '
    'distilled, else see --autoanchor]',
)
@click.option('--out', type=EXISTING, required=True, help='Folder of the run; goes on with it.')
@click.option(
    '--resume',
    type=EXISTING,
    is_eager=True,
    expose_value=False,
    callback=_resume,
    help='Go on with the interrupted run in this folder.',
)
@click.option(
    '--device', default='auto', show_default=True, help='auto, cpu, cuda or cuda:1; see torchrun.'
)
@click.option('--threads', type=click.IntRange(min=1), help='CPU threads of the network.')
@click.option(
    '--workers',
    type=click.IntRange(min=0),
    help='Processes that read and augment.  [default: 1 on a CPU, 8 on a GPU, at most the cores]',
)
@click.option(
    '--keep/--no-keep',
    default=None,
    help='Keep decoded pictures in memory.  [default: as far as they fit]',
)
@click.option(
    '--bad-data',
    type=click.Choice(['skip', 'stop']),
    default='skip',
    show_default=True,
    help='What to do about broken pictures and labels; both list them by file.',
)
@setting_options
@common_options
def train(
    data: Path,
    select_data: Path | None,
    evaluates: bool,
    weights: Path | None,
    teachers: tuple[Path, ...],
    anchors: Path | None,
    out: Path,
    device: str,
    threads: int | None,
    workers: int | None,
    keep: bool | None,
    bad_data: str,
    json_file: Path | None,
    **values: Any,
) -> None:
    """Train a YOLOv5 detector, with masks (--task segment) or without, alone or with teachers.

    Every setting can also stand in a YAML file (--config).
    """
    settings = Settings.from_dict(values)
    import torch

    from kd_yolo_ros.metrics.report import new_report, write_json

    from ..distillation.student import check_teachers
    from ..engine.distributed import join_world
    from ..engine.outlets import Outlets
    from ..engine.run_folder import BEST, RESUME, SETTINGS, write_settings
    from ..engine.train import Machine, check_masks, check_start
    from ..engine.train import train as run
    from ..engine.usable import usable
    from ..models.open import open_checkpoint

    check_out(out, (SETTINGS, 'fit', 'select'))
    if threads:
        torch.set_num_threads(threads)
    with join_world(device) as world:
        outlets = _outlets(settings) if world.first else Outlets()
        fit, select = _read(data, select_data, evaluates)
        check_masks(settings, fit, select)
        start = open_checkpoint(weights) if weights else None
        check_start(settings, start)
        known = [open_checkpoint(path) for path in teachers]
        frozen = open_checkpoint(anchors) if anchors else None
        check_teachers(settings, fit.names, known, frozen)
        stop = bad_data == 'stop'
        fit = usable(fit, out / 'fit', stop, outlets, world)
        select = select and usable(select, out / 'select', stop, outlets, world)
        # Those of a run that goes on stay: it may be refused for being given others.
        if world.first and not (out / RESUME).is_file():
            paths: dict[str, Any] = {
                'data': data,
                'select-data': select_data,
                'weights': weights,
                'anchors': anchors,
            }
            paths = {name: str(path.resolve()) for name, path in paths.items() if path}
            if teachers:
                paths['teacher'] = [str(path.resolve()) for path in teachers]
            more = {'eval': evaluates, 'device': device, 'threads': threads, 'workers': workers}
            more = {name: value for name, value in more.items() if value is not None}
            write_settings(out, {**paths, **more, 'bad-data': bad_data, **settings.to_dict()})
        cores = len(os.sched_getaffinity(0))
        most = 1 if world.device.type == 'cpu' else 8
        machine = Machine(min(most, cores - 1) if workers is None else workers, keep)
        try:
            history = run(
                settings, fit, select, out, world, start, known, frozen, machine, outlets
            )
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                'the memory of the GPU does not suffice; give a smaller --batch or --imgsz, '
                'or --precision bf16.'
            ) from None
    if not world.first or not history:
        return
    merit = settings.figures[0]
    rated = [row for row in history if row[merit] is not None]
    best = max(rated, key=lambda row: row[merit]) if rated else history[-1]
    masks = [name for name in settings.figures if name in MASK_TITLES]
    if json_file:
        report = new_report('train', settings=settings.to_dict(), epochs=history, best=best)
        write_json(json_file, report)
    print_table(
        f'{out}',
        [
            'best epoch',
            *(MASK_TITLES[name] for name in masks),
            *('AP50-95', 'AP50', 'pictures/s', 'minutes', 'weights'),
        ],
        [
            [
                best['epoch'] + 1,
                *(best[name] for name in masks),
                best['map50_95'],
                best['map50'],
                best['images_per_s'],
                sum(row['train_s'] + row['evaluate_s'] for row in history) / 60,
                BEST,
            ]
        ],
    )


def _read(data: Path, select_data: Path | None, evaluates: bool) -> tuple[Any, Any]:
    """Return what is trained on, and what chooses the best epoch or None."""
    from ..data.prepared import is_prepared
    from ..data.read import read_dataset

    def open_split(path: Path, split: str) -> Any:
        return read_dataset(path, split if is_prepared(path) else None)

    fit = open_split(data, 'fit')
    if not evaluates:
        return fit, None
    if select_data is None and not is_prepared(data):
        raise UserError(
            f'{data} has no select split; name other labelled pictures with --select-data, '
            'or do without AP during training: --no-eval.'
        )
    select = open_split(select_data or data, 'select')
    if any(picture.soft.any() for picture in select.pictures):
        raise UserError(
            f'{select.description} has soft labels, which choose nothing; '
            'give pictures that people labelled as --select-data.'
        )
    if select.names != fit.names:
        raise UserError(
            f'{select.description} has other classes than {fit.description}; '
            'both need the same names in the same order.'
        )
    return fit, select


def _outlets(settings: Settings) -> Any:
    from ..engine.outlets import Outlets

    def show(items: Iterable, title: str, count: int, pictures: int = 1) -> Iterable:
        return progress(items, title, count, ' pictures', pictures)

    def row(result: dict[str, Any]) -> None:
        left = settings.epochs - result['epoch'] - 1
        minutes = left * (result['train_s'] + result['evaluate_s']) / 60
        measured = {'mask AP': 'mask_map50_95', 'AP': 'map50_95', 'AP50': 'map50'}
        ap = ''.join(
            f'{title} {result[name]:.4f}  '
            for title, name in measured.items()
            if result.get(name) is not None
        )
        masks = f'masks {result["masks"]:.4f}  ' if 'masks' in result else ''
        distilled = ''.join(
            f'{name.removeprefix("distil_")} {result[name]:.4f}  '
            for name in result
            if name.startswith('distil_')
        )
        click.echo(
            f'epoch {result["epoch"] + 1:>4}/{settings.epochs}  '
            f'box {result["box"]:.4f}  objectness {result["objectness"]:.4f}  '
            f'classes {result["classes"]:.4f}  {masks}{distilled}{ap}'
            f'{result["images_per_s"]:.1f} pictures/s  {minutes:.1f} min left'
        )

    return Outlets(click.echo, show, row)
