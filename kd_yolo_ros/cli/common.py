# SPDX-License-Identifier: Apache-2.0
"""What the verbs share: options, progress, tables, and where results are written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Sequence

import click
import yaml

from kd_yolo_ros.bundled import DEFAULT, NOTE, find_model, is_bundled
from kd_yolo_ros.errors import UserError

RUNS_CSV = 'runs/runs.csv'

EXISTING = click.Path(path_type=Path)


def read_config(ctx: click.Context, _: click.Parameter, path: Optional[Path]) -> None:
    """Take the options' defaults from a YAML file; the command line still wins."""
    if path is None:
        return
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8')) or {}
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f'{path} is not readable YAML ({str(error).splitlines()[0]}).') from None
    if not isinstance(values, dict):
        raise UserError(f'{path} is not a mapping of option names to values.')
    options = {
        max(p.opts, key=len).lstrip('-'): p
        for p in ctx.command.params
        if isinstance(p, click.Option) and p.name != 'config'
    }
    defaults = {}
    for name, value in values.items():
        option = options.get(str(name).replace('_', '-'))
        if option is None:
            known = ', '.join(sorted(options))
            raise UserError(f"{path}: '{name}' is no option of this verb; it has {known}.")
        # One value of an option that may be repeated needs no list around it.
        alone = option.multiple and value is not None and not isinstance(value, list)
        defaults[option.name] = [value] if alone else value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def common_options(command: Callable) -> Callable:
    """Add --json (passed on as `json_file`) and --config, which every verb has."""
    command = click.option(
        '--json',
        'json_file',
        type=click.Path(dir_okay=False, path_type=Path),
        help='Also write the result to this file.',
    )(command)
    return click.option(
        '--config',
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help='YAML file with options by name; the command line wins.',
    )(command)


def find_artifact(path: Optional[Path]) -> Path:
    """Return where the model lies that a user named; without one, the bundled model.

    That a bundled model is taken is said, so that nobody judges by it unawares.
    """
    found = DEFAULT if path is None else find_model(path)
    if is_bundled(found):
        click.echo(NOTE, err=True)
    return found


def artifact_option(command: Callable) -> Callable:
    """Add --artifact: the model to run, without it the bundled one."""
    return click.option(
        '--artifact',
        type=EXISTING,
        callback=lambda _, __, path: find_artifact(path),
        help='Artifact, plain export, or name of a bundled model.  [default: street, bundled]',
    )(command)


def model_options(command: Callable) -> Callable:
    """Add --runtime, --provider, --precision and --threads: how a model is run."""
    command = click.option(
        '--threads', type=click.IntRange(min=1), help='Threads of one inference.'
    )(command)
    command = click.option(
        '--precision',
        type=click.Choice(['auto', 'fp32', 'bf16', 'fp16', 'int8']),
        default='auto',
        show_default=True,
        help='auto: the fastest INT8 that this machine runs well, else FP32.',
    )(command)
    command = click.option(
        '--provider',
        help='Of the runtime: cpu, cuda, …; kd-yolo doctor lists them.  [default: cpu]',
    )(command)
    return click.option(
        '--runtime', default='auto', show_default=True, help='onnxruntime, openvino, tflite, …'
    )(command)


def _check_csv(_: click.Context, __: click.Parameter, path: Path) -> Path:
    from kd_yolo_ros.metrics.report import check_csv

    check_csv(path)
    return path


def csv_option(command: Callable) -> Callable:
    """Add --csv: the file to which every measured run is appended."""
    return click.option(
        '--csv',
        'csv_file',
        type=click.Path(dir_okay=False, path_type=Path),
        default=RUNS_CSV,
        callback=_check_csv,
        show_default=True,
        help='Append the measured figures to this file.',
    )(command)


def check_out(folder: Path, made: Sequence[str]) -> None:
    """Refuse a folder for results before the work that makes them.

    Args:
        folder: new, empty, or one that holds an earlier result.
        made: names of files of which an earlier result has at least one.

    Raises:
        UserError: it is a file, lies below one, or is somebody's folder of other things.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f'{there} is a file; give another --out.')
    if there != folder or any((folder / name).exists() for name in made):
        return
    if any(folder.iterdir()):
        raise UserError(f'{folder} is there and holds other things; give another --out.')


def progress(
    items: Iterable,
    description: str,
    total: Optional[int] = None,
    unit: str = 'it',
    scale: int = 1,
) -> Iterable:
    """Show a progress bar on the terminal's error stream while iterating.

    Args:
        items: what to iterate over.
        description: stands before the bar.
        total: number of items; None asks them.
        unit: of what is counted.
        scale: units of an item.
    """
    from tqdm import tqdm

    # In a log every refresh is a line of its own.
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(
        items,
        desc=description,
        total=total,
        leave=False,
        dynamic_ncols=True,
        mininterval=interval,
        unit=unit,
        unit_scale=scale if scale > 1 else False,
    )


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers stand right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify='left')
    for number, column in enumerate(columns):
        values = [row[number] for row in rows if row[number] is not None]
        numeric = all(isinstance(value, (int, float)) for value in values) and values
        table.add_column(column, justify='right' if numeric else 'left', overflow='fold')
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    # A pipe or log has no width; 80 columns would cut tables that fit nobody's terminal.
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return '–'
    if isinstance(value, float):
        return f'{value:.3f}' if abs(value) < 1 else f'{value:.2f}'
    return str(value)
