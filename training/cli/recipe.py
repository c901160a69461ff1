# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo recipe`: from data to an artifact with one command."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, check_out, common_options, print_table
from kd_yolo_ros.cli.main import kd_yolo

RUNS = Path('runs')

set_option = click.option(
    '--set',
    'settings',
    metavar='NAME=VALUE',
    multiple=True,
    help='Value of a variable, of a list as a,b,c; may be given several times.',
)
out_option = click.option(
    '--out', type=EXISTING, help='Folder of everything it makes.  [default: runs/ and its name]'
)


@click.group()
def recipe() -> None:
    """Run, show or list recipes: data, teacher, students, choice, artifact as one command."""


@recipe.command()
@click.argument('file')
@out_option
@set_option
@common_options
def run(file: str, out: Path | None, settings: tuple[str, ...], json_file: Path | None) -> None:
    """Run the recipe FILE, a YAML file or the name of a bundled one; goes on where it stopped.

    Every step is a `kd-yolo` command of its own. What it says is kept in OUT/steps/. A step that
    has finished is run again only where its command, or a step that it uses, has changed.
    """
    from kd_yolo_ros.metrics.report import write_json

    from ..recipes.check import check_commands
    from ..recipes.recipe import open_recipe
    from ..recipes.records import FOLDER
    from ..recipes.run import Interrupted, StepFailed, run_recipe

    opened = open_recipe(file, settings)
    opened.require_values()
    out = out or RUNS / opened.name
    check_commands(opened.steps, kd_yolo, opened.text)
    check_out(out, [FOLDER])
    stream = click.get_binary_stream('stdout')

    def show(block: bytes) -> None:
        stream.write(block)
        stream.flush()

    try:
        report = run_recipe(opened, out, lambda line: click.secho(line, bold=True), show)
    except StepFailed as failure:
        click.secho(f'Error: {failure}', fg='red', err=True)
        raise click.exceptions.Exit(failure.status) from None
    except Interrupted as interruption:
        click.secho(str(interruption), fg='red', err=True)
        raise click.exceptions.Exit(130) from None
    if json_file:
        write_json(json_file, report)
    print_table(
        f'{opened.name} in {out}',
        ['step', 'minutes', 'ran', 'result'],
        [
            [
                row['step'],
                row['seconds'] / 60,
                'now' if row['ran_now'] else 'before',
                row['result'],
            ]
            for row in report['steps']
        ],
    )


@recipe.command()
@click.argument('file')
@out_option
@set_option
def show(file: str, out: Path | None, settings: tuple[str, ...]) -> None:
    """Print every step of FILE as a command that can be run alone, and which are finished."""
    from ..recipes.recipe import open_recipe
    from ..recipes.records import pending

    opened = open_recipe(file, settings)
    out = out or RUNS / opened.name
    plan = pending(opened.steps, out)
    click.echo(f'# {opened.name}: {opened.about}')
    for name, value in opened.variables.items():
        needed = '  (has to be given)' if value is None else ''
        click.echo(f'#   --set {name}={_text(value)}{needed}')
    for number, step in enumerate(opened.steps, 1):
        reason = plan.get(step.name)
        state = 'finished' if reason is None else f'again: {reason}' if reason else 'to do'
        click.echo(f'\n# step {number}/{len(opened.steps)} {step.name} ({state})')
        click.echo(f'kd-yolo {shlex.join(step.command(out))}')


@recipe.command('list')
def list_recipes() -> None:
    """List the bundled recipes and their variables."""
    from ..recipes.recipe import bundled, read_recipe

    every = [read_recipe(text, name) for name, text in bundled().items()]
    print_table(
        'Bundled recipes',
        ['name', 'about', 'variables'],
        [
            [
                one.name,
                one.about,
                '\n'.join(f'{name}={_text(value)}' for name, value in one.variables.items()),
            ]
            for one in every
        ],
    )


def _text(value: object) -> str:
    """Return a variable's value as --set takes it."""
    from ..recipes.expand import as_text

    return '…' if value is None else as_text(value)
